//! Socket options.

use std::io;
use std::time::Duration;

use socket2::{Domain, SockRef, TcpKeepalive};

use crate::socket::SocketOption;

/// Sets an option.
///
/// # Errors
/// The kernel's; `InvalidInput` for [`SocketOption::Error`].
pub(crate) fn set(socket: &SockRef<'_>, option: SocketOption) -> io::Result<()> {
    match option {
        SocketOption::NoDelay(on) => socket.set_tcp_nodelay(on),
        SocketOption::Keepalive(None) => socket.set_keepalive(false),
        SocketOption::Keepalive(Some(idle)) => {
            // The kernel counts whole seconds and refuses 0; rounding up never probes sooner than asked.
            let idle = Duration::from_secs(idle.as_secs() + u64::from(idle.subsec_nanos() > 0))
                .max(Duration::from_secs(1));
            socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle))
        }
        SocketOption::ResetOnClose(on) => socket.set_linger(on.then_some(Duration::ZERO)),
        SocketOption::SendBuffer(bytes) => socket.set_send_buffer_size(bytes as usize),
        SocketOption::ReceiveBuffer(bytes) => socket.set_recv_buffer_size(bytes as usize),
        SocketOption::UserTimeout(limit) => socket.set_tcp_user_timeout(limit),
        SocketOption::QuickAck(on) => socket.set_tcp_quickack(on),
        SocketOption::TypeOfService(value) => socket.set_tos_v4(value),
        SocketOption::TimeToLive(hops) => {
            if socket.domain()? == Domain::IPV6 {
                socket.set_unicast_hops_v6(hops)?;
            }
            // On an IPv6 socket as well: a dual-stack one sends IPv4 packets to IPv4 peers.
            socket.set_ttl_v4(hops)
        }
        SocketOption::Error(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "SO_ERROR cannot be set")),
    }
}

/// Reads the option of which `option` is any value.
///
/// # Errors
/// The kernel's.
pub(crate) fn get(socket: &SockRef<'_>, option: SocketOption) -> io::Result<SocketOption> {
    Ok(match option {
        SocketOption::NoDelay(_) => SocketOption::NoDelay(socket.tcp_nodelay()?),
        SocketOption::Keepalive(_) => {
            let idle = socket.keepalive()?.then(|| socket.tcp_keepalive_time()).transpose()?;
            SocketOption::Keepalive(idle)
        }
        SocketOption::ResetOnClose(_) => SocketOption::ResetOnClose(socket.linger()? == Some(Duration::ZERO)),
        SocketOption::SendBuffer(_) => SocketOption::SendBuffer(socket.send_buffer_size()? as u32),
        SocketOption::ReceiveBuffer(_) => SocketOption::ReceiveBuffer(socket.recv_buffer_size()? as u32),
        SocketOption::UserTimeout(_) => {
            SocketOption::UserTimeout(socket.tcp_user_timeout()?.filter(|limit| !limit.is_zero()))
        }
        SocketOption::QuickAck(_) => SocketOption::QuickAck(socket.tcp_quickack()?),
        SocketOption::TypeOfService(_) => SocketOption::TypeOfService(socket.tos_v4()?),
        SocketOption::TimeToLive(_) if socket.domain()? == Domain::IPV6 => {
            SocketOption::TimeToLive(socket.unicast_hops_v6()?)
        }
        SocketOption::TimeToLive(_) => SocketOption::TimeToLive(socket.ttl_v4()?),
        SocketOption::Error(_) => {
            SocketOption::Error(socket.take_error()?.and_then(|error| error.raw_os_error()).unwrap_or(0))
        }
    })
}
