//! Servers: where they listen, who serves whom.

use std::cell::Cell;
use std::collections::HashSet;
use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixSocketAddr, UnixListener, UnixStream};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use annulet::net::UnixListener as AnnuletUnixListener;
use annulet::{
    Address, Connection, Handle, HandlerResult, ListenAddress, ListenOptions, ListenerId, Reactor, ReactorId,
    ServeError, Server, connect as connect_to, spawn_local,
};

use crate::support::*;

fn loopback() -> ListenOptions {
    ListenOptions::parse("127.0.0.1:0").expect("an address")
}

/// A path nobody else uses, in a directory that goes with it.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("annulet-test-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).expect("a directory");
        Self(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("socket")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn exchange_unix(mut client: UnixStream) {
    client.set_read_timeout(Some(PATIENCE)).expect("read timeout");
    client.write_all(b"hello").expect("write");
    assert_eq!(read_exactly(&mut client, 5), b"hello");
    client.shutdown(Shutdown::Write).expect("shutdown");
    assert_eq!(read_all(&mut client), b"");
}

/// Runs a task on a reactor; its output comes back.
fn on_reactor<T: Send + 'static>(
    id: ReactorId,
    task: impl AsyncFnOnce() -> T + Send + 'static,
) -> impl Future<Output = T> {
    let slot = Arc::new(Mutex::new(None));
    let theirs = slot.clone();
    let spawn = move |_: &Reactor| {
        drop(spawn_local(async move {
            let output = task().await;
            *theirs.lock().expect("slot") = Some(output);
        }));
    };
    Handle::current().run_on(id, spawn).expect("room in its inbox");
    async move {
        until("an output", || slot.lock().expect("slot").is_some()).await;
        slot.lock().expect("slot").take().expect("just seen")
    }
}

fn in_use(result: Result<Server, ServeError>) {
    match result {
        Err(ServeError::Listen { source, .. }) => assert_eq!(source.kind(), ErrorKind::AddrInUse),
        other => panic!("in use, but {other:?}"),
    }
}

#[test]
fn every_listener_has_its_handler_and_its_number() {
    each_driver(|builder| {
        run(builder.reactors(2), async {
            let answer = |text: &'static str| {
                async move |mut connection: Connection| {
                    let ListenerId(number) = connection.listener().expect("a listener");
                    connection.send(format!("{text} {number}")).await?;
                    Ok(())
                }
            };
            let server = Server::builder()
                .listen("127.0.0.1:0", answer("first"))
                .listen_with(loopback(), answer("second"))
                .listen_each(loopback(), move |_| answer("third"))
                .start()
                .await
                .expect("a server");
            let addresses: Vec<_> = server.addresses().iter().map(|a| a.as_tcp().expect("TCP")).collect();
            assert_eq!(addresses.iter().collect::<HashSet<_>>().len(), 3);
            thread(move || {
                for (address, expected) in addresses.iter().zip(["first 0", "second 1", "third 2"]) {
                    assert_eq!(read_all(&mut connect(*address)), expected.as_bytes());
                }
            })
            .await;
            stop(server).await;
        });
    });
}

