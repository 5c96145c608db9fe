//! How a driver is set up.

/// Sizes of a driver's queues and pool. Values out of range are clamped to what the kernel takes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DriverOptions {
    /// Submission queue entries (io_uring), 8 to 32768, rounded up to a power of two. The completion queue has
    /// [`completion_entries`](Self::completion_entries). Default 256: a full queue only means one more enter.
    pub submission_entries: u32,
    /// Completion queue entries (io_uring), up to 65536. Default 4096. Overflow is slow, counted, and loses nothing.
    pub completion_entries: u32,
    /// The receive buffer pool.
    pub pool: PoolOptions,
}

impl Default for DriverOptions {
    fn default() -> Self {
        Self { submission_entries: 256, completion_entries: 4096, pool: PoolOptions::default() }
    }
}

/// Sizes of one reactor's receive buffer pool.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolOptions {
    /// Buffers in use from the start, default 128 (half a mebibyte). At least 4.
    pub buffers: u32,
    /// Buffers the pool may grow to, default 4096 (16 MiB), at most 32768. Growth is by doubling, on demand.
    pub buffers_max: u32,
    /// Bytes per buffer, default 4096; 512 to 32768, rounded up to a multiple of 64.
    pub buffer_size: u32,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self { buffers: 128, buffers_max: 4096, buffer_size: 4096 }
    }
}

impl PoolOptions {
    /// The same with every value within its documented range and `buffers <= buffers_max`.
    pub(crate) fn clamped(&self) -> Self {
        let buffers_max = self.buffers_max.clamp(4, 32768);
        Self {
            buffers: self.buffers.clamp(4, buffers_max),
            buffers_max,
            buffer_size: self.buffer_size.clamp(512, 32768).next_multiple_of(64),
        }
    }
}

impl DriverOptions {
    /// Sets the submission queue entries.
    #[must_use]
    pub fn submission_entries(mut self, entries: u32) -> Self {
        self.submission_entries = entries;
        self
    }

    /// Sets the completion queue entries.
    #[must_use]
    pub fn completion_entries(mut self, entries: u32) -> Self {
        self.completion_entries = entries;
        self
    }

    /// Sets the number of buffers at the start.
    #[must_use]
    pub fn buffers(mut self, buffers: u32) -> Self {
        self.pool.buffers = buffers;
        self
    }

    /// Sets the number of buffers the pool may grow to.
    #[must_use]
    pub fn buffers_max(mut self, buffers_max: u32) -> Self {
        self.pool.buffers_max = buffers_max;
        self
    }

    /// Sets the bytes per buffer.
    #[must_use]
    pub fn buffer_size(mut self, bytes: u32) -> Self {
        self.pool.buffer_size = bytes;
        self
    }
}
