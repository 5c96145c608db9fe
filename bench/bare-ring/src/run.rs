//! What one connection received in consecutive completions, or the responses to it, gathered into one send.

use bench_common::http::{Http, Responses};

use crate::buffers::Buffers;

/// Pool buffers of one connection, in order of arrival. One buffer, the usual case, needs no allocation. Or, instead of
/// what was received, a number of responses.
#[derive(Default)]
pub(crate) struct Run {
    responses: usize,
    first: Option<(u16, usize)>,
    /// The second and later ones.
    rest: Vec<(u16, usize)>,
    /// What the kernel is given if there are several; lives until the send completes.
    gather: Option<Box<Gather>>,
}

struct Gather {
    header: libc::msghdr,
    parts: Vec<libc::iovec>,
}

/// Bytes to send, in the form the system call takes them.
pub(crate) enum Parts<'a> {
    One(&'a [u8]),
    /// Valid until the run is dropped or changed.
    Many(*const libc::msghdr),
}

impl Run {
    /// Most buffers that leave in one send.
    pub(crate) const PARTS_MAX: usize = 64;

    pub(crate) fn push(&mut self, bid: u16, len: usize) {
        if self.first.is_none() {
            self.first = Some((bid, len));
        } else {
            self.rest.push((bid, len));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.rest.len() + 1 >= Self::PARTS_MAX
    }

    /// An empty run becomes `count` responses, at most [`Responses::MAX`].
    pub(crate) fn answer(&mut self, count: usize) {
        debug_assert!(self.is_empty());
        self.responses = count;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u16, usize)> {
        self.first.iter().chain(&self.rest).copied()
    }

    pub(crate) fn len(&self) -> usize {
        let received: usize = self.iter().map(|(_, len)| len).sum();
        received + self.responses * Responses::LENGTH
    }

    /// The bytes as `send` or `sendmsg` wants them.
    pub(crate) fn parts<'a>(&mut self, buffers: &'a Buffers, http: Option<&'a Http>) -> Parts<'a> {
        if let Some(responses) = self.responses(http) {
            return Parts::One(responses);
        }
        let (bid, len) = self.first.expect("a run that is sent is not empty");
        if self.rest.is_empty() {
            return Parts::One(buffers.filled(bid, len));
        }
        let part = |(bid, len)| {
            let bytes = buffers.filled(bid, len);
            libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
        };
        let mut parts: Vec<libc::iovec> = self.iter().map(part).collect();
        // SAFETY: all zeros are a valid msghdr: no address, no control data, no parts.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = parts.as_mut_ptr();
        header.msg_iovlen = parts.len();
        let gather = self.gather.insert(Box::new(Gather { header, parts }));
        debug_assert_eq!(gather.parts.len(), gather.header.msg_iovlen);
        Parts::Many(&gather.header)
    }

    fn responses<'a>(&self, http: Option<&'a Http>) -> Option<&'a [u8]> {
        http.filter(|_| self.responses > 0).map(|http| http.responses.get(self.responses))
    }

    /// A copy of everything after the first `skip` bytes.
    pub(crate) fn copy_from(&self, mut skip: usize, buffers: &Buffers, http: Option<&Http>) -> Vec<u8> {
        if let Some(responses) = self.responses(http) {
            return responses[skip..].to_vec();
        }
        let mut bytes = Vec::with_capacity(self.len() - skip);
        for (bid, len) in self.iter() {
            let from = skip.min(len);
            bytes.extend_from_slice(&buffers.filled(bid, len)[from..]);
            skip -= from;
        }
        bytes
    }

    /// Gives the buffers back and leaves an empty run.
    pub(crate) fn recycle(&mut self, buffers: &mut Buffers) {
        for (bid, _) in self.iter() {
            buffers.recycle(bid);
        }
        self.responses = 0;
        self.first = None;
        self.rest.clear();
        self.gather = None;
    }
}
