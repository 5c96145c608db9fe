//! Every call on a socket in every state, also where it makes no sense.

use std::io::{self, IoSlice, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown};
use std::rc::Rc;
use std::time::Duration;

use annulet_driver::{Address, Domain, ListenSpec, Op, Payload, Socket, SocketOption, UnixAddress};

use super::{History, assert_same, number, shown};
use crate::bench::local_spec;
use crate::case::Kernel;
use crate::environment::{Environment, Listener, Peer};

const DOMAINS: [Domain; 3] = [Domain::V4, Domain::V6, Domain::Unix];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Fresh,
    Listening,
    Refused,
    Connected,
    /// The peer has ended sending.
    Ended,
    /// The peer has closed.
    Gone,
    Reset,
    /// And that was told.
    ResetTaken,
    ResetAfterEnd,
    /// The peer has closed without having read everything.
    Unread,
    Shut(Shutdown),
    /// Both have ended.
    Over,
}

const STATES: [State; 14] = [
    State::Fresh,
    State::Listening,
    State::Refused,
    State::Connected,
    State::Ended,
    State::Gone,
    State::Reset,
    State::ResetTaken,
    State::ResetAfterEnd,
    State::Unread,
    State::Shut(Shutdown::Read),
    State::Shut(Shutdown::Write),
    State::Shut(Shutdown::Both),
    State::Over,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Receive,
    TryReceive,
    Accept,
    TryAccept,
    Writable,
    Connect,
    ConnectToTheWrongFamily,
    ConnectToNobody,
    ConnectUnspecified,
    Send,
    SendNothing,
    SendSlices,
    Offer,
    Addresses,
    Duplicate,
    Shut(Shutdown),
    Close,
    Reset,
    Options,
    SetOptions,
}

const CALLS: [Call; 22] = [
    Call::Receive,
    Call::TryReceive,
    Call::Accept,
    Call::TryAccept,
    Call::Writable,
    Call::Connect,
    Call::ConnectToTheWrongFamily,
    Call::ConnectToNobody,
    Call::ConnectUnspecified,
    Call::Send,
    Call::SendNothing,
    Call::SendSlices,
    Call::Offer,
    Call::Addresses,
    Call::Duplicate,
    Call::Shut(Shutdown::Read),
    Call::Shut(Shutdown::Write),
    Call::Shut(Shutdown::Both),
    Call::Close,
    Call::Reset,
    Call::Options,
    Call::SetOptions,
];

/// What the simulated kernel is known not to do as Linux does: ending sockets that are not connected, and connecting one
/// again that was refused, which says ECONNABORTED first (io_uring hides most of that).
fn is_left_out(kernel: Kernel, (domain, state, call): (Domain, State, Call)) -> bool {
    match (state, call) {
        (State::Fresh | State::Listening, Call::Shut(_)) => true,
        (State::Refused, Call::ConnectToTheWrongFamily) => domain != Domain::Unix,
        (State::Fresh, Call::ConnectToNobody)
        | (State::Refused, Call::Connect | Call::ConnectToNobody | Call::ConnectUnspecified) => {
            domain != Domain::Unix && matches!(kernel, Kernel::Epoll)
        }
        _ => false,
    }
}

const OPTIONS: [SocketOption; 8] = [
    SocketOption::Error(0),
    SocketOption::NoDelay(false),
    SocketOption::Keepalive(None),
    SocketOption::ResetOnClose(false),
    SocketOption::UserTimeout(None),
    SocketOption::TypeOfService(0),
    SocketOption::TimeToLive(0),
    SocketOption::Error(0),
];

const SET_OPTIONS: [SocketOption; 25] = [
    SocketOption::Error(0),
    SocketOption::NoDelay(true),
    SocketOption::NoDelay(false),
    SocketOption::Keepalive(Some(Duration::from_secs(7))),
    SocketOption::Keepalive(Some(Duration::ZERO)),
    SocketOption::Keepalive(Some(Duration::from_secs(40_000))),
    SocketOption::Keepalive(None),
    SocketOption::ResetOnClose(true),
    SocketOption::SendBuffer(1),
    SocketOption::SendBuffer(5000),
    SocketOption::ReceiveBuffer(1),
    SocketOption::ReceiveBuffer(5000),
    SocketOption::UserTimeout(Some(Duration::from_millis(3))),
    SocketOption::UserTimeout(Some(Duration::from_micros(3))),
    SocketOption::UserTimeout(Some(Duration::ZERO)),
    SocketOption::UserTimeout(Some(Duration::from_secs(10_000_000))),
    SocketOption::QuickAck(true),
    SocketOption::TypeOfService(0),
    SocketOption::TypeOfService(0x10),
    SocketOption::TypeOfService(0x13),
    SocketOption::TypeOfService(300),
    SocketOption::TimeToLive(0),
    SocketOption::TimeToLive(1),
    SocketOption::TimeToLive(255),
    SocketOption::TimeToLive(256),
];

