//! HTTP/1.1: a whole connection, from the bytes of a client to the responses of the server.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use annulet_driver::scripted::{Script, ScriptedDriver};
use annulet_driver::{DriverOptions, Op, Socket};
use annulet_http::{IntoResponse, Request, Response, Settings, service};
use annulet_net::{Handler, Protocol, TcpListener};
use annulet_proto::http1::{Answers, BodyDecoder, BodyStep, HeadLimits, ResponseHead};
use annulet_runtime::signal::{Signal, Signals};
use annulet_runtime::{Park, Reactor, ReactorId};

/// Small enough for a fuzzer to reach.
const HEAD: HeadLimits = HeadLimits { bytes: 1024, fields: 8, target: 128, bare_lf: false };
const BODY_MAX: u64 = 256;
/// Longer inputs are not delivered byte by byte: that is slow, and says nothing new.
const SINGLE_BYTES_MAX: usize = 2048;

/// A client that sends `input` and ends.
pub fn connection(input: &[u8]) {
    let whole = Outcome::of(std::iter::once(input));
    whole.check();
    if input.len() <= SINGLE_BYTES_MAX {
        assert_eq!(Outcome::of(input.chunks(1)), whole, "byte by byte");
    }
    // Cut where the input itself says.
    let (mut pieces, mut rest) = (Vec::new(), input);
    for byte in input {
        let (piece, behind) = rest.split_at(rest.len().min(usize::from(*byte)));
        pieces.push(piece);
        rest = behind;
    }
    pieces.push(rest);
    assert_eq!(Outcome::of(pieces.into_iter()), whole, "in pieces");
}

/// What came of a connection.
#[derive(Debug, PartialEq)]
struct Outcome {
    /// The methods of the requests that reached the handler.
    handled: Vec<String>,
    answers: Vec<Answer>,
}

/// A response, but for those that only say that more is to come: whether they are needed depends on how bytes arrive.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    keeps_alive: bool,
}

impl Outcome {
    fn of<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Self {
        let bench = Bench::new();
        for piece in pieces.filter(|piece| !piece.is_empty()) {
            bench.receive(piece);
        }
        bench.end()
    }

    /// Every request is answered once and in order; what is no request is answered once, and is the end.
    fn check(&self) {
        let (handled, answers) = (self.handled.len(), self.answers.len());
        assert!(answers == handled || answers == handled + 1, "{self:?}");
        if answers > handled {
            let last = &self.answers[handled];
            assert!(last.status >= 400 && !last.keeps_alive, "{self:?}");
        }
        let before_last = &self.answers[..answers.saturating_sub(1)];
        assert!(before_last.iter().all(|answer| answer.keeps_alive), "{self:?}");
    }
}

/// A server's connection on a script.
struct Bench {
    reactor: Reactor,
    script: Script,
    socket: Socket,
    handled: Rc<RefCell<Vec<String>>>,
    /// Keeps turns from sleeping: the script signals whenever nothing else happens.
    alarm: Signals,
}

impl Bench {
    fn new() -> Self {
        let options = DriverOptions::default().buffers(16).buffers_max(16).buffer_size(512);
        let (driver, script) = ScriptedDriver::with(&options, 1);
        let reactor = Reactor::new(ReactorId(0), Box::new(driver), Park::Block);
        let number = Signal::USER_2.0;
        let alarm = reactor.enter(|| Signals::new(&[Signal::USER_2]));
        let key = script.find(&Op::Signal { signals: vec![number] }).expect("submitted");
        script.when_idle(move |script| script.signal(key, number));

        let handled: Rc<RefCell<Vec<String>>> = Rc::default();
        let site = site(&reactor);
        let methods = handled.clone();
        METHODS.with(|current| *current.borrow_mut() = methods);
        reactor.spawn_detached(async move {
            let listener = TcpListener::bind("127.0.0.1:80").await.expect("a script always listens");
            let (stream, _) = listener.accept().await.expect("a client");
            // How it ended shows in what was sent.
            let _ = site.handle(stream.into_connection()).await;
        });
        turn(&reactor);
        let accept =
            script.submitted().into_iter().find(|submitted| matches!(submitted.op, Op::Accept { .. }));
        let socket = script.accepted(accept.expect("it accepts").key);
        turn(&reactor);
        Self { reactor, script, socket, handled, alarm }
    }

    /// Bytes arrive, unless nobody waits for any.
    fn receive(&self, bytes: &[u8]) {
        if let Some(key) = self.script.find(&Op::Receive { socket: self.socket }) {
            self.script.received(key, bytes);
            turn(&self.reactor);
        }
    }

    /// The client ends, and so does the connection.
    fn end(self) -> Outcome {
        if let Some(key) = self.script.find(&Op::Receive { socket: self.socket }) {
            self.script.end(key);
        }
        turn(&self.reactor);
        self.script.advance(Duration::from_secs(1000));
        turn(&self.reactor);
        assert!(self.script.is_closed(self.socket), "everything ends when the client does");
        let sent = self.script.sent(self.socket);
        drop(self.alarm);
        let report = self.reactor.shut_down(Duration::ZERO);
        assert!(report.is_clean(), "{report}");
        let handled = self.handled.take();
        let answers = answers(&sent, &handled);
        Outcome { handled, answers }
    }
}

thread_local! {
    /// Where the handler of the current bench notes its requests: a service's handler is `Send`, a list of its own is not.
    static METHODS: RefCell<Rc<RefCell<Vec<String>>>> = RefCell::default();
}

/// A server that reads every body, and sends it back.
fn site(reactor: &Reactor) -> impl Handler + use<> {
    let settings = Settings::default().head(HEAD).body_max(BODY_MAX).requests_max(20);
    service(async |mut request: Request| {
        METHODS.with(|methods| methods.borrow().borrow_mut().push(request.method().to_string()));
        match request.bytes().await {
            Ok(body) => Response::bytes(body),
            Err(error) => error.into_response(),
        }
    })
    .settings(settings)
    .handler(reactor)
}

/// Lets everything happen that can.
fn turn(reactor: &Reactor) {
    for _ in 0..6 {
        reactor.turn().expect("a script does not break");
    }
}

/// What was sent, taken apart. `methods` are those of the requests that were answered.
fn answers(mut sent: &[u8], methods: &[String]) -> Vec<Answer> {
    let mut answers = Vec::new();
    while !sent.is_empty() {
        let to = match methods.get(answers.len()).map(String::as_str) {
            Some("HEAD") => Answers::Head,
            _ => Answers::Other,
        };
        let mut head = ResponseHead::new();
        let length = head.parse(sent, &HeadLimits::default(), to).expect("a response").expect("whole");
        sent = &sent[length..];
        if head.is_informational() {
            continue;
        }
        let mut decoder = BodyDecoder::new(head.body_length());
        let mut body = Vec::new();
        loop {
            match decoder.decode(sent).expect("a body") {
                BodyStep::Data { skip, length } => {
                    body.extend_from_slice(&sent[skip..skip + length]);
                    sent = &sent[skip + length..];
                }
                BodyStep::End { skip } => {
                    sent = &sent[skip..];
                    break;
                }
                BodyStep::More { .. } => panic!("the response's body is cut off: {answers:?}"),
            }
        }
        let fields = head.fields().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        answers.push(Answer { status: head.status(), fields, body, keeps_alive: head.keeps_alive() });
    }
    answers
}
