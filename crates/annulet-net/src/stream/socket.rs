//! Calls that pass through to the socket, while there is one.

use annulet_driver::{Address, SocketOption, Sockets};

use super::{Flag, Life, Stream};
use crate::error::Error;

impl Stream {
    pub(crate) fn set_option(&self, option: SocketOption) -> Result<(), Error> {
        self.on_socket(|sockets| sockets.set_option(self.socket, option))?;
        if let SocketOption::ResetOnClose(on) = option {
            self.state.borrow_mut().flags.put(Flag::RESET_ON_CLOSE, on);
        }
        Ok(())
    }

    pub(crate) fn option(&self, option: SocketOption) -> Result<SocketOption, Error> {
        self.on_socket(|sockets| sockets.option(self.socket, option))
    }

    pub(crate) fn local_address(&self) -> Result<Address, Error> {
        self.on_socket(|sockets| sockets.local_address(self.socket))
    }

    pub(crate) fn peer_address(&self) -> Result<Address, Error> {
        self.on_socket(|sockets| sockets.peer_address(self.socket))
    }

    fn on_socket<R>(&self, call: impl FnOnce(&mut dyn Sockets) -> std::io::Result<R>) -> Result<R, Error> {
        let state = self.state.borrow();
        if state.life == Life::Closed {
            return Err(state.write_error().unwrap_or(Error::Aborted));
        }
        self.reactor().driver(|driver| call(driver.sockets())).map_err(|error| Error::from_io(&error))
    }
}