/// State of a reactor's own needs neither locks nor `Send`, and every reactor gets connections.
#[test]
fn each_reactor_has_its_own_state_and_its_share_of_connections() {
    const CONNECTIONS: usize = 200;
    each_driver(|builder| {
        run(builder.reactors(3), async {
            let made = Arc::new(Mutex::new(Vec::new()));
            let noted = made.clone();
            let server = Server::builder()
                .listen_each(loopback(), move |reactor| {
                    noted.lock().expect("made").push(reactor.id());
                    let served = Rc::new(Cell::new(0_u32));
                    let id = reactor.id();
                    move |mut connection: Connection| {
                        let served = served.clone();
                        async move {
                            served.set(served.get() + 1);
                            connection.send(format!("{id} {}\n", served.get())).await?;
                            Ok(())
                        }
                    }
                })
                .start()
                .await
                .expect("a server");
            let address = address(&server);
            let answers = thread(move || {
                let answers = (0..CONNECTIONS).map(|_| read_all(&mut connect(address)));
                answers.map(|answer| String::from_utf8(answer).expect("text")).collect::<Vec<_>>()
            })
            .await;
            let mut reactors = made.lock().expect("made").clone();
            reactors.sort_unstable();
            assert_eq!(reactors.iter().map(|id| id.0).collect::<Vec<_>>(), [0, 1, 2], "each is asked once");
            // Each reactor has counted its own connections without a gap.
            let distinct: HashSet<_> = answers.iter().collect();
            assert_eq!(distinct.len(), CONNECTIONS);
            for reactor in 0..3 {
                let own = answers.iter().filter(|answer| answer.starts_with(&format!("{reactor} "))).count();
                assert!(own > CONNECTIONS / 20, "reactor {reactor} got {own} of {CONNECTIONS}");
                assert!(answers.contains(&format!("{reactor} {own}\n")));
            }
            stop(server).await;
        });
    });
}

#[test]
fn a_handler_maker_that_panics_is_a_failed_start_and_nothing_stays_behind() {
    each_driver(|builder| {
        run(builder.reactors(2), async {
            for reactor in [0, 1] {
                let started = Server::builder()
                    .listen_each(loopback(), move |here| {
                        assert!(here.id().0 != reactor, "as the test asked");
                        echo
                    })
                    .start()
                    .await;
                assert!(matches!(started, Err(ServeError::Listen { .. })), "{started:?}");
            }
            // The reactors are well.
            let server = serve(echo).await;
            let address = address(&server);
            thread(move || (0..20).for_each(|_| exchange(&mut connect(address), b"hello"))).await;
            stop(server).await;
        });
    });
}

/// A server may be started on any reactor; what it had there before another one failed is given back, too.
#[test]
fn a_server_that_is_started_on_another_reactor_and_fails_leaves_nothing_behind() {
    each_driver(|builder| {
        run(builder.reactors(2), async {
            let directory = Directory::new("elsewhere");
            let unix = format!("unix:{}", directory.socket().display());
            for address in ["127.0.0.1:0".to_owned(), unix] {
                let task = async move || {
                    let options = ListenOptions::parse(&address).expect("an address");
                    let server = Server::builder().listen_each(options, |here| {
                        assert!(here.id().0 != 0, "as the test asked");
                        echo
                    });
                    assert!(matches!(server.start().await, Err(ServeError::Listen { .. })));
                    // One that does not fail works.
                    let server = Server::builder().listen(&address, echo).start().await.expect("a server");
                    let client = connect_to(&server.addresses()[0].to_string()).await;
                    drop(client.expect("a client"));
                    stop(server).await;
                };
                on_reactor(ReactorId(1), task).await;
            }
        });
    });
}

/// The inbox of a reactor takes 4096 messages; here that of reactor 0 is full, and it is too busy to look.
#[test]
fn a_server_that_a_reactor_does_not_hear_of_fails_to_start_and_leaves_nothing_behind() {
    each_driver_alone(|builder| {
        run(builder.reactors(2), async {
            let directory = Directory::new("unheard");
            let unix = format!("unix:{}", directory.socket().display());
            for address in ["127.0.0.1:0".to_owned(), unix] {
                let before = descriptors();
                let done = Gate::new();
                while Handle::current().run_on(ReactorId(0), |_| ()).is_ok() {}
                let started = on_reactor(ReactorId(1), {
                    let done = done.clone();
                    async move || {
                        let started = Server::builder().listen(&address, echo).start().await;
                        done.open();
                        started.err().map(|error| format!("{error:?}"))
                    }
                });
                // Holds up this reactor, which is number 0.
                done.block();
                let error = started.await.expect("it failed");
                assert!(error.contains("inbox is full"), "{error}");
                until("the descriptors are back", || descriptors() == before).await;
            }
        });
    });
}