/// A socket in a state, and somebody who listens.
struct Scene {
    history: History,
    domain: Domain,
    socket: Socket,
    peer: Option<Box<dyn Peer>>,
    listening: Address,
    _listener: Box<dyn Listener>,
    /// Where nobody is.
    nobody: Address,
    elsewhere: Address,
}

impl Scene {
    fn lines(
        environment: Rc<dyn Environment>,
        moment: Duration,
        (domain, state, call): (Domain, State, Call),
    ) -> Vec<String> {
        let mut scene = Self::new(environment, moment, domain, state);
        scene.history.settle();
        scene.call(call);
        scene.history.lines
    }

    fn new(environment: Rc<dyn Environment>, moment: Duration, domain: Domain, state: State) -> Self {
        let unused = || unused(&*environment, domain);
        let (listener, listening) = environment.listen(&unused(), 16);
        let nobody = unused();
        let elsewhere = if domain == Domain::V4 { Domain::Unix } else { Domain::V4 };
        let elsewhere = self::unused(&*environment, elsewhere);
        let own = unused();
        let mut history = History::new(Rc::clone(&environment), moment);
        let mut peer = None;
        let socket = match state {
            State::Fresh | State::Refused => history.bench.driver.sockets().open(domain).expect("open"),
            State::Listening => {
                let spec = ListenSpec { address: own, ..local_spec() };
                history.bench.driver.sockets().listen(&spec).expect("listen").0
            }
            _ => {
                let (socket, far) = history.pair(domain);
                peer = Some(far);
                socket
            }
        };
        let mut scene =
            Self { history, domain, socket, peer, listening, _listener: listener, nobody, elsewhere };
        scene.bring_about(state);
        scene
    }

    fn bring_about(&mut self, state: State) {
        match state {
            State::Fresh | State::Listening | State::Connected => {}
            State::Refused => {
                let (socket, address) = (self.socket, self.nobody.clone());
                let key = self.history.bench.submit(Op::Connect { socket, address });
                self.history.bench.all(key);
            }
            State::Ended => self.peer_ends(),
            State::Gone => self.peer = None,
            State::Reset => self.peer_resets(),
            State::ResetTaken => {
                self.peer_resets();
                self.history.settle();
                let _ = self.history.bench.driver.sockets().option(self.socket, SocketOption::Error(0));
            }
            State::ResetAfterEnd => {
                self.peer_ends();
                self.history.settle();
                self.peer_resets();
            }
            State::Unread => {
                let peer = self.peer.as_mut().expect("connected");
                peer.write_all(b"unread").expect("write");
                self.history.bench.send_all(self.socket, b"x");
                self.history.settle();
                self.peer = None;
            }
            State::Shut(how) => self.shut(how).expect("shutdown"),
            State::Over => {
                self.shut(Shutdown::Write).expect("shutdown");
                self.history.settle();
                self.peer = None;
            }
        }
    }

    fn peer_ends(&self) {
        self.peer.as_ref().expect("connected").shutdown(Shutdown::Write).expect("shutdown");
    }

    fn peer_resets(&mut self) {
        self.peer.take().expect("connected").reset();
    }

    fn shut(&mut self, how: Shutdown) -> io::Result<()> {
        self.history.bench.driver.sockets().shutdown(self.socket, how)
    }

    fn call(&mut self, call: Call) {
        let socket = self.socket;
        let driver = &mut self.history.bench.driver;
        match call {
            Call::Receive => {
                self.operation(Op::Receive { socket });
                self.operation(Op::Receive { socket });
            }
            Call::TryReceive => self.twice(|scene| {
                let result = scene.history.bench.driver.try_receive(socket);
                number(result.map(|chunk| chunk.map(|chunk| chunk.len())))
            }),
            Call::Accept => self.operation(Op::Accept { listener: socket }),
            Call::TryAccept => {
                let result = number(driver.sockets().try_accept(socket).map(drop));
                self.history.note(result);
            }
            Call::Writable => self.operation(Op::Writable { socket }),
            Call::Connect => {
                self.connect(self.listening.clone());
                self.call(Call::Addresses);
                self.call(Call::Receive);
                self.call(Call::Send);
            }
            Call::ConnectToTheWrongFamily => self.connect(self.elsewhere.clone()),
            Call::ConnectToNobody => {
                self.connect(self.nobody.clone());
                self.connect(self.listening.clone());
            }
            Call::ConnectUnspecified => self.connect(unspecified(self.domain, &self.listening)),
            Call::Send => self.twice(|scene| number(scene.history.bench.driver.try_send(socket, b"bytes"))),
            Call::SendNothing => {
                let result = number(driver.try_send(socket, b""));
                self.history.note(result);
            }
            Call::SendSlices => {
                let some = number(driver.try_send_vectored(socket, &[IoSlice::new(b"x")]));
                let none = number(driver.try_send_vectored(socket, &[]));
                self.history.note((some, none));
            }
            Call::Offer => self.twice(|scene| {
                number(scene.history.bench.offer(vec![(socket, Payload::from("bytes"))]).remove(0))
            }),
            Call::Addresses => {
                let local = shape(driver.sockets().local_address(socket));
                let peer = shape(driver.sockets().peer_address(socket));
                self.history.note((local, peer));
            }
            Call::Duplicate => {
                let result = number(driver.sockets().duplicate(socket).map(drop));
                self.history.note(result);
            }
            Call::Shut(how) => {
                self.twice(|scene| number(scene.shut(how)));
                for call in [Call::Options, Call::Addresses, Call::Writable, Call::Receive, Call::Send] {
                    self.call(call);
                }
                self.twice(Self::ask_peer);
                self.call(Call::Options);
                self.call(Call::Receive);
            }
            Call::Close => {
                driver.close(socket);
                self.history.settle();
                self.twice(Self::ask_peer);
            }
            Call::Reset => {
                let result = number(driver.sockets().set_option(socket, SocketOption::ResetOnClose(true)));
                self.history.note(result);
                self.call(Call::Close);
            }
            Call::Options => {
                for option in OPTIONS {
                    let result = number(self.history.bench.driver.sockets().option(socket, option));
                    self.history.note((option, result));
                }
            }
            Call::SetOptions => {
                for option in SET_OPTIONS {
                    let sockets = self.history.bench.driver.sockets();
                    let (set, get) = (sockets.set_option(socket, option), sockets.option(socket, option));
                    self.history.note((option, number(set), number(get)));
                }
            }
        }
    }

