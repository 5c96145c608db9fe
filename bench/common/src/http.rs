//! As little HTTP/1.1 as a load generator notices: where heads end, and one response, ready to be sent.

use std::time::{SystemTime, UNIX_EPOCH};

use memchr::memmem::Finder;

/// The end of a head; what is counted. Requests with a body are not understood.
const END: &[u8] = b"\r\n\r\n";
/// The middle of it: what is searched for, because no other line has it.
const MIDDLE: &[u8] = b"\n\r";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 13\r\n\
                          date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\nHello, World!";
/// Where the date is in it.
const DATE_AT: usize = 69;
const DATE_LENGTH: usize = 29;

/// What a loop needs to answer requests.
#[derive(Default)]
pub struct Http {
    /// Finds them.
    pub heads: Heads,
    /// Answers them.
    pub responses: Responses,
}

/// How much of a head's end the bytes received so far have ended with, 0 to 3: all a connection has to remember.
#[derive(Debug, Clone, Copy, Default)]
pub struct Matched(u8);

/// Finds the ends of heads.
pub struct Heads(Finder<'static>);

impl Default for Heads {
    fn default() -> Self {
        Self(Finder::new(MIDDLE))
    }
}

impl Heads {
    /// How many heads end in `bytes`, which follow those that left `matched`.
    #[inline]
    pub fn count(&self, matched: &mut Matched, mut bytes: &[u8]) -> usize {
        let mut count = 0;
        while matched.0 > 0 {
            let Some((&byte, rest)) = bytes.split_first() else { return count };
            count += usize::from(matched.step(byte));
            bytes = rest;
        }
        let mut after_last = 0;
        for middle in self.0.find_iter(bytes) {
            if middle > after_last && bytes[middle - 1..].starts_with(END) {
                count += 1;
                after_last = middle - 1 + END.len();
            }
        }
        let tail = &bytes[after_last.max(bytes.len().saturating_sub(END.len() - 1))..];
        for &byte in tail {
            matched.step(byte);
        }
        count
    }
}

impl Matched {
    /// Takes a byte more; whether it ends a head.
    fn step(&mut self, byte: u8) -> bool {
        self.0 = match (self.0, byte) {
            (0 | 2, b'\r') | (1 | 3, b'\n') => self.0 + 1,
            (1 | 3, b'\r') => 1,
            _ => 0,
        };
        let is_end = usize::from(self.0) == END.len();
        if is_end {
            self.0 = 0;
        }
        is_end
    }
}

/// The response, many times over, with the date of the current second. The memory stays where it is.
pub struct Responses {
    bytes: Box<[u8]>,
    second: u64,
}

impl Default for Responses {
    fn default() -> Self {
        Self { bytes: RESPONSE.repeat(Self::MAX).into(), second: 0 }
    }
}

impl Responses {
    /// Bytes of a response.
    pub const LENGTH: usize = RESPONSE.len();
    /// Most responses that leave in one send.
    pub const MAX: usize = 1024;

    /// Brings the date up to date; to be called once a turn.
    #[inline]
    pub fn refresh(&mut self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        if now != self.second {
            self.second = now;
            let date = imf_fixdate(now);
            for response in self.bytes.chunks_exact_mut(Self::LENGTH) {
                response[DATE_AT..DATE_AT + DATE_LENGTH].copy_from_slice(date.as_bytes());
            }
        }
    }

    /// `count` responses, at most [`Self::MAX`].
    #[inline]
    pub fn get(&self, count: usize) -> &[u8] {
        &self.bytes[..count * Self::LENGTH]
    }
}

/// A time in the form of the Date field (RFC 9110, 5.6.7).
fn imf_fixdate(seconds: u64) -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March have their leap day last (the 0th began before 0000-03-01); 400 of them are an era.
    let day = days + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year + u64::from(month >= 10);
    format!(
        "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        WEEKDAYS[(days % 7) as usize],
        MONTHS[((month + 2) % 12) as usize],
        second / 3_600,
        second / 60 % 60,
        second % 60,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_counted_however_they_are_cut() {
        let text = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /\r\r\n\r\n\r\nX: \r\n\r\r\n\r\n";
        let heads = Heads::default();
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let mut matched = Matched::default();
                let pieces = [&text[..first], &text[first..second], &text[second..]];
                let count: usize = pieces.iter().map(|piece| heads.count(&mut matched, piece)).sum();
                assert_eq!((count, matched.0), (3, 0), "{first} {second}");
            }
        }
    }

    #[test]
    fn an_end_cut_off_is_remembered() {
        let heads = Heads::default();
        for (text, left) in
            [("a", 0), ("a\r", 1), ("a\r\n", 2), ("a\r\n\r", 3), ("\r\n\r\n\r", 1), ("\r\r", 1)]
        {
            let mut matched = Matched::default();
            heads.count(&mut matched, text.as_bytes());
            assert_eq!(matched.0, left, "{text:?}");
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (1_798_761_599, "Thu, 31 Dec 2026 23:59:59 GMT"),
        ] {
            assert_eq!(imf_fixdate(seconds), text);
        }
    }

    #[test]
    fn the_date_is_in_its_place() {
        let mut responses = Responses::default();
        assert_eq!(responses.get(1)[DATE_AT..DATE_AT + DATE_LENGTH], *imf_fixdate(0).as_bytes());
        responses.refresh();
        let text = String::from_utf8_lossy(responses.get(2)).into_owned();
        assert_eq!(text.matches("\r\ndate: ").count(), 2);
        assert!(!text.contains("1970") && text.ends_with(" GMT\r\n\r\nHello, World!"), "{text}");
    }
}
