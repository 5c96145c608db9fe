//! Socket options arrive in the kernel.

use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use annulet::{Connection, Server, connect as connect_to};
use socket2::SockRef;

use crate::support::*;

/// What the kernel says about the one socket of this process that has these addresses. Only of use in a process of its
/// own, where descriptors do not come and go.
fn with_socket<T>(local: SocketAddr, peer: SocketAddr, ask: impl FnOnce(SockRef<'_>) -> T) -> T {
    for number in 3..1000 {
        // SAFETY: no thread of this process closes a descriptor while it looks, and a number that is no descriptor only
        // makes calls fail.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        let socket = SockRef::from(&descriptor);
        let is = |address: std::io::Result<socket2::SockAddr>, wanted| {
            address.ok().and_then(|address| address.as_socket()) == Some(wanted)
        };
        if is(socket.local_addr(), local) && is(socket.peer_addr(), peer) {
            return ask(socket);
        }
    }
    panic!("no socket from {local} to {peer}");
}

fn of_connection<T>(connection: &Connection, ask: impl FnOnce(SockRef<'_>) -> T) -> T {
    let local = connection.local_address().expect("local").as_tcp().expect("TCP");
    let peer = connection.peer_address().expect("peer").as_tcp().expect("TCP");
    with_socket(local, peer, ask)
}

async fn check_options(connection: &Connection) {
    let second = Duration::from_secs(1);
    assert!(connection.nodelay().expect("nodelay"), "on by default");
    assert!(of_connection(connection, |socket| socket.tcp_nodelay().expect("TCP_NODELAY")));
    connection.set_nodelay(false).expect("nodelay");
    assert!(!connection.nodelay().expect("nodelay"));
    connection.set_nodelay(true).expect("nodelay");

    connection.set_keepalive(Some(second * 90)).expect("keepalive");
    of_connection(connection, |socket| {
        assert!(socket.keepalive().expect("SO_KEEPALIVE"));
        assert_eq!(socket.tcp_keepalive_time().expect("TCP_KEEPIDLE"), second * 90);
    });
    connection.set_keepalive(None).expect("keepalive");
    assert!(!of_connection(connection, |socket| socket.keepalive().expect("SO_KEEPALIVE")));

    connection.set_send_buffer_size(20_000).expect("send buffer");
    connection.set_recv_buffer_size(30_000).expect("receive buffer");
    of_connection(connection, |socket| {
        // The kernel doubles what is asked for.
        assert_eq!(socket.send_buffer_size().expect("SO_SNDBUF"), 40_000);
        assert_eq!(socket.recv_buffer_size().expect("SO_RCVBUF"), 60_000);
    });

    connection.set_user_timeout(Some(second * 7)).expect("user timeout");
    assert_eq!(
        of_connection(connection, |socket| socket.tcp_user_timeout().expect("TCP_USER_TIMEOUT")),
        Some(second * 7)
    );
    connection.set_user_timeout(None).expect("user timeout");

    connection.set_quickack(true).expect("quickack");
    assert!(of_connection(connection, |socket| socket.tcp_quickack().expect("TCP_QUICKACK")));
    connection.set_quickack(false).expect("quickack");
    assert!(!of_connection(connection, |socket| socket.tcp_quickack().expect("TCP_QUICKACK")));

    connection.set_tos(0x10).expect("tos");
    connection.set_ttl(42).expect("ttl");
    of_connection(connection, |socket| {
        if socket.domain().expect("domain") == socket2::Domain::IPV6 {
            assert_eq!(socket.unicast_hops_v6().expect("IPV6_UNICAST_HOPS"), 42);
        } else {
            assert_eq!(socket.tos_v4().expect("IP_TOS"), 0x10);
            assert_eq!(socket.ttl_v4().expect("IP_TTL"), 42);
        }
    });
}

#[test]
fn options_reach_the_kernel_on_accepted_and_on_outgoing_connections() {
    isolated(|| {
        each_driver(|builder| {
            run(builder, async {
                let server = Server::builder()
                    .listen(":0", async |mut connection: Connection| {
                        check_options(&connection).await;
                        connection.send(b"checked").await?;
                        connection.recv().await?;
                        Ok(())
                    })
                    .start()
                    .await
                    .expect("a server");
                let port = address(&server).port();
                for host in [
                    SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
                    SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
                ] {
                    let mut ours = connect_to(&host.to_string()).await.expect("connect");
                    assert_eq!(&*ours.recv().await.expect("recv").expect("bytes"), b"checked");
                    check_options(&ours).await;
                }
                stop(server).await;
                assert_eq!(counter("handlers_panicked") + counter("handlers_failed"), 0);
            });
        });
    });
}

/// No FIN before it, which the peer could take for an orderly end.
#[test]
fn a_zero_linger_option_makes_the_close_a_reset() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve(async |mut connection: Connection| {
                match &*connection.recv().await?.expect("bytes") {
                    b"reset" => connection.set_linger(Some(Duration::ZERO))?,
                    b"changed my mind" => {
                        connection.set_linger(Some(Duration::ZERO))?;
                        connection.set_linger(None)?;
                    }
                    _ => connection.set_linger(Some(Duration::from_secs(1)))?,
                }
                Ok(())
            })
            .await;
            let address = address(&server);
            thread(move || {
                let end = |word: &[u8]| {
                    let mut client = connect(address);
                    client.write_all(word).expect("write");
                    end_of(&mut client).1
                };
                for _ in 0..50 {
                    assert_eq!(end(b"reset"), End::Reset);
                }
                assert_eq!(end(b"changed my mind"), End::Finished);
                assert_eq!(end(b"orderly"), End::Finished);
            })
            .await;
            assert_eq!(counter("resets_sent"), 50);
            stop(server).await;
        });
    });
}

#[test]
fn options_of_tcp_are_refused_on_unix_sockets() {
    each_driver(|builder| {
        run(builder, async {
            let name =
                format!("unix:@annulet-options-{}-{:?}", std::process::id(), std::thread::current().id());
            let server = Server::builder()
                .listen(&name, async |mut connection: Connection| {
                    assert!(connection.set_nodelay(true).is_err());
                    assert!(connection.nodelay().is_err());
                    connection.set_send_buffer_size(20_000)?;
                    connection.send(b"checked").await?;
                    Ok(())
                })
                .start()
                .await
                .expect("a server");
            let mut connection = connect_to(&name).await.expect("connect");
            assert_eq!(&*connection.recv().await.expect("recv").expect("bytes"), b"checked");
            drop(connection);
            stop(server).await;
            assert_eq!(counter("handlers_panicked"), 0);
        });
    });
}
