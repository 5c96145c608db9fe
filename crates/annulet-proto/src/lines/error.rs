//! What can be wrong with a line.

use thiserror::Error;

/// Why [`Lines`](super::Lines) could not deliver a line. The fault is the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LineError {
    /// A line is longer than the limit. Depending on [`Oversize`](super::Oversize) the decoder answers this for ever,
    /// or goes on with the line after; retrying the same line is pointless in both cases.
    #[error("line longer than {limit} bytes")]
    TooLong {
        /// The most bytes a line may have, its end not counted.
        limit: usize,
    },
}

/// Why [`Lines`](super::Lines) refused to write a line. The fault is the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LineEncodeError {
    /// The text contains a line feed: the peer would read two lines where one was meant.
    #[error("line feed inside a line, at byte {index}")]
    LineFeedInside {
        /// Index of the first line feed, from 0.
        index: usize,
    },
}