#[test]
fn connection_numbers_are_unique_and_rise() {
    each_driver(|builder| {
        run(builder.reactors(2), async {
            let server = serve(async |mut connection: Connection| {
                assert_eq!(connection.listener(), Some(ListenerId(0)));
                connection.send(connection.number().to_string()).await?;
                Ok(())
            })
            .await;
            let address = address(&server);
            let numbers = thread(move || {
                let number = |_| String::from_utf8(read_all(&mut connect(address))).expect("text");
                (0..50).map(number).map(|number| number.parse::<u64>().expect("a number")).collect::<Vec<_>>()
            })
            .await;
            assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
            stop(server).await;
        });
    });
}

#[test]
fn statistics_name_what_happened() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve(echo).await;
            let address = address(&server);
            let mut client = thread(move || {
                drop(connect(address));
                let mut client = connect(address);
                exchange(&mut client, b"hello");
                client
            })
            .await;
            until("one connection", || counter("connections_open") == 1).await;
            let stats = server.stats();
            for (name, value) in [
                ("connections_opened", 2),
                ("connections_closed", 1),
                ("connections_open", 1),
                ("accepted", 2),
                ("bytes_received", 5),
                ("bytes_sent", 5),
                ("handlers_failed", 0),
                ("resets_sent", 0),
            ] {
                assert_eq!(stats.get(name), Some(value), "{name}");
            }
            assert_eq!(stats.get("no such counter"), None);
            let line = stats.to_string();
            assert!(line.starts_with('{') && line.ends_with('}') && !line.contains('\n'), "{line}");
            assert!(line.contains("\"connections_opened\":2,"), "{line}");
            assert_eq!(stats.iter().count(), line.matches(':').count());
            thread(move || exchange(&mut client, b"again")).await;
            stop(server).await;
        });
    });
}

#[test]
fn a_second_server_at_the_same_address_is_refused() {
    each_driver(|builder| {
        for reactors in [1, 2] {
            run(builder.clone().reactors(reactors), async {
                let first = serve(echo).await;
                let address = address(&first);
                in_use(Server::builder().listen(&address.to_string(), echo).start().await);
                // Asking alone for sharing does not help, as long as the first one has not.
                let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
                for address in [address, everywhere] {
                    let shared = ListenOptions::new(address).share_port(true);
                    in_use(Server::builder().listen_with(shared, echo).start().await);
                }
                thread(move || (0..20).for_each(|_| exchange(&mut connect(address), b"hello"))).await;
                // Once it has stopped listening the address is anybody's, even while it still serves.
                let mut client = thread(move || {
                    let mut client = connect(address);
                    exchange(&mut client, b"hello");
                    client
                })
                .await;
                let stopping = spawn_local(first.stop());
                let shared = ListenOptions::new(address).share_port(true);
                let second = Server::builder().listen_with(shared, echo).start().await.expect("a server");
                thread(move || assert_eq!(read_all(&mut client), b"")).await;
                assert!(stopping.await.expect("no panic").is_clean());
                stop(second).await;
            });
        }
    });
}

#[test]
fn servers_that_all_ask_for_it_share_an_address() {
    each_driver(|builder| {
        for reactors in [1, 2] {
            run(builder.clone().reactors(reactors), async {
                let named = |name: &'static str| {
                    async move |mut connection: Connection| {
                        connection.send(name).await?;
                        Ok(())
                    }
                };
                let first =
                    Server::builder().listen_with(loopback().share_port(true), named("first")).start().await;
                let first = first.expect("the first");
                let address = address(&first);
                let shared = ListenOptions::new(address).share_port(true);
                let second =
                    Server::builder().listen_with(shared, named("second")).start().await.expect("the second");
                // One that did not ask is refused.
                in_use(Server::builder().listen(&address.to_string(), echo).start().await);
                let answers =
                    thread(move || (0..100).map(|_| read_all(&mut connect(address))).collect::<HashSet<_>>())
                        .await;
                assert_eq!(answers.len(), 2, "both get connections");
                stop(first).await;
                thread(move || assert_eq!(read_all(&mut connect(address)), b"second")).await;
                stop(second).await;
            });
        }
    });
}

