//! Bytes on their way out.

use bytes::Bytes;

use crate::pool::Chunk;

/// Something to send without copying it: a received [`Chunk`], [`Bytes`], a static slice, or a `Vec`.
///
/// Whoever sends it owns it until the kernel has taken its bytes. Moving a payload does not move its bytes.
#[derive(Debug)]
#[non_exhaustive]
pub enum Payload {
    /// Received bytes sent on.
    Chunk(Chunk),
    /// Shared bytes.
    Bytes(Bytes),
    /// Bytes of the program itself.
    Static(&'static [u8]),
    /// Bytes of its own, from `start` on.
    Vec {
        /// The memory.
        bytes: Vec<u8>,
        /// How many bytes of it have been sent.
        start: usize,
    },
}

impl Payload {
    /// The bytes not yet sent.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Chunk(chunk) => chunk,
            Self::Bytes(bytes) => bytes,
            Self::Static(bytes) => bytes,
            Self::Vec { bytes, start } => &bytes[*start..],
        }
    }

    /// How many there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes the first `count` bytes.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.len(), "advance by {count} in a payload of {}", self.len());
        match self {
            Self::Chunk(chunk) => chunk.advance(count),
            Self::Bytes(bytes) => drop(bytes.split_to(count)),
            Self::Static(bytes) => *bytes = &bytes[count..],
            Self::Vec { start, .. } => *start += count,
        }
    }

    /// Lets go of a pool buffer, copying what is left of it.
    pub fn unpin(&mut self) {
        if let Self::Chunk(chunk) = self
            && chunk.is_lease()
        {
            *self = Self::from(chunk.to_vec());
        }
    }
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl From<Chunk> for Payload {
    fn from(chunk: Chunk) -> Self {
        Self::Chunk(chunk)
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<&'static [u8]> for Payload {
    fn from(bytes: &'static [u8]) -> Self {
        Self::Static(bytes)
    }
}

impl<const N: usize> From<&'static [u8; N]> for Payload {
    fn from(bytes: &'static [u8; N]) -> Self {
        Self::Static(bytes)
    }
}

impl From<&'static str> for Payload {
    fn from(text: &'static str) -> Self {
        Self::Static(text.as_bytes())
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Vec { bytes, start: 0 }
    }
}

impl From<String> for Payload {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}
