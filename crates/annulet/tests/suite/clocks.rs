//! Each clock fires when it should, names itself, is counted, and leaves alone whom it does not concern.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use annulet::proto::lines::Lines;
use annulet::time::{sleep, timeout};
use annulet::{Clock, Clocks, Connection, Error, HandlerResult, Limits, ListenOptions, Server};

use crate::support::*;

const LIMIT: Duration = Duration::from_millis(200);
/// What a loaded machine may add to it.
const LATE: Duration = Duration::from_secs(10);

/// No clock at all.
fn none() -> Clocks {
    Clocks::default().setup(None).idle(None).inactivity(None).request(None).write(None).linger(None)
}

/// The error each handler ended with.
#[derive(Clone, Default)]
struct Errors(Arc<Mutex<Vec<Option<Error>>>>);

impl Errors {
    fn note(&self, result: &HandlerResult) {
        let error = result.as_ref().err().and_then(|error| error.connection_error());
        self.0.lock().expect("errors").push(error);
    }

    fn seen(&self) -> Vec<Option<Error>> {
        self.0.lock().expect("errors").clone()
    }
}

async fn clocked<H>(clocks: Clocks, handler: H) -> (Server, Errors)
where
    H: AsyncFn(Connection) -> HandlerResult + Clone + Send + 'static,
{
    let errors = Errors::default();
    let noted = errors.clone();
    let handler = move |connection: Connection| {
        let (noted, handler) = (noted.clone(), handler.clone());
        async move {
            let result = handler(connection).await;
            noted.note(&result);
            result
        }
    };
    let server = Server::builder().clocks(clocks).listen("127.0.0.1:0", handler);
    (server.start().await.expect("a server"), errors)
}

async fn echo_lines(connection: Connection) -> HandlerResult {
    let mut lines = connection.framed(Lines::new(1000));
    loop {
        match lines.recv().await {
            Ok(Some(line)) => lines.send(line.bytes).await?,
            Ok(None) => return Ok(()),
            Err(error) => {
                let error = match error {
                    annulet::FramedError::Connection(error) => error,
                    annulet::FramedError::Codec(error) => return Err(error.into()),
                };
                return Err(error.into());
            }
        }
    }
}

/// Waits for the end of a connection that was left alone since `since`, and checks when it came.
fn ends_in_time(client: &mut TcpStream, since: Instant) -> (Vec<u8>, End) {
    let end = end_of(client);
    let took = since.elapsed();
    assert!(took >= LIMIT, "ended after {took:?}, too early");
    assert!(took <= LIMIT + LATE, "ended after {took:?}, too late");
    end
}

fn fired(clock: &str) {
    for name in ["setup", "idle", "inactivity", "request", "write", "linger"] {
        let count = counter(&format!("timeouts_{name}"));
        assert_eq!(count, u64::from(name == clock), "timeouts_{name}");
    }
}

#[test]
fn the_setup_clock_ends_a_connection_that_never_says_anything() {
    each_driver(|builder| {
        run(builder, async {
            let (server, errors) = clocked(none().setup(Some(LIMIT)), echo).await;
            let address = address(&server);
            thread(move || {
                // One that has said something stays.
                let mut talker = connect(address);
                exchange(&mut talker, b"hello");
                let since = Instant::now();
                let mut silent = connect(address);
                assert_eq!(ends_in_time(&mut silent, since), (vec![], End::Finished));
                exchange(&mut talker, b"still here");
            })
            .await;
            assert_eq!(errors.seen()[0], Some(Error::Timeout(Clock::Setup)));
            fired("setup");
            stop(server).await;
        });
    });
}

#[test]
fn the_idle_clock_ends_a_connection_between_messages_and_lets_the_handler_say_farewell() {
    each_driver(|builder| {
        run(builder, async {
            let (server, errors) = clocked(none().idle(Some(LIMIT)), async |mut connection: Connection| {
                loop {
                    match connection.recv().await {
                        Ok(Some(chunk)) => connection.send(chunk).await?,
                        Ok(None) => return Ok(()),
                        Err(error) => {
                            connection.send(b"good bye").await?;
                            return Err(error.into());
                        }
                    }
                }
            })
            .await;
            let address = address(&server);
            thread(move || {
                let mut client = connect(address);
                exchange(&mut client, b"hello");
                let since = Instant::now();
                client.write_all(b"!").expect("write");
                assert_eq!(ends_in_time(&mut client, since), (b"!good bye".to_vec(), End::Finished));
            })
            .await;
            assert_eq!(errors.seen(), [Some(Error::Timeout(Clock::Idle))]);
            fired("idle");
            stop(server).await;
        });
    });
}