/// Neither the port nor anything else of a server that did not start stays behind.
#[test]
fn a_server_that_fails_to_start_gives_back_the_addresses_it_had() {
    each_driver(|builder| {
        for reactors in [1, 2] {
            run(builder.clone().reactors(reactors), async {
                let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("listener");
                let taken = holder.local_addr().expect("address");
                let free = std::net::TcpListener::bind("127.0.0.1:0").expect("listener");
                let port = free.local_addr().expect("address");
                drop(free);
                let builder =
                    Server::builder().listen(&port.to_string(), echo).listen(&taken.to_string(), echo);
                in_use(builder.start().await);
                until("the port is free", || std::net::TcpListener::bind(port).is_ok()).await;
            });
        }
    });
}

#[test]
fn a_server_that_cannot_be_is_explained() {
    each_driver(|builder| {
        run(builder, async {
            assert!(matches!(Server::builder().start().await, Err(ServeError::NoListener)));
            let nonsense = Server::builder().listen("nonsense", echo).start().await;
            assert!(matches!(nonsense, Err(ServeError::Address(_))), "{nonsense:?}");
            // An address of documentation: no interface has it.
            let elsewhere = Server::builder().listen("192.0.2.1:0", echo).start().await;
            let error = elsewhere.expect_err("not ours");
            assert_eq!(error.to_string(), "listening on 192.0.2.1:0");
            let cause = std::error::Error::source(&error).expect("a cause").downcast_ref::<std::io::Error>();
            assert_eq!(cause.expect("the kernel's").kind(), ErrorKind::AddrNotAvailable);
        });
    });
}

#[test]
fn a_dual_stack_listener_is_reached_by_both_protocols() {
    each_driver(|builder| {
        run(builder.reactors(2), async {
            let server = Server::builder().listen(":0", echo).start().await.expect("a server");
            let port = address(&server).port();
            assert_ne!(port, 0);
            thread(move || {
                exchange(&mut connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))), b"four");
                exchange(&mut connect(SocketAddr::from((Ipv6Addr::LOCALHOST, port))), b"six");
            })
            .await;
            stop(server).await;
        });
    });
}

#[test]
fn an_ipv6_listener_is_reached_by_ipv6_alone() {
    each_driver(|builder| {
        run(builder, async {
            let server = Server::builder().listen("[::]:0", echo).start().await.expect("a server");
            let port = address(&server).port();
            thread(move || {
                exchange(&mut connect(SocketAddr::from((Ipv6Addr::LOCALHOST, port))), b"six");
                let four = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port));
                assert_eq!(four.expect_err("refused").kind(), ErrorKind::ConnectionRefused);
            })
            .await;
            stop(server).await;
        });
    });
}

#[test]
fn a_unix_socket_is_served_by_every_reactor_and_its_file_goes_with_the_server() {
    each_driver(|builder| {
        run(builder.reactors(2), async {
            let directory = Directory::new("unix");
            let path = directory.socket();
            let address = format!("unix:{}", path.display());
            let server = Server::builder().listen(&address, echo).start().await.expect("a server");
            assert_eq!(server.addresses()[0].as_path(), Some(&*path));
            let clients: Vec<_> = (0..8)
                .map(|_| {
                    let path = path.clone();
                    thread(move || {
                        (0..5).for_each(|_| exchange_unix(UnixStream::connect(&path).expect("connect")));
                    })
                })
                .collect();
            for client in clients {
                client.await;
            }
            // Our own client, too.
            let mut connection = connect_to(&address).await.expect("connect");
            connection.send(b"ours").await.expect("send");
            assert_eq!(&*connection.recv().await.expect("recv").expect("bytes"), b"ours");
            drop(connection);
            stop(server).await;
            assert!(!path.exists(), "the file stays behind");
        });
    });
}

