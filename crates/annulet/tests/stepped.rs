//! Servers on runtimes that are stepped: several processes on one thread, from their starts to their ends, without a kernel.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use annulet::driver::scripted::{Script, ScriptedDriver};
use annulet::driver::{Driver, Op, Socket};
use annulet::net::ServerBuilder;
use annulet::{
    Connection, DrainReport, HandlerResult, JoinHandle, ListenOptions, Park, ReactorId, ServeError, Server,
    serving,
};
use annulet_runtime::{Audit, Outside, Refused, Step, Stepped};

const SIGTERM: i32 = 15;

/// No test here blocks.
struct Nothing;

impl Outside for Nothing {
    fn run_blocking(&self, _: Box<dyn FnOnce() + Send>) -> Result<(), Refused> {
        Err(Refused)
    }

    fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn close(&self) {}
}

/// A server's process of two reactors.
struct Host {
    runtime: Stepped,
    scripts: [Script; 2],
    server: JoinHandle<Result<DrainReport, ServeError>>,
}

impl Host {
    fn serving(server: ServerBuilder) -> Self {
        let [(one, one_script), (two, two_script)] = [ScriptedDriver::new(), ScriptedDriver::new()];
        let drivers = [one, two].map(|driver| Box::new(driver.returning()) as Box<dyn Driver>);
        let runtime = Stepped::new(drivers.into(), Park::Block, Arc::new(Nothing));
        let server = runtime.spawn(serving(server));
        let host = Self { runtime, scripts: [one_script, two_script], server };
        host.settle();
        host
    }

    /// Steps until both reactors are asleep, the second first; nothing may look wrong meanwhile.
    fn settle(&self) {
        loop {
            let steps = [1, 0].map(|id| self.runtime.step(ReactorId(id)).expect("step"));
            let mut audit = Audit::default();
            self.runtime.audit(&mut audit);
            assert!(audit.violations.is_empty(), "{audit:?}");
            if steps == [Step::Asleep; 2] {
                return;
            }
        }
    }

    /// A client connects to a reactor's listener, the one started as `index`.
    fn accept(&self, reactor: usize, index: usize) -> Socket {
        let accepts = self.scripts[reactor].submitted();
        let accept = accepts.iter().filter(|submitted| matches!(submitted.op, Op::Accept { .. })).nth(index);
        let socket = self.scripts[reactor].accepted(accept.expect("it listens").key);
        self.settle();
        socket
    }

    /// What a client is answered.
    fn ask(&self, reactor: usize, client: Socket, question: &str) -> String {
        let script = &self.scripts[reactor];
        script.received(script.receive_on(client), question.as_bytes());
        self.settle();
        String::from_utf8(script.take_sent(client)).expect("text")
    }

    /// Ends the server by a signal; `clients` end when they see that it does.
    fn terminate(self, clients: &[(usize, Socket)]) {
        let signals = Op::Signal { signals: vec![2, SIGTERM] };
        self.scripts[0].signal(self.scripts[0].find(&signals).expect("listened for"), SIGTERM);
        self.settle();
        for (reactor, client) in clients {
            let script = &self.scripts[*reactor];
            assert_eq!(script.shutdowns(*client), [std::net::Shutdown::Write]);
            script.end(script.receive_on(*client));
        }
        self.settle();
        assert!(self.server.is_finished());
        for report in self.runtime.end(&[ReactorId(0), ReactorId(1)], Duration::ZERO) {
            assert!(report.is_clean(), "{report}");
        }
        for script in self.scripts {
            assert_eq!(script.open_sockets(), []);
        }
    }
}

/// Answers with its number.
async fn number(mut connection: Connection) -> HandlerResult {
    while let Some(question) = connection.recv().await? {
        let answer = format!("{} {}", connection.number(), String::from_utf8_lossy(&question));
        connection.send(answer).await?;
    }
    Ok(())
}

#[test]
fn a_server_is_started_served_and_drained_by_steps() {
    let server = Server::builder().listen("127.0.0.1:7", number).listen("unix:@numbers", number);
    let host = Host::serving(server);
    // The second listener is one socket, duplicated for the second reactor.
    let clients = [(0, host.accept(0, 0)), (1, host.accept(1, 1)), (1, host.accept(1, 0))];
    for ((reactor, client), answer) in clients.iter().zip(["1 x", "2 x", "3 x"]) {
        assert_eq!(host.ask(*reactor, *client, "x"), answer);
    }
    host.terminate(&clients);
}

#[test]
fn processes_share_neither_ports_nor_numbers() {
    let alone = Host::serving(Server::builder().listen("127.0.0.1:7", number));
    // In the same process it would be refused: the port is the first server's alone.
    let sharing = ListenOptions::parse("127.0.0.1:7").expect("an address").share_port(true);
    let other = Host::serving(Server::builder().listen_with(sharing, number));
    for host in [alone, other] {
        let client = host.accept(1, 0);
        assert_eq!(host.ask(1, client, "y"), "1 y");
        host.terminate(&[(1, client)]);
    }
}

#[test]
fn a_server_that_blocks_its_thread_is_refused_on_a_stepped_runtime() {
    let (driver, _script) = ScriptedDriver::new();
    let runtime = Stepped::new(vec![Box::new(driver.returning())], Park::Block, Arc::new(Nothing));
    let refusal: Rc<RefCell<String>> = Rc::default();
    let note = refusal.clone();
    let _task = runtime.spawn(async move {
        let error = annulet::serve("127.0.0.1:7", number).expect_err("refused");
        note.replace(error.to_string());
    });
    while runtime.step(ReactorId(0)).expect("step") == Step::Ran {}
    assert!(refusal.borrow().contains("cannot be started inside one that is stepped"), "{refusal:?}");
    let reports = runtime.end(&[ReactorId(0)], Duration::ZERO);
    assert!(reports[0].is_clean(), "{}", reports[0]);
}
