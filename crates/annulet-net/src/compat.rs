//! The ecosystem's I/O traits on a [`Connection`], so that ordinary code runs on it.
//!
//! Reading copies once, out of the lease; nothing is zero-filled and an idle connection holds no buffer. Writing stages
//! and returns: errors of sending surface at the next call, as the traits allow.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::connection::Connection;
use crate::tcp::TcpStream;
use crate::unix::UnixStream;

impl Connection {
    fn poll_write_slices(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut written = 0;
        for slice in slices.iter().filter(|slice| !slice.is_empty()) {
            match self.stream().poll_write(cx, slice) {
                Poll::Ready(Ok(count)) => written += count,
                // What is staged counts; the error comes again with the next call.
                Poll::Ready(Err(_)) | Poll::Pending if written > 0 => {
                    self.stream().note_half_written();
                    break;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(written))
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().shutdown_write();
        self.stream().poll_flush(cx).map_err(io::Error::from)
    }
}

#[cfg(feature = "futures-io")]
mod futures {
    use super::*;
    use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};

    impl AsyncRead for Connection {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            if buffer.is_empty() {
                return Poll::Ready(Ok(0));
            }
            ready!(Connection::poll_fill_buf(&mut self, cx))?;
            Poll::Ready(Ok(self.copy_filled(buffer)))
        }
    }

    impl AsyncBufRead for Connection {
        fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
            let connection = self.get_mut();
            ready!(Connection::poll_fill_buf(connection, cx))?;
            Poll::Ready(Ok(connection.filled()))
        }

        fn consume(mut self: Pin<&mut Self>, count: usize) {
            Connection::consume(&mut self, count);
        }
    }

    impl AsyncWrite for Connection {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.stream().poll_write(cx, bytes).map_err(io::Error::from)
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.poll_write_slices(cx, slices)
        }

        fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.stream().poll_flush(cx).map_err(io::Error::from)
        }

        fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.poll_end(cx)
        }
    }

    macro_rules! forward {
        ($($stream:ty),*) => {$(
            impl AsyncRead for $stream {
                fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
                    AsyncRead::poll_read(Pin::new(&mut **self), cx, buffer)
                }
            }

            impl AsyncBufRead for $stream {
                fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
                    AsyncBufRead::poll_fill_buf(Pin::new(&mut **self.get_mut()), cx)
                }

                fn consume(mut self: Pin<&mut Self>, count: usize) {
                    AsyncBufRead::consume(Pin::new(&mut **self), count);
                }
            }

            impl AsyncWrite for $stream {
                fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
                    AsyncWrite::poll_write(Pin::new(&mut **self), cx, bytes)
                }

                fn poll_write_vectored(
                    mut self: Pin<&mut Self>,
                    cx: &mut Context<'_>,
                    slices: &[IoSlice<'_>],
                ) -> Poll<io::Result<usize>> {
                    self.poll_write_slices(cx, slices)
                }

                fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                    AsyncWrite::poll_flush(Pin::new(&mut **self), cx)
                }

                fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                    self.poll_end(cx)
                }
            }
        )*};
    }

    forward!(TcpStream, UnixStream);
}

#[cfg(feature = "tokio-io")]
mod tokio_io {
    use super::*;
    use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

    impl AsyncRead for Connection {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            ready!(Connection::poll_fill_buf(&mut self, cx))?;
            let filled = self.filled();
            let count = filled.len().min(buffer.remaining());
            buffer.put_slice(&filled[..count]);
            Connection::consume(&mut self, count);
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncBufRead for Connection {
        fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
            let connection = self.get_mut();
            ready!(Connection::poll_fill_buf(connection, cx))?;
            Poll::Ready(Ok(connection.filled()))
        }

        fn consume(mut self: Pin<&mut Self>, count: usize) {
            Connection::consume(&mut self, count);
        }
    }

    impl AsyncWrite for Connection {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.stream().poll_write(cx, bytes).map_err(io::Error::from)
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.poll_write_slices(cx, slices)
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.stream().poll_flush(cx).map_err(io::Error::from)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.poll_end(cx)
        }
    }

    macro_rules! forward {
        ($($stream:ty),*) => {$(
            impl AsyncRead for $stream {
                fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
                    AsyncRead::poll_read(Pin::new(&mut **self), cx, buffer)
                }
            }

            impl AsyncBufRead for $stream {
                fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
                    AsyncBufRead::poll_fill_buf(Pin::new(&mut **self.get_mut()), cx)
                }

                fn consume(mut self: Pin<&mut Self>, count: usize) {
                    AsyncBufRead::consume(Pin::new(&mut **self), count);
                }
            }

            impl AsyncWrite for $stream {
                fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
                    AsyncWrite::poll_write(Pin::new(&mut **self), cx, bytes)
                }

                fn poll_write_vectored(
                    mut self: Pin<&mut Self>,
                    cx: &mut Context<'_>,
                    slices: &[IoSlice<'_>],
                ) -> Poll<io::Result<usize>> {
                    self.poll_write_slices(cx, slices)
                }

                fn is_write_vectored(&self) -> bool {
                    true
                }

                fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                    AsyncWrite::poll_flush(Pin::new(&mut **self), cx)
                }

                fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                    self.poll_end(cx)
                }
            }
        )*};
    }

    forward!(TcpStream, UnixStream);
}