#[test]
fn every_byte_restarts_the_idle_clock() {
    const IDLE: Duration = Duration::from_millis(1000);
    each_driver(|builder| {
        run(builder, async {
            let (server, errors) = clocked(none().idle(Some(IDLE)), echo).await;
            let address = address(&server);
            thread(move || {
                let mut client = connect(address);
                for _ in 0..15 {
                    exchange(&mut client, b"tick");
                    std::thread::sleep(IDLE / 10);
                }
                client.shutdown(Shutdown::Write).expect("shutdown");
                assert_eq!(read_all(&mut client), b"");
            })
            .await;
            assert_eq!(errors.seen(), [None]);
            fired("none");
            stop(server).await;
        });
    });
}

#[test]
fn the_inactivity_clock_ends_a_message_that_stops_half_way() {
    each_driver(|builder| {
        run(builder, async {
            let (server, errors) = clocked(none().inactivity(Some(LIMIT)), echo_lines).await;
            let address = address(&server);
            thread(move || {
                // Between messages it does not run.
                let mut idle = connect(address);
                exchange(&mut idle, b"hello\n");
                let mut client = connect(address);
                exchange(&mut client, b"hello\n");
                let since = Instant::now();
                client.write_all(b"half a li").expect("write");
                assert_eq!(ends_in_time(&mut client, since), (vec![], End::Finished));
                exchange(&mut idle, b"still here\n");
            })
            .await;
            assert_eq!(errors.seen()[0], Some(Error::Timeout(Clock::Inactivity)));
            fired("inactivity");
            stop(server).await;
        });
    });
}

/// Every byte comes well within the inactivity limit; it is the whole that takes too long.
#[test]
fn the_request_clock_ends_a_message_that_trickles_in() {
    each_driver(|builder| {
        run(builder, async {
            let clocks = none().inactivity(Some(LATE)).request(Some(LIMIT));
            let (server, errors) = clocked(clocks, echo_lines).await;
            let address = address(&server);
            thread(move || {
                let mut idle = connect(address);
                exchange(&mut idle, b"hello\n");
                let mut client = connect(address);
                exchange(&mut client, b"hello\n");
                let since = Instant::now();
                let mut writer = client.try_clone().expect("clone");
                let trickle = std::thread::spawn(move || {
                    while writer.write_all(b"x").is_ok() {
                        std::thread::sleep(LIMIT / 20);
                        assert!(since.elapsed() < LIMIT + LATE, "nobody minds");
                    }
                });
                let (bytes, _) = ends_in_time(&mut client, since);
                assert_eq!(bytes, b"");
                drop(client);
                trickle.join().expect("the trickle");
                exchange(&mut idle, b"still here\n");
            })
            .await;
            assert_eq!(errors.seen()[0], Some(Error::Timeout(Clock::Request)));
            assert_eq!(counter("timeouts_request"), 1);
            stop(server).await;
        });
    });
}

#[test]
fn the_write_clock_resets_a_peer_that_never_reads() {
    each_driver(|builder| {
        run(builder, async {
            let (server, errors) = clocked(none().write(Some(LIMIT)), async |mut connection: Connection| {
                connection.recv().await?;
                loop {
                    connection.write_all(&[b'x'; 50_000]).await?;
                }
            })
            .await;
            let address = address(&server);
            let since = Instant::now();
            let mut client = thread(move || {
                let mut client = connect_narrow(address, 4096);
                client.write_all(b"x").expect("write");
                client
            })
            .await;
            until("the handler gives up", || !errors.seen().is_empty()).await;
            assert!(since.elapsed() >= LIMIT, "after {:?}", since.elapsed());
            assert_eq!(errors.seen(), [Some(Error::Timeout(Clock::Write))]);
            fired("write");
            assert_eq!(counter("resets_sent"), 1);
            assert_eq!(counter("connections_undelivered"), 1);
            thread(move || assert_eq!(end_of(&mut client).1, End::Reset)).await;
            stop(server).await;
        });
    });
}