#[test]
fn a_socket_file_is_replaced_only_if_nobody_answers_there() {
    each_driver(|builder| {
        run(builder, async {
            let directory = Directory::new("stale");
            let path = directory.socket();
            let address = format!("unix:{}", path.display());
            let living = UnixListener::bind(&path).expect("listener");
            in_use(Server::builder().listen(&address, echo).start().await);
            assert!(path.exists());
            drop(living);
            // The file is still there, but nobody listens.
            let server = Server::builder().listen(&address, echo).start().await.expect("a server");
            thread({
                let path = path.clone();
                move || exchange_unix(UnixStream::connect(path).expect("connect"))
            })
            .await;
            stop(server).await;
            // What is no socket is never removed.
            std::fs::write(&path, b"precious").expect("a file");
            assert!(Server::builder().listen(&address, echo).start().await.is_err());
            assert_eq!(std::fs::read(&path).expect("still there"), b"precious");
        });
    });
}

#[test]
fn a_unix_listener_of_ones_own_accepts() {
    each_driver(|builder| {
        run(builder, async {
            let directory = Directory::new("own");
            let path = directory.socket();
            let listener = AnnuletUnixListener::bind(&path).expect("listener");
            assert_eq!(listener.local_addr().expect("address").as_path(), Some(&*path));
            let client = thread({
                let path = path.clone();
                move || exchange_unix(UnixStream::connect(path).expect("connect"))
            });
            let (stream, _) = listener.accept().await.expect("accept");
            let handler = spawn_local(echo(stream.into_connection()));
            client.await;
            handler.await.expect("no panic").expect("echo");
            drop(listener);
            until("the file is gone", || !path.exists()).await;
        });
    });
}

#[test]
fn a_name_in_the_abstract_namespace_is_served() {
    each_driver(|builder| {
        run(builder.reactors(2), async {
            let name = format!("annulet-test-{}-{:?}", std::process::id(), std::thread::current().id());
            let address = format!("unix:@{name}");
            let server = Server::builder().listen(&address, echo).start().await.expect("a server");
            assert_eq!(server.addresses()[0].to_string(), address);
            let unix = UnixSocketAddr::from_abstract_name(name).expect("a name");
            thread(move || {
                (0..10).for_each(|_| exchange_unix(UnixStream::connect_addr(&unix).expect("connect")))
            })
            .await;
            in_use(Server::builder().listen(&address, echo).start().await);
            stop(server).await;
        });
    });
}

#[test]
fn an_inherited_socket_is_served_by_every_reactor() {
    each_driver(|builder| {
        for reactors in [1, 2] {
            run(builder.clone().reactors(reactors), async {
                let inherited = std::net::TcpListener::bind("127.0.0.1:0").expect("listener");
                let expected = inherited.local_addr().expect("address");
                let address = ListenAddress::Inherited(inherited.into());
                let options = ListenOptions::new(address);
                let server = Server::builder().listen_with(options, echo).start().await.expect("a server");
                assert_eq!(server.addresses()[0], Address::Tcp(expected));
                thread(move || (0..20).for_each(|_| exchange(&mut connect(expected), b"hello"))).await;
                stop(server).await;
            });
        }
    });
}

/// `HandlerResult` takes any error, so `?` works on what a handler is likely to meet.
#[test]
fn a_handler_may_fail_with_any_error() {
    async fn handler(mut connection: Connection) -> HandlerResult {
        let chunk = connection.recv().await?.ok_or_else(|| annulet::HandlerError::message("nothing"))?;
        let number: u32 = std::str::from_utf8(&chunk)?.parse()?;
        connection.send(format!("{}", u8::try_from(number)?)).await?;
        Ok(std::fs::metadata("/nonexistent").map(drop)?)
    }
    each_driver(|builder| {
        run(builder, async {
            let server = serve(handler).await;
            let address = address(&server);
            thread(move || {
                for (sent, expected) in [("x", ""), ("300", ""), ("7", "7"), ("", "")] {
                    let mut client = connect(address);
                    client.write_all(sent.as_bytes()).expect("write");
                    client.shutdown(Shutdown::Write).expect("shutdown");
                    assert_eq!(read_all(&mut client), expected.as_bytes());
                }
            })
            .await;
            assert_eq!(counter("handlers_failed"), 4);
            stop(server).await;
        });
    });
}
