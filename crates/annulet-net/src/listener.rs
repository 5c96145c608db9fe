//! A listener for one's own accept loop, behind [`TcpListener`](crate::TcpListener) and
//! [`UnixListener`](crate::UnixListener).

use std::future::poll_fn;
use std::io;
use std::rc::Rc;

use annulet_driver::{Address, ListenSpec};

use crate::acceptor::AcceptorHandle;
use crate::connection::Connection;
use crate::group::Group;
use crate::options::{Clocks, Limits};
use crate::stream::{Local, Stream};

/// Length of the accept queue, unless said otherwise; the kernel caps it at `net.core.somaxconn`.
pub(crate) const BACKLOG: u32 = 1024;

pub(crate) struct Listener {
    acceptor: AcceptorHandle,
    address: Address,
    local: Rc<Local>,
    group: Rc<Group>,
}

impl Listener {
    pub(crate) fn bind(address: Address) -> io::Result<Self> {
        let local = Local::current();
        let spec = ListenSpec { address, backlog: BACKLOG, share_port: false, v6_only: false };
        let (socket, address) = local.reactor.driver(|driver| driver.sockets().listen(&spec))?;
        let group = Group::new(Limits::default(), Clocks::default(), None, None);
        Ok(Self { acceptor: AcceptorHandle::new(&local, socket), address, local, group })
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) async fn accept(&self) -> io::Result<Connection> {
        let socket = poll_fn(|cx| self.acceptor.poll_accept(cx)).await?;
        let socket = socket.expect("only stopping ends a listener");
        Ok(Connection::new(Stream::open(&self.local, &self.group, socket, true)))
    }
}
