//! The lines of a head, read strictly from left to right: what is found in a part of it is found in the whole, too.

use super::error::HttpError;
use super::field::{Field, Span, TOKEN, is_value_byte};
use super::head::HeadLimits;
use super::meaning::{FieldLine, Meaning};
use super::scan;

/// Why reading ends before the head does.
#[derive(Debug)]
pub(super) enum Stop {
    /// The input ends first.
    More,
    /// The head is malformed.
    Refused(HttpError),
}

impl From<HttpError> for Stop {
    #[inline]
    fn from(error: HttpError) -> Self {
        Self::Refused(error)
    }
}

/// What is read, and how far.
pub(super) struct Lines<'a> {
    pub(super) input: &'a [u8],
    pub(super) place: usize,
    /// Whether LF alone ends a line.
    bare_lf: bool,
}

impl<'a> Lines<'a> {
    /// As much of `input` as a head may have.
    #[inline]
    pub(super) fn new(input: &'a [u8], limits: &HeadLimits) -> Self {
        Self { input: &input[..input.len().min(limits.bytes_max())], place: 0, bare_lf: limits.bare_lf }
    }

    /// What was not read yet.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.input[self.place..]
    }

    /// Passes over bytes that are known already, if they are here; there is something to know.
    #[inline]
    pub(super) fn pass(&mut self, known: &[u8]) -> bool {
        let is_here = !known.is_empty() && self.rest().starts_with(known);
        if is_here {
            self.place += known.len();
        }
        is_here
    }

    /// Passes over a token and the byte behind it, and returns the token's length.
    #[inline(always)]
    pub(super) fn token(&mut self, behind: u8, otherwise: HttpError) -> Result<usize, Stop> {
        let rest = self.rest();
        let length = scan::length_of(&TOKEN, rest);
        match rest.get(length) {
            Some(byte) if *byte == behind && length > 0 => {
                self.place += length + 1;
                Ok(length)
            }
            Some(_) => Err(otherwise.into()),
            None => Err(Stop::More),
        }
    }

    /// Passes over the end of a line. What is neither an end nor the beginning of one is the error `otherwise`.
    #[inline]
    pub(super) fn line_end(&mut self, otherwise: HttpError) -> Result<(), Stop> {
        let rest = self.rest();
        self.place += if rest.starts_with(b"\r\n") { 2 } else { self.unusual_line_end(rest, otherwise)? };
        Ok(())
    }

    #[cold]
    fn unusual_line_end(&self, rest: &[u8], otherwise: HttpError) -> Result<usize, Stop> {
        match rest {
            [] | [b'\r'] => Err(Stop::More),
            [b'\n', ..] if self.bare_lf => Ok(1),
            [b'\r' | b'\n', ..] => Err(HttpError::LineEnd.into()),
            _ => Err(otherwise.into()),
        }
    }

    /// Passes over all field lines and the empty line behind them. `fields` are their places behind the first line.
    pub(super) fn fields(
        &mut self,
        fields: &mut Vec<Field>,
        fields_max: usize,
        meaning: &mut Meaning,
    ) -> Result<(), Stop> {
        let before = self.place;
        fields.clear();
        *meaning = Meaning::new();
        loop {
            let line = self.place;
            let rest = self.rest();
            let length = scan::length_of(&TOKEN, rest);
            let Some((name, [b':', behind @ ..])) = rest.split_at_checked(length) else {
                return self.empty_line(length);
            };
            if name.is_empty() {
                return Err(HttpError::Field.into());
            }
            let behind_colon = line + length + 1;
            let start = behind_colon + scan::spaces(behind);
            self.place = start;
            let end = self.value(HttpError::Field)?;
            if fields.len() == fields_max {
                return Err(HttpError::TooManyFields.into());
            }
            let value = scan::without_spaces_behind(&self.input[start..end]);
            let place = Span::new(start - before, value.len());
            meaning.take(&FieldLine { name, raw: &self.input[behind_colon..end], value, place })?;
            fields.push(Field { name: Span::new(line - before, length), value: place });
        }
    }

    /// Passes over the empty line behind all fields: what else than a field line may be here, behind `length` bytes of a
    /// token.
    fn empty_line(&mut self, length: usize) -> Result<(), Stop> {
        match (length, self.rest()) {
            (0, _) => self.line_end(HttpError::Field),
            (_, rest) if rest.len() == length => Err(Stop::More),
            _ => Err(HttpError::Field.into()),
        }
    }

    /// Passes over a value and the end of its line, and returns where the value ends. A byte that is of neither is the
    /// error `otherwise`.
    #[inline(always)]
    pub(super) fn value(&mut self, otherwise: HttpError) -> Result<usize, Stop> {
        loop {
            self.place += scan::value(self.rest());
            let end = self.place;
            match self.rest() {
                [b'\r', b'\n', ..] => self.place += 2,
                [byte, ..] if is_value_byte(*byte) => {
                    self.place += 1;
                    continue;
                }
                _ => self.line_end(otherwise)?,
            }
            return Ok(end);
        }
    }
}
