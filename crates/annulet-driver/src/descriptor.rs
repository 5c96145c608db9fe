//! Open sockets between two drivers.

use std::any::Any;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// An open socket that belongs to no driver: one opened elsewhere, or a [duplicate](crate::Sockets::duplicate) on its way
/// to another driver, perhaps on another thread. It closes itself unless a driver of the same kernel
/// [adopts](crate::Sockets::adopt) it.
///
/// Made of whatever owns a descriptor: an [`OwnedFd`], a socket of the standard library.
#[derive(Debug)]
pub struct Descriptor(Kind);

#[derive(Debug)]
enum Kind {
    Kernel(OwnedFd),
    Simulated { number: i32, guard: Guard },
}

/// Closes a socket of a kernel that is not there when it is dropped, unless that kernel, which knows its type, told it
/// not to.
pub(crate) type Guard = Arc<dyn Any + Send + Sync>;

impl<T: Into<OwnedFd>> From<T> for Descriptor {
    fn from(owner: T) -> Self {
        Self(Kind::Kernel(owner.into()))
    }
}

impl Descriptor {
    /// A socket that a kernel which is not there knows by this number.
    pub(crate) fn simulated(number: i32, guard: Guard) -> Self {
        Self(Kind::Simulated { number, guard })
    }

    /// For a driver of the real kernel.
    ///
    /// # Panics
    /// When it is none of its descriptors.
    pub(crate) fn into_kernel(self) -> OwnedFd {
        match self.0 {
            Kind::Kernel(descriptor) => descriptor,
            other @ Kind::Simulated { .. } => panic!("{other:?} is none of the kernel's descriptors"),
        }
    }

    /// Number and guard, for a kernel that is not there; the descriptor back when it is the real one's.
    pub(crate) fn into_simulated(self) -> Result<(i32, Guard), OwnedFd> {
        match self.0 {
            Kind::Simulated { number, guard } => Ok((number, guard)),
            Kind::Kernel(descriptor) => Err(descriptor),
        }
    }
}
