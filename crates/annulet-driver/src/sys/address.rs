//! Our addresses and the kernel's.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use socket2::SockAddr;

use crate::socket::{Address, UnixAddress};

/// The kernel's form of an address.
///
/// # Errors
/// `InvalidInput` for a Unix name that is too long (108 bytes, `unix(7)`), or for a path that is empty or holds a NUL
/// byte, which the kernel would take for another kind of name.
pub(crate) fn to_sockaddr(address: &Address) -> io::Result<SockAddr> {
    match address {
        Address::Tcp(address) => Ok(SockAddr::from(*address)),
        Address::Unix(UnixAddress::Path(path)) => {
            let bytes = path.as_os_str().as_bytes();
            if bytes.is_empty() || bytes.contains(&0) {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "no path of a Unix socket"));
            }
            SockAddr::unix(path)
        }
        Address::Unix(UnixAddress::Abstract(name)) => {
            let mut bytes = vec![0];
            bytes.extend_from_slice(name);
            SockAddr::unix(OsStr::from_bytes(&bytes))
        }
        Address::Unix(UnixAddress::Unnamed) => SockAddr::unix(""),
    }
}

/// Our form of what the kernel said.
///
/// # Errors
/// `Unsupported` for a family that is neither IP nor Unix.
pub(crate) fn from_sockaddr(address: &SockAddr) -> io::Result<Address> {
    if let Some(tcp) = address.as_socket() {
        return Ok(Address::Tcp(tcp));
    }
    if !address.is_unix() {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "an address that is neither IP nor Unix"));
    }
    Ok(Address::Unix(if let Some(path) = address.as_pathname() {
        UnixAddress::Path(path.to_path_buf())
    } else if let Some(name) = address.as_abstract_namespace() {
        UnixAddress::Abstract(name.to_vec())
    } else {
        UnixAddress::Unnamed
    }))
}

/// [`from_sockaddr`] of what an entry for the kernel points to.
///
/// # Errors
/// As for [`from_sockaddr`]; `InvalidInput` for a length that no address has.
///
/// # Safety
/// `length` bytes at `address` are readable, and initialised.
pub(crate) unsafe fn read_sockaddr(address: *const u8, length: u32) -> io::Result<Address> {
    // SAFETY: the caller's promise; storage is plain bytes, and larger than any address.
    let ((), address) = unsafe {
        SockAddr::try_init(|storage, size| {
            if length as usize > size_of_val(&*storage) {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            storage.cast::<u8>().copy_from_nonoverlapping(address, length as usize);
            *size = length;
            Ok(())
        })
    }?;
    from_sockaddr(&address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trip(address: Address) {
        let there = to_sockaddr(&address).expect("an address the kernel takes");
        assert_eq!(from_sockaddr(&there).expect("a family we know"), address);
    }

    #[test]
    fn every_kind_of_address_survives_the_trip_through_the_kernels_form() {
        trip(Address::Tcp("127.0.0.1:80".parse().expect("v4")));
        trip(Address::Tcp("[::1]:80".parse().expect("v6")));
        trip(Address::Unix(UnixAddress::Path("/tmp/socket".into())));
        trip(Address::Unix(UnixAddress::Abstract(b"na\0me".to_vec())));
        trip(Address::Unix(UnixAddress::Unnamed));
    }

    #[test]
    fn a_path_that_would_mean_another_kind_of_name_is_refused() {
        for path in ["", "\0abstract", "cut\0here"] {
            let error = to_sockaddr(&Address::Unix(UnixAddress::Path(path.into()))).expect_err("refused");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
        let long = Address::Unix(UnixAddress::Path("x".repeat(108).into()));
        assert_eq!(to_sockaddr(&long).expect_err("refused").kind(), io::ErrorKind::InvalidInput);
    }
}
