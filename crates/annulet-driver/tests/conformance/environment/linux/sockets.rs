//! Whoever talks to a driver from outside is a blocking socket.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::thread;
use std::time::{Duration, Instant};

use annulet_driver::{Address, Domain, Driver, UnixAddress};
use socket2::{SockAddr, Socket, Type};

use super::super::{Act, Actor, Listener, PATIENCE, Peer};
use super::on_a_thread;

/// A connection of this process with itself.
pub(super) fn pair(domain: Domain) -> (Socket, Box<dyn Peer>) {
    let (near, far) = match domain {
        Domain::V4 => tcp_pair((Ipv4Addr::LOCALHOST, 0).into()),
        Domain::V6 => tcp_pair((Ipv6Addr::LOCALHOST, 0).into()),
        Domain::Unix => Socket::pair(socket2::Domain::UNIX, Type::STREAM, None).expect("pair"),
    };
    (near, patient(far))
}

pub(super) fn connect(address: &Address) -> io::Result<Box<dyn Peer>> {
    let socket = fresh(address.domain());
    socket.connect(&to_kernel(address))?;
    Ok(patient(socket))
}

pub(super) fn listener(address: &Address, backlog: u32) -> (Box<dyn Listener>, Address) {
    let listener = listen(address, backlog);
    listener.set_read_timeout(Some(PATIENCE)).expect("timeout");
    let bound = from_kernel(&listener.local_addr().expect("address"));
    (Box::new(listener), bound)
}

impl Peer for Socket {
    fn address(&self) -> Address {
        from_kernel(&self.local_addr().expect("address"))
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.shutdown(how)
    }

    fn try_read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        // SAFETY: `bytes` outlives the call.
        let count = unsafe {
            libc::recv(self.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len(), libc::MSG_DONTWAIT)
        };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }

    fn await_delivery(&self) {
        // What is written to a Unix socket is delivered.
        if !self.local_addr().expect("address").is_unix() {
            let start = Instant::now();
            while unacknowledged(self) > 0 {
                assert!(start.elapsed() < PATIENCE, "nobody acknowledges");
                thread::sleep(Duration::from_millis(1));
            }
        }
    }

    fn reset(self: Box<Self>) {
        self.set_linger(Some(Duration::ZERO)).expect("linger");
    }

    fn narrow(&self) {
        self.set_recv_buffer_size(1).expect("receive buffer");
    }

    fn meanwhile(mut self: Box<Self>, act: Act) -> Actor {
        on_a_thread(move || match act {
            Act::Write { bytes, piece } => {
                bytes.chunks(piece).for_each(|piece| self.write_all(piece).expect("write"));
                Vec::new()
            }
            Act::Answer { question, answer } => {
                self.read_exact(&mut vec![0; question]).expect("read");
                self.write_all(&answer).expect("write");
                Vec::new()
            }
            Act::Read => {
                let mut bytes = Vec::new();
                self.read_to_end(&mut bytes).expect("read");
                bytes
            }
        })
    }
}

impl Listener for Socket {
    fn accept(&self) -> (Box<dyn Peer>, Address) {
        let (socket, from) = self.accept().expect("accept");
        (patient(socket), from_kernel(&from))
    }

    fn hand_over(self: Box<Self>, driver: &mut dyn Driver, nonblocking: bool) -> annulet_driver::Socket {
        self.set_read_timeout(None).expect("timeout");
        self.set_nonblocking(nonblocking).expect("mode");
        driver.sockets().adopt((*self).into())
    }
}

fn fresh(domain: Domain) -> Socket {
    let domain = match domain {
        Domain::V4 => socket2::Domain::IPV4,
        Domain::V6 => socket2::Domain::IPV6,
        Domain::Unix => socket2::Domain::UNIX,
    };
    Socket::new(domain, Type::STREAM, None).expect("socket")
}

fn listen(address: &Address, backlog: u32) -> Socket {
    let listener = fresh(address.domain());
    listener.bind(&to_kernel(address)).expect("bind");
    listener.listen(backlog as i32).expect("listen");
    listener
}

/// Bytes of a TCP connection that have been written and not been acknowledged (tcp(7), SIOCOUTQ).
fn unacknowledged(socket: &Socket) -> i32 {
    let mut bytes: libc::c_int = 0;
    // SAFETY: `bytes` is a local that outlives the call.
    assert_eq!(unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &mut bytes) }, 0);
    bytes
}

fn tcp_pair(address: SocketAddr) -> (Socket, Socket) {
    let listener = listen(&address.into(), 1);
    let peer = fresh(Address::from(address).domain());
    peer.connect(&listener.local_addr().expect("address")).expect("connect");
    (listener.accept().expect("accept").0, peer)
}

fn patient(socket: Socket) -> Box<dyn Peer> {
    socket.set_read_timeout(Some(PATIENCE)).expect("timeout");
    socket.set_write_timeout(Some(PATIENCE)).expect("timeout");
    // What it writes does not wait for an acknowledgement that is held back. A Unix socket knows no such thing.
    let _ = socket.set_tcp_nodelay(true);
    Box::new(socket)
}

fn to_kernel(address: &Address) -> SockAddr {
    match address {
        Address::Tcp(address) => (*address).into(),
        Address::Unix(UnixAddress::Path(path)) => SockAddr::unix(path).expect("a name that fits"),
        Address::Unix(UnixAddress::Abstract(name)) => {
            let name = [b"\0", name.as_slice()].concat();
            SockAddr::unix(OsStr::from_bytes(&name)).expect("a name that fits")
        }
        Address::Unix(UnixAddress::Unnamed) => panic!("nobody is found without a name"),
    }
}

fn from_kernel(address: &SockAddr) -> Address {
    match (address.as_socket(), address.as_pathname(), address.as_abstract_namespace()) {
        (Some(address), ..) => Address::Tcp(address),
        (_, Some(path), _) => Address::Unix(UnixAddress::Path(path.to_owned())),
        (_, _, Some(name)) => Address::Unix(UnixAddress::Abstract(name.to_owned())),
        _ => Address::Unix(UnixAddress::Unnamed),
    }
}
