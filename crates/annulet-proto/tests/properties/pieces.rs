//! Streams that arrive in pieces.

use annulet_proto::codec::Decoder;
use bytes::BytesMut;
use proptest::prelude::*;

/// A stream and the places where it is cut. Cuts may coincide: an empty piece must change nothing either.
#[derive(Clone, Debug)]
pub(crate) struct Pieces {
    pub(crate) stream: Vec<u8>,
    cuts: Vec<usize>,
}

impl Pieces {
    /// The stream in one piece.
    pub(crate) fn uncut(stream: &[u8]) -> Self {
        Self { stream: stream.to_vec(), cuts: Vec::new() }
    }

    /// The stream cut behind byte `n` for each set bit `n` of `mask`.
    pub(crate) fn cut_by_mask(stream: &[u8], mask: u32) -> Self {
        let cuts = (1..stream.len()).filter(|cut| mask >> (cut - 1) & 1 == 1).collect();
        Self { stream: stream.to_vec(), cuts }
    }

    /// The stream one byte at a time.
    pub(crate) fn cut_by_each_byte(stream: &[u8]) -> Self {
        Self { stream: stream.to_vec(), cuts: (1..stream.len()).collect() }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.cuts.iter().copied());
        let ends = self.cuts.iter().copied().chain(std::iter::once(self.stream.len()));
        starts.zip(ends).map(|(start, end)| &self.stream[start..end])
    }
}

/// Any way to cut what `streams` makes: whole, byte by byte, or at random places.
pub(crate) fn pieces(streams: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Pieces> {
    streams.prop_flat_map(|stream| {
        let length = stream.len();
        let cuts = prop_oneof![
            1 => Just(Vec::new()),
            2 => Just((1..length).collect()),
            6 => prop::collection::vec(0..=length, 0..12),
        ];
        cuts.prop_map(move |mut cuts| {
            cuts.sort_unstable();
            Pieces { stream: stream.clone(), cuts }
        })
    })
}

/// All that `decoder` says about a stream, up to its end or the first error it does not recover from. Checks on the
/// way what the contract says about progress and memory.
pub(crate) fn decode_all<D>(mut decoder: D, pieces: &Pieces) -> Vec<Result<D::Frame, D::Error>>
where
    D: Decoder<Frame: PartialEq, Error: PartialEq>,
{
    let mut input = BytesMut::new();
    let mut said = Vec::new();
    for piece in pieces.iter() {
        input.extend_from_slice(piece);
        if drain(&mut decoder, D::decode, &mut input, &mut said).is_break() {
            return said;
        }
        assert!(input.len() < decoder.buffered_max(), "more kept than announced: {}", input.len());
    }
    if drain(&mut decoder, D::decode_end, &mut input, &mut said).is_continue() {
        assert!(input.is_empty(), "left behind at the end: {input:?}");
        assert!(matches!(decoder.decode_end(&mut input), Ok(None)), "spoke again after the end");
    }
    said
}

type Flow = std::ops::ControlFlow<()>;
type Call<D> = fn(&mut D, &mut BytesMut) -> Result<Option<<D as Decoder>::Frame>, <D as Decoder>::Error>;

/// Calls until the decoder wants more, or breaks off at an error it does not recover from.
fn drain<D>(
    decoder: &mut D,
    call: Call<D>,
    input: &mut BytesMut,
    said: &mut Vec<Result<D::Frame, D::Error>>,
) -> Flow
where
    D: Decoder<Frame: PartialEq, Error: PartialEq>,
{
    loop {
        let before = input.len();
        let answer = call(decoder, input).transpose();
        let consumed = before - input.len();
        match answer {
            None => return Flow::Continue(()),
            Some(Err(error)) if consumed == 0 => {
                assert!(call(decoder, input) == Err(error), "another answer behind a final error");
                said.push(call(decoder, input).map(|_| unreachable!()));
                return Flow::Break(());
            }
            Some(frame_or_error) => {
                assert!(consumed > 0, "a frame out of nothing");
                said.push(frame_or_error);
            }
        }
    }
}