/// The same after the handler has left: nobody waits, but the clock runs.
#[test]
fn the_write_clock_runs_on_when_the_handler_has_left() {
    each_driver(|builder| {
        run(builder, async {
            let (server, errors) = clocked(none().write(Some(LIMIT)), async |mut connection: Connection| {
                connection.recv().await?;
                connection.send(vec![b'x'; 16 << 20]).await?;
                Ok(())
            })
            .await;
            let address = address(&server);
            let mut client = thread(move || {
                let mut client = connect_narrow(address, 4096);
                client.write_all(b"x").expect("write");
                client
            })
            .await;
            until("the connection is given up", || {
                counter("connections_closed") == 1 && counter("connections_open") == 0
            })
            .await;
            assert_eq!(errors.seen(), [None]);
            fired("write");
            thread(move || assert_eq!(end_of(&mut client).1, End::Reset)).await;
            stop(server).await;
        });
    });
}

#[test]
fn progress_restarts_the_write_clock() {
    const WRITE: Duration = Duration::from_millis(1000);
    each_driver(|builder| {
        run(builder, async {
            let (server, errors) = clocked(none().write(Some(WRITE)), async |mut connection: Connection| {
                connection.set_send_buffer_size(4096)?;
                connection.send(Pattern::new(1).take(300_000)).await?;
                connection.flush().await?;
                Ok(())
            })
            .await;
            let address = address(&server);
            thread(move || {
                let mut client = connect_narrow(address, 4096);
                let mut pattern = Pattern::new(1);
                let start = Instant::now();
                // Slowly, a tenth of the clock at a time, for twice its length; then the rest.
                while start.elapsed() < WRITE * 2 {
                    pattern.check(&read_exactly(&mut client, 6_000));
                    std::thread::sleep(WRITE / 10);
                }
                pattern.check(&read_all(&mut client));
                assert_eq!(pattern.position(), 300_000);
            })
            .await;
            assert_eq!(errors.seen(), [None]);
            fired("none");
            stop(server).await;
        });
    });
}

#[test]
fn the_linger_clock_ends_the_wait_for_a_peer_that_never_ends() {
    each_driver(|builder| {
        run(builder, async {
            let (server, errors) = clocked(none().linger(Some(LIMIT)), async |mut connection: Connection| {
                connection.recv().await?;
                connection.send(b"bye").await?;
                Ok(())
            })
            .await;
            let address = address(&server);
            let client = thread(move || {
                let mut client = connect(address);
                client.write_all(b"x").expect("write");
                assert_eq!(read_all(&mut client), b"bye");
                client
            })
            .await;
            let since = Instant::now();
            assert_eq!(counter("connections_open"), 1, "it lingers");
            until("the connection is closed", || counter("connections_open") == 0).await;
            assert!(since.elapsed() <= LIMIT + LATE);
            assert_eq!(errors.seen(), [None]);
            fired("linger");
            assert_eq!(counter("resets_sent"), 0);
            drop(client);
            stop(server).await;
        });
    });
}

/// Or a peer could hold a connection for hours, a byte at a time.
#[test]
fn what_a_peer_still_sends_does_not_put_the_linger_clock_back() {
    each_driver(|builder| {
        run(builder, async {
            let (server, _) = clocked(none().linger(Some(LIMIT)), async |mut connection: Connection| {
                connection.recv().await?;
                Ok(())
            })
            .await;
            let address = address(&server);
            thread(move || {
                let mut client = connect(address);
                client.write_all(b"x").expect("write");
                assert_eq!(read_all(&mut client), b"");
                let since = Instant::now();
                while client.write_all(b"x").is_ok() {
                    std::thread::sleep(LIMIT / 20);
                    assert!(since.elapsed() < LIMIT + LATE, "it lingers for ever");
                }
            })
            .await;
            until("the connection is closed", || counter("connections_open") == 0).await;
            fired("linger");
            stop(server).await;
        });
    });
}

#[test]
fn a_clock_that_is_off_never_fires() {
    each_driver(|builder| {
        run(builder, async {
            let (server, errors) = clocked(none(), echo_lines).await;
            let address = address(&server);
            thread(move || {
                let pause = || std::thread::sleep(LIMIT);
                let mut client = connect(address);
                pause();
                client.write_all(b"begun").expect("write");
                pause();
                client.write_all(b", ended\n").expect("write");
                assert_eq!(read_exactly(&mut client, 13), b"begun, ended\n");
                pause();
                exchange(&mut client, b"again\n");
                client.shutdown(Shutdown::Write).expect("shutdown");
                assert_eq!(read_all(&mut client), b"");
            })
            .await;
            assert_eq!(errors.seen(), [None]);
            fired("none");
            stop(server).await;
        });
    });
}

