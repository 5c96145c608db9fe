//! What of a request its response depends on.

/// What of a request decides how its response is framed (RFC 9112 §6.3) and whether another one may follow (§9.3), in one
/// word: several of it are asked for at once, and of most requests nothing is so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Asked(u8);

impl Asked {
    /// Nothing in particular: the response is a head that says how long its body is, and the body.
    pub const NOTHING: Self = Self(0);
    /// HEAD: the response has no body, though it says how long it would be.
    pub const HEAD: Self = Self(1);
    /// CONNECT: after a success comes a tunnel.
    pub const CONNECT: Self = Self(1 << 1);
    /// HTTP/1.0: no chunks, and staying open is to be said.
    pub const HTTP10: Self = Self(1 << 2);
    /// The client wants no other response.
    pub const CLOSE: Self = Self(1 << 3);
    /// It offers to go on with another protocol.
    pub const UPGRADE: Self = Self(1 << 4);
    /// The request has a body, which may yet have to be received.
    pub const BODY: Self = Self(1 << 5);
    /// Whatever makes the usual response another one; to an offer it is none.
    pub const UNUSUAL: Self =
        Self::HEAD.or(Self::CONNECT).or(Self::HTTP10).or(Self::CLOSE).or(Self::UPGRADE).or(Self::BODY);

    /// Whether any of `these` is so.
    #[inline]
    pub const fn is(self, these: Self) -> bool {
        self.0 & these.0 != 0
    }

    /// This and that.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The same and, if that is so, `this`.
    #[must_use]
    pub(super) const fn and(self, this: Self, is_so: bool) -> Self {
        if is_so { self.or(this) } else { self }
    }
}
