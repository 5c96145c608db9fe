//! What leaked is named when a reactor ends, and what it holds while it runs: in debug builds, with where it came from.

use std::mem::forget;
use std::net::{TcpListener as StdListener, TcpStream as StdStream};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use annulet::driver::{Address, Domain, ListenSpec};
use annulet::net::TcpListener;
use annulet::signal::{Signal, Signals};
use annulet::{Builder, Connection, ExitReport, Origin, Reactor, connect as connect_to, spawn_local};

use crate::support::*;

/// Runs something that leaks.
fn run_leaking<T>(builder: Builder, future: impl Future<Output = T>) -> (T, ExitReport) {
    let (output, reports) = builder.build().expect("a runtime").block_on_reporting(future);
    let [report] = reports.try_into().expect("one reactor");
    assert!(!report.is_clean());
    (output.expect("a runtime that does not break"), report)
}

/// The lines of a report that name what leaked, against what a debug build is to say.
fn assert_told<const N: usize>(report: &ExitReport, mut lines: [String; N]) {
    let mut told: Vec<_> = report.to_string().lines().skip(1).map(|line| line.trim().to_owned()).collect();
    assert_eq!(told.len(), report.origins.len());
    told.sort();
    lines.sort();
    assert_eq!(told, if cfg!(debug_assertions) { lines.to_vec() } else { Vec::new() });
}

#[test]
fn a_lease_that_leaks_is_named_by_the_connection_that_received_it() {
    each_driver(|builder| {
        let ((server, client), report) = run_leaking(builder, async {
            let server = serve(async |mut connection: Connection| {
                forget(connection.recv().await?.expect("bytes"));
                connection.send(b"forgotten").await?;
                Ok(())
            })
            .await;
            let address = address(&server);
            let mut ours = connect_to(&address.to_string()).await.expect("connect");
            let local = ours.local_address().expect("address");
            ours.send(b"forget").await.expect("send");
            forget(ours.recv().await.expect("recv").expect("bytes"));
            drop(ours);
            stop(server).await;
            (address, local)
        });
        assert_eq!((report.buffers, report.sockets), (2, 0), "{report}");
        assert_told(
            &report,
            [
                format!("lease of what was received on a connection from {client} accepted at {server}"),
                format!("lease of what was received on a connection to {server} from {client}"),
            ],
        );
    });
}

#[test]
fn sockets_that_leak_are_named_by_where_they_came_from() {
    each_driver(|builder| {
        let ((listener, client, adopted), report) = run_leaking(builder, async {
            let adopted = StdListener::bind("127.0.0.1:0").expect("bind");
            let at = adopted.local_addr().expect("address");
            Reactor::current().driver(|driver| {
                let sockets = driver.sockets();
                let address = Address::Tcp(([127, 0, 0, 1], 0).into());
                let spec = ListenSpec { address, backlog: 8, share_port: false, v6_only: false };
                let (listener, address) = sockets.listen(&spec).expect("listen");
                let client = StdStream::connect(address.as_tcp().expect("TCP")).expect("connect");
                sockets.try_accept(listener).expect("one waits");
                let closed = sockets.open(Domain::V4).expect("a socket");
                sockets.open(Domain::V6).expect("a socket");
                sockets.adopt(adopted.into());
                driver.close(closed);
                let name = client.local_addr().expect("address");
                forget(client);
                (address, name, at)
            })
        });
        assert_eq!(report.sockets, 4, "{report}");
        assert_told(
            &report,
            [
                format!("listener at {listener}"),
                format!("connection from {client} accepted at {listener}"),
                "socket that was opened and not connected".to_owned(),
                format!("socket that was adopted, at {adopted}, its peer at nowhere"),
            ],
        );
    });
}

/// What a line begins with, and the file it names, must be among what the reactor holds; nothing is in release builds.
fn assert_holds(origins: &[Origin], what: &str, file: &str) {
    let is_meant = |origin: &Origin| {
        origin.what == what && origin.place.map_or(file.is_empty(), |place| place.file().ends_with(file))
    };
    assert_eq!(origins.iter().any(is_meant), cfg!(debug_assertions), "{what} in {file}: {origins:#?}");
}

#[test]
fn a_reactor_tells_where_what_it_holds_came_from() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve(async |mut connection: Connection| {
                let chunk = connection.recv().await?.expect("bytes");
                let (peer, at) = (connection.peer_address()?, connection.local_address()?);
                let origins = Reactor::current().origins();
                let name = format!("connection from {peer} accepted at {at}");
                assert_holds(&origins, &name, "");
                assert_holds(&origins, &format!("{name}, registered"), "annulet-net/src/stream.rs");
                assert_holds(&origins, &format!("lease of what was received on a {name}"), "");
                assert_holds(
                    &origins,
                    &format!("listener at {at}, registered"),
                    "annulet-net/src/acceptor.rs",
                );
                assert_holds(&origins, "task spawned", "annulet-net/src/server/reactor.rs");
                connection.send(chunk).await?;
                Ok(())
            })
            .await;
            let target = address(&server).to_string();
            let mut ours = connect_to(&target).await.expect("connect");
            ours.send(b"hello").await.expect("send");
            assert_eq!(&*ours.recv().await.expect("recv").expect("the handler found all"), b"hello");
            drop(ours);
            stop(server).await;
        });
    });
}

#[test]
fn a_reactor_tells_where_what_its_user_made_came_from() {
    each_driver(|builder| {
        run(builder, async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
            let target = listener.local_addr().expect("address").to_string();
            let signals = Signals::new(&[Signal::USER_1]);
            let task = spawn_local(std::future::pending::<()>());
            let mut connecting = pin!(connect_to(&target));
            // One poll begins it; how it ended is not known before the next turn.
            assert!(matches!(
                connecting.as_mut().poll(&mut Context::from_waker(Waker::noop())),
                Poll::Pending
            ));
            let origins = Reactor::current().origins();
            assert_holds(&origins, &format!("attempt to connect to {target}, registered"), "connect.rs");
            assert_holds(&origins, "wait for SIGUSR1, registered", "suite/leaks.rs");
            assert_holds(&origins, "task spawned", "suite/leaks.rs");
            let ours = connecting.await.expect("connect");
            let (theirs, peer) = listener.accept().await.expect("accept");
            let origins = Reactor::current().origins();
            assert_holds(&origins, &format!("connection of {peer} with {target}, registered"), "stream.rs");
            assert_holds(&origins, &format!("connection of {target} with {peer}, registered"), "stream.rs");
            assert_holds(&origins, &format!("connection to {target} from {peer}"), "");
            assert_holds(&origins, &format!("listener at {target}"), "");
            drop((ours, theirs, signals));
            task.abort();
        });
    });
}
