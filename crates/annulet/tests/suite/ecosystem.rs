//! Code that was written for other runtimes' traits runs on a connection.

#[cfg(feature = "tokio-io")]
mod tokio_traits {
    use std::io::{IoSlice, Write};
    use std::net::Shutdown;

    use annulet::net::TcpStream;
    use annulet::{Connection, HandlerResult, connect as connect_to};
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional, split};

    use crate::support::*;

    #[test]
    fn copy_bidirectional_makes_a_proxy_that_respects_half_closes() {
        const TOTAL: usize = 3 << 20;
        each_driver(|builder| {
            run(builder, async {
                let upstream = serve(echo).await;
                let target = address(&upstream).to_string();
                let proxy = serve(move |mut downstream: Connection| {
                    let target = target.clone();
                    async move {
                        let mut upstream = TcpStream::connect(&target).await?;
                        let (up, down) = copy_bidirectional(&mut downstream, &mut upstream).await?;
                        assert_eq!(up, down);
                        Ok(())
                    }
                })
                .await;
                let address = address(&proxy);
                let client = |seed| {
                    move || {
                        let mut client = connect(address);
                        let mut writer = client.try_clone().expect("clone");
                        let writing = std::thread::spawn(move || {
                            writer.write_all(&Pattern::new(seed).take(TOTAL)).expect("write");
                            writer.shutdown(Shutdown::Write).expect("shutdown");
                        });
                        let bytes = read_all(&mut client);
                        assert_eq!(bytes.len(), TOTAL);
                        Pattern::new(seed).check(&bytes);
                        writing.join().expect("writing");
                    }
                };
                let clients: Vec<_> = (0..4).map(|seed| thread(client(seed))).collect();
                for client in clients {
                    client.await;
                }
                stop(proxy).await;
                stop(upstream).await;
                assert_eq!(counter("handlers_failed") + counter("handlers_panicked"), 0);
            });
        });
    }

    #[test]
    fn lines_are_read_and_written() {
        async fn handler(connection: Connection) -> HandlerResult {
            let (reading, mut writing) = split(connection);
            let mut lines = tokio::io::BufReader::new(reading).lines();
            while let Some(line) = lines.next_line().await? {
                writing.write_all(line.to_uppercase().as_bytes()).await?;
                writing.write_u8(b'\n').await?;
            }
            writing.shutdown().await?;
            Ok(())
        }
        async fn handler_without_copy(mut connection: Connection) -> HandlerResult {
            let mut line = Vec::new();
            while connection.read_until(b'\n', &mut line).await? > 0 {
                line.make_ascii_uppercase();
                if !line.ends_with(b"\n") {
                    line.push(b'\n');
                }
                AsyncWriteExt::write_all(&mut connection, &line).await?;
                AsyncWriteExt::flush(&mut connection).await?;
                line.clear();
            }
            Ok(())
        }
        each_driver(|builder| {
            run(builder, async {
                for server in [serve(handler).await, serve(handler_without_copy).await] {
                    let address = address(&server);
                    thread(move || {
                        let mut client = connect(address);
                        for piece in ["one\ntw", "o\n", "thr", "ee\nlast"] {
                            client.write_all(piece.as_bytes()).expect("write");
                        }
                        client.shutdown(Shutdown::Write).expect("shutdown");
                        assert_eq!(read_all(&mut client), b"ONE\nTWO\nTHREE\nLAST\n");
                    })
                    .await;
                    stop(server).await;
                }
            });
        });
    }

    #[test]
    fn vectored_writes_take_all_slices_in_order() {
        each_driver(|builder| {
            run(builder, async {
                let server = serve(async |mut connection: Connection| {
                    assert!(connection.is_write_vectored());
                    let bytes = Pattern::new(1).take(200_000);
                    let mut left = &bytes[..];
                    while !left.is_empty() {
                        let (a, rest) = left.split_at(left.len().min(10));
                        let (b, rest) = rest.split_at(rest.len().min(40_000));
                        let slices =
                            [IoSlice::new(a), IoSlice::new(&[]), IoSlice::new(b), IoSlice::new(rest)];
                        let count = connection.write_vectored(&slices).await?;
                        assert!(count > 0);
                        left = &left[count..];
                    }
                    Ok(())
                })
                .await;
                let address = address(&server);
                thread(move || {
                    let bytes = read_all(&mut connect(address));
                    assert_eq!(bytes.len(), 200_000);
                    Pattern::new(1).check(&bytes);
                })
                .await;
                stop(server).await;
            });
        });
    }

    #[test]
    fn reading_and_writing_helpers_work_and_errors_keep_their_kind() {
        each_driver(|builder| {
            run(builder, async {
                let server = serve(async |mut connection: Connection| {
                    let length = connection.read_u32().await?;
                    let mut body = vec![0; length as usize];
                    AsyncReadExt::read_exact(&mut connection, &mut body).await?;
                    connection.write_u32(length).await?;
                    AsyncWriteExt::write_all(&mut connection, &body).await?;
                    AsyncWriteExt::shutdown(&mut connection).await?;
                    let error = AsyncWriteExt::write_all(&mut connection, b"more").await.expect_err("ended");
                    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
                    let mut rest = Vec::new();
                    connection.read_to_end(&mut rest).await?;
                    assert_eq!(rest, b"rest");
                    Ok(())
                })
                .await;
                let target = address(&server).to_string();
                let mut ours = connect_to(&target).await.expect("connect");
                let body = Pattern::new(2).take(100_000);
                ours.write_u32(100_000).await.expect("write");
                AsyncWriteExt::write_all(&mut ours, &body).await.expect("write");
                AsyncWriteExt::write_all(&mut ours, b"rest").await.expect("write");
                assert_eq!(ours.read_u32().await.expect("read"), 100_000);
                let mut back = Vec::new();
                ours.read_to_end(&mut back).await.expect("read");
                assert_eq!(back, body);
                AsyncWriteExt::shutdown(&mut ours).await.expect("shutdown");
                drop(ours);
                stop(server).await;
                assert_eq!(counter("handlers_failed") + counter("handlers_panicked"), 0);
            });
        });
    }
}