/// The clock of reading stands still while the handler is at work, however long.
#[test]
fn the_time_a_handler_is_busy_counts_against_nobody() {
    const IDLE: Duration = Duration::from_millis(500);
    each_driver(|builder| {
        run(builder, async {
            let clocks = none().idle(Some(IDLE)).inactivity(Some(IDLE)).setup(Some(IDLE));
            let (server, errors) = clocked(clocks, async |mut connection: Connection| {
                while let Some(chunk) = connection.recv().await? {
                    sleep(IDLE * 2).await;
                    connection.send(chunk).await?;
                }
                Ok(())
            })
            .await;
            let address = address(&server);
            thread(move || {
                let mut client = connect(address);
                for _ in 0..2 {
                    // The answer takes twice the limit, and the next message comes at once.
                    exchange(&mut client, b"work");
                }
                client.shutdown(Shutdown::Write).expect("shutdown");
                assert_eq!(read_all(&mut client), b"");
            })
            .await;
            assert_eq!(errors.seen(), [None]);
            fired("none");
            stop(server).await;
        });
    });
}

/// The same where the handler had begun to wait for input, gave up, and then was busy.
#[test]
fn the_time_after_a_dropped_recv_counts_against_nobody() {
    const IDLE: Duration = Duration::from_millis(500);
    each_driver(|builder| {
        run(builder, async {
            let clocks = none().idle(Some(IDLE));
            let (server, errors) = clocked(clocks, async |mut connection: Connection| {
                let chunk = connection.recv().await?.expect("bytes");
                let nothing = timeout(Duration::from_millis(1), connection.recv()).await;
                assert!(nothing.is_err());
                sleep(IDLE * 2).await;
                connection.send(chunk).await?;
                while let Some(chunk) = connection.recv().await? {
                    connection.send(chunk).await?;
                }
                Ok(())
            })
            .await;
            let address = address(&server);
            thread(move || {
                let mut client = connect(address);
                exchange(&mut client, b"work");
                exchange(&mut client, b"more");
                client.shutdown(Shutdown::Write).expect("shutdown");
                assert_eq!(read_all(&mut client), b"");
            })
            .await;
            assert_eq!(errors.seen(), [None]);
            fired("none");
            stop(server).await;
        });
    });
}

/// A handler that waits for input with timeouts of its own does not keep the clock from running out.
#[test]
fn dropping_and_repeating_recv_does_not_restart_the_clock() {
    each_driver(|builder| {
        run(builder, async {
            let (server, errors) = clocked(none().idle(Some(LIMIT)), async |mut connection: Connection| {
                loop {
                    if let Ok(received) = timeout(LIMIT / 20, connection.recv()).await {
                        match received? {
                            Some(chunk) => connection.send(chunk).await?,
                            None => return Ok(()),
                        }
                    }
                }
            })
            .await;
            let address = address(&server);
            thread(move || {
                let mut client = connect(address);
                let since = Instant::now();
                client.write_all(b"!").expect("write");
                assert_eq!(ends_in_time(&mut client, since), (b"!".to_vec(), End::Finished));
            })
            .await;
            assert_eq!(errors.seen(), [Some(Error::Timeout(Clock::Idle))]);
            fired("idle");
            stop(server).await;
        });
    });
}

#[test]
fn a_listener_may_have_clocks_and_limits_of_its_own() {
    each_driver(|builder| {
        run(builder, async {
            let loopback = || ListenOptions::parse("127.0.0.1:0").expect("address");
            let strict = loopback().clocks(none().idle(Some(LIMIT)));
            let patient = loopback().limits(Limits::default().unsent_max(1000));
            let server = Server::builder()
                .clocks(none())
                .listen_with(strict, echo)
                .listen_with(patient, echo)
                .start()
                .await
                .expect("a server");
            let addresses: Vec<_> = server.addresses().iter().map(|a| a.as_tcp().expect("TCP")).collect();
            thread(move || {
                let (mut strict, mut patient) = (connect(addresses[0]), connect(addresses[1]));
                exchange(&mut patient, b"hello");
                let since = Instant::now();
                exchange(&mut strict, b"hello");
                assert_eq!(ends_in_time(&mut strict, since), (vec![], End::Finished));
                exchange(&mut patient, b"still here");
            })
            .await;
            fired("idle");
            stop(server).await;
        });
    });
}