    fn twice<T: std::fmt::Debug>(&mut self, mut ask: impl FnMut(&mut Self) -> T) {
        for _ in 0..2 {
            let answer = ask(self);
            self.history.note(answer);
            self.history.settle();
        }
    }

    /// What the peer reads, and whether it can write.
    fn ask_peer(&mut self) -> Option<(Result<usize, i32>, Result<usize, i32>)> {
        let peer = self.peer.as_mut()?;
        Some((number(peer.try_read(&mut [0; 100])), number(peer.write(b"x"))))
    }

    fn connect(&mut self, address: Address) {
        self.operation(Op::Connect { socket: self.socket, address });
    }

    /// An operation until nothing happens any more, and its cancellation if it is still there.
    fn operation(&mut self, op: Op) {
        let key = self.history.bench.submit(op);
        let (mut outcomes, mut is_over) = (Vec::new(), false);
        for completion in self.history.settle().into_iter().filter(|completion| completion.key == key) {
            is_over |= completion.last;
            outcomes.push(shown(completion.outcome));
        }
        if !is_over {
            outcomes.push("in flight".to_owned());
            outcomes.extend(self.history.bench.cancel(key).into_iter().map(shown));
        }
        self.history.note(outcomes);
    }
}

/// An address that nobody has.
fn unused(environment: &dyn Environment, domain: Domain) -> Address {
    match domain {
        Domain::V4 => Address::Tcp((Ipv4Addr::LOCALHOST, 0).into()),
        Domain::V6 => Address::Tcp((Ipv6Addr::LOCALHOST, 0).into()),
        Domain::Unix => Address::Unix(UnixAddress::Path(environment.path())),
    }
}

/// The address without its host, or its name.
fn unspecified(domain: Domain, address: &Address) -> Address {
    match (domain, address.as_tcp()) {
        (Domain::V4, Some(address)) => Address::Tcp((Ipv4Addr::UNSPECIFIED, address.port()).into()),
        (_, Some(address)) => Address::Tcp((Ipv6Addr::UNSPECIFIED, address.port()).into()),
        (_, None) => Address::Unix(UnixAddress::Unnamed),
    }
}

/// What of an address is the same each time.
fn shape(address: io::Result<Address>) -> String {
    match number(address) {
        Ok(Address::Tcp(address)) => format!("{}, bound: {}", address.ip(), address.port() != 0),
        Ok(Address::Unix(UnixAddress::Path(_))) => "a path".to_owned(),
        other => format!("{other:?}"),
    }
}

/// Whether the machine knows addresses of this kind.
fn is_known(domain: Domain) -> bool {
    domain != Domain::V6 || std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// Everything there is to be shown.
fn scenes() -> impl Iterator<Item = (Domain, State, Call)> {
    let domains = DOMAINS.into_iter().filter(|domain| is_known(*domain));
    let situations = domains.flat_map(|domain| STATES.map(|state| (domain, state)));
    situations.flat_map(|(domain, state)| CALLS.map(|call| (domain, state, call)))
}

/// Where a call makes no sense, the two drivers need not agree.
fn assert_simulated_well(real: Kernel, simulated: Kernel) {
    for scene in scenes().filter(|scene| !is_left_out(real, *scene)) {
        assert_same(&format!("{scene:?}"), &[real, simulated], |environment, moment| {
            Scene::lines(environment, moment, scene)
        });
    }
}

#[test]
fn every_call_in_every_state_comes_to_the_same_on_io_uring() {
    assert_simulated_well(Kernel::Uring, Kernel::SimulatedUring);
}

#[test]
fn every_call_in_every_state_comes_to_the_same_on_epoll() {
    assert_simulated_well(Kernel::Epoll, Kernel::SimulatedEpoll);
}
