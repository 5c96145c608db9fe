//! What is true of a stream, in one word: several of it are asked for at once.

#[derive(Clone, Copy, Default)]
pub(super) struct Flags(u16);

/// Bits of [`Flags`]: any of them for a question, all of them for a change.
#[derive(Clone, Copy)]
pub(super) struct Flag(u16);

impl Flag {
    /// The reader's waker is to be called: it waits.
    pub(super) const READER_WAITING: Self = Self(1);
    /// The handler took something since it last began to wait.
    pub(super) const READER_ACTIVE: Self = Self(1 << 1);
    /// The peer's FIN arrived.
    pub(super) const ENDED: Self = Self(1 << 2);
    /// Deliver what the kernel has received, then the end.
    pub(super) const DRAINING: Self = Self(1 << 3);
    /// This side will send nothing more after what is staged.
    pub(super) const WRITE_SHUT: Self = Self(1 << 4);
    /// This side's FIN is out.
    pub(super) const FIN_SENT: Self = Self(1 << 5);
    /// The reader gave up a wait, and the clocks stand still since.
    pub(super) const PAUSED: Self = Self(1 << 6);
    /// The user wants no orderly end: closing is to be a reset, without a FIN before it.
    pub(super) const RESET_ON_CLOSE: Self = Self(1 << 7);
    /// A writer has staged the beginning of what it was given, and not yet the rest.
    pub(super) const HALF_WRITTEN: Self = Self(1 << 8);
    /// The reader's waker is to be called at the peer's end; it does not wait for bytes, and no clock runs.
    pub(super) const END_AWAITED: Self = Self(1 << 9);
    /// The connection may be idle for ever.
    pub(super) const MAY_IDLE: Self = Self(1 << 10);
    /// The wheel's entry fires no later than the idle clock runs out, however that is put off; or there is no such clock.
    pub(super) const IDLE_WATCHED: Self = Self(1 << 11);
    /// Somebody waits for input, or for its end.
    pub(super) const INPUT_AWAITED: Self = Self(Self::READER_WAITING.0 | Self::END_AWAITED.0);
    /// Nothing more comes, or only what the kernel still has.
    pub(super) const INPUT_OVER: Self = Self(Self::ENDED.0 | Self::DRAINING.0);
}

impl Flags {
    #[inline]
    pub(super) fn is(self, flag: Flag) -> bool {
        self.0 & flag.0 != 0
    }

    #[inline]
    pub(super) fn set(&mut self, flag: Flag) {
        self.0 |= flag.0;
    }

    #[inline]
    pub(super) fn clear(&mut self, flag: Flag) {
        self.0 &= !flag.0;
    }

    /// Clears one flag and sets another.
    #[inline]
    pub(super) fn exchange(&mut self, cleared: Flag, set: Flag) {
        self.0 = (self.0 & !cleared.0) | set.0;
    }

    /// Sets or clears a flag.
    #[inline]
    pub(super) fn put(&mut self, flag: Flag, on: bool) {
        if on { self.set(flag) } else { self.clear(flag) }
    }

    /// Clears a flag; true when it was set.
    #[inline]
    pub(super) fn take(&mut self, flag: Flag) -> bool {
        let was = self.is(flag);
        self.clear(flag);
        was
    }
}