#[cfg(feature = "futures-io")]
mod futures_traits {
    use std::future::poll_fn;
    use std::io::{self, IoSlice, Write};
    use std::net::Shutdown;
    use std::pin::Pin;
    use std::task::ready;

    use annulet::Connection;
    use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};

    use crate::support::*;

    /// `futures::io::copy_buf`, as it is there.
    async fn copy_buf<R, W>(reader: &mut R, writer: &mut W) -> io::Result<u64>
    where
        R: AsyncBufRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut copied = 0;
        poll_fn(|cx| {
            loop {
                let bytes = ready!(Pin::new(&mut *reader).poll_fill_buf(cx))?;
                if bytes.is_empty() {
                    ready!(Pin::new(&mut *writer).poll_flush(cx))?;
                    return std::task::Poll::Ready(Ok(copied));
                }
                let count = ready!(Pin::new(&mut *writer).poll_write(cx, bytes))?;
                if count == 0 {
                    return std::task::Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                copied += count as u64;
                Pin::new(&mut *reader).consume(count);
            }
        })
        .await
    }

    #[test]
    fn generic_code_copies_from_one_connection_to_another() {
        const TOTAL: usize = 1 << 20;
        each_driver(|builder| {
            run(builder, async {
                let sink = serve(async |mut connection: Connection| {
                    let mut pattern = Pattern::new(1);
                    let mut buffer = [0; 3_000];
                    loop {
                        let count =
                            poll_fn(|cx| AsyncRead::poll_read(Pin::new(&mut connection), cx, &mut buffer))
                                .await?;
                        if count == 0 {
                            break;
                        }
                        pattern.check(&buffer[..count]);
                    }
                    let count = pattern.position().to_be_bytes();
                    let slices = [IoSlice::new(&count[..3]), IoSlice::new(&count[3..])];
                    let taken =
                        poll_fn(|cx| AsyncWrite::poll_write_vectored(Pin::new(&mut connection), cx, &slices))
                            .await?;
                    assert_eq!(taken, 8);
                    poll_fn(|cx| AsyncWrite::poll_close(Pin::new(&mut connection), cx)).await?;
                    Ok(())
                })
                .await;
                let target = address(&sink).to_string();
                let copier = serve(move |mut connection: Connection| {
                    let target = target.clone();
                    async move {
                        let mut onward = annulet::connect(&target).await?;
                        let copied = copy_buf(&mut connection, &mut onward).await?;
                        assert_eq!(copied, TOTAL as u64);
                        poll_fn(|cx| AsyncWrite::poll_close(Pin::new(&mut onward), cx)).await?;
                        copy_buf(&mut onward, &mut connection).await?;
                        Ok(())
                    }
                })
                .await;
                let address = address(&copier);
                thread(move || {
                    let mut client = connect(address);
                    client.write_all(&Pattern::new(1).take(TOTAL)).expect("write");
                    client.shutdown(Shutdown::Write).expect("shutdown");
                    assert_eq!(read_all(&mut client), (TOTAL as u64).to_be_bytes());
                })
                .await;
                stop(copier).await;
                stop(sink).await;
                assert_eq!(counter("handlers_failed") + counter("handlers_panicked"), 0);
            });
        });
    }
}
