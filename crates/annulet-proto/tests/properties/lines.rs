use annulet_proto::codec::{Decoder, Encoder};
use annulet_proto::lines::{Line, LineError, Lines, Oversize};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use crate::pieces::{Pieces, decode_all, pieces};

#[derive(Clone, Copy, Debug)]
struct Settings {
    limit: usize,
    trim: bool,
    oversize: Oversize,
}

impl Settings {
    fn decoder(self) -> Lines {
        Lines::new(self.limit).trim_carriage_return(self.trim).oversize(self.oversize)
    }

    /// Every combination, for limits up to `limit_max`.
    fn all(limit_max: usize) -> impl Iterator<Item = Self> {
        (0..=limit_max).flat_map(|limit| {
            [false, true].into_iter().flat_map(move |trim| {
                [Oversize::Poison, Oversize::Skip].map(|oversize| Self { limit, trim, oversize })
            })
        })
    }
}

fn settings() -> impl Strategy<Value = Settings> {
    let oversize = prop_oneof![Just(Oversize::Poison), Just(Oversize::Skip)];
    (0..10_usize, any::<bool>(), oversize).prop_map(|(limit, trim, oversize)| Settings {
        limit,
        trim,
        oversize,
    })
}

/// Streams in which line ends are frequent.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => Just(b'a'), 2 => Just(b'\r'), 2 => Just(b'\n'), 1 => any::<u8>()];
    prop::collection::vec(byte, 0..80)
}

fn model(stream: &[u8], settings: Settings) -> Vec<Result<Line, LineError>> {
    let mut said = Vec::new();
    for segment in stream.split_inclusive(|byte| *byte == b'\n') {
        let (text, terminated) = segment.strip_suffix(b"\n").map_or((segment, false), |text| (text, true));
        let text = if settings.trim { text.strip_suffix(b"\r").unwrap_or(text) } else { text };
        if text.len() <= settings.limit {
            said.push(Ok(Line { bytes: Bytes::copy_from_slice(text), terminated }));
        } else {
            said.push(Err(LineError::TooLong { limit: settings.limit }));
            if settings.oversize == Oversize::Poison {
                break;
            }
        }
    }
    said
}

/// All streams of up to six bytes from the three kinds that matter, cut in all ways, under all settings that matter.
#[test]
fn every_split_of_every_short_stream_gives_what_the_model_says() {
    const KINDS: [u8; 3] = *b"a\r\n";
    for length in 0..=6_u32 {
        for number in 0..3_usize.pow(length) {
            let stream: Vec<u8> = (0..length).map(|place| KINDS[number / 3_usize.pow(place) % 3]).collect();
            for settings in Settings::all(3) {
                let expected = model(&stream, settings);
                for mask in 0..1 << length.saturating_sub(1) {
                    let pieces = Pieces::cut_by_mask(&stream, mask);
                    assert_eq!(decode_all(settings.decoder(), &pieces), expected, "{pieces:?} {settings:?}");
                }
            }
        }
    }
}

/// Limit and limit + 1, behind each line end and at the end of the stream, around the size in which bytes are
/// searched together.
#[test]
fn limit_is_exact_for_every_line_end() {
    for limit in [0, 1, 31, 32, 33, 63, 64, 65, 1024] {
        for (end, terminated) in [("\n", true), ("\r\n", true), ("", false), ("\r", false)] {
            for extra in [0, 1] {
                let text = "x".repeat(limit + extra);
                let stream = format!("{text}{end}");
                let expected = match extra {
                    _ if stream.is_empty() => vec![],
                    0 => vec![Ok(Line { bytes: Bytes::from(text), terminated })],
                    _ => vec![Err(LineError::TooLong { limit })],
                };
                for pieces in [Pieces::uncut(stream.as_bytes()), Pieces::cut_by_each_byte(stream.as_bytes())]
                {
                    assert_eq!(
                        decode_all(Lines::new(limit), &pieces),
                        expected,
                        "limit {limit}, end {end:?}"
                    );
                }
            }
        }
    }
}

/// As long as nothing is reported, one line feed must suffice to make the line good; otherwise the error is late.
/// (That it is never early is what the model says.)
#[test]
fn too_long_is_never_late() {
    for settings in Settings::all(3) {
        for number in 0..3_usize.pow(6) {
            let mut lines = settings.decoder();
            let mut input = BytesMut::new();
            for place in 0..6 {
                input.extend_from_slice(&[b"ab\r"[number / 3_usize.pow(place) % 3]]);
                if lines.decode(&mut input).is_err() {
                    break;
                }
                let mut completed = input.clone();
                completed.extend_from_slice(b"\n");
                let answer = lines.clone().decode(&mut completed);
                assert!(matches!(answer, Ok(Some(_))), "late after {input:?}, {settings:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn any_split_of_any_stream_gives_what_the_model_says(pieces in pieces(streams()), settings in settings()) {
        prop_assert_eq!(decode_all(settings.decoder(), &pieces), model(&pieces.stream, settings));
    }

    #[test]
    fn arbitrary_bytes_give_what_the_model_says(
        pieces in pieces(prop::collection::vec(any::<u8>(), 0..600)),
        settings in settings(),
    ) {
        prop_assert_eq!(decode_all(settings.decoder(), &pieces), model(&pieces.stream, settings));
    }

    #[test]
    fn skip_recovers_every_line_within_the_limit(
        lengths in prop::collection::vec(0..40_usize, 0..12),
        limit in 0..20_usize,
    ) {
        let stream: Vec<u8> = lengths.iter().flat_map(|length| [vec![b'x'; *length], vec![b'\n']].concat()).collect();
        let every_byte_alone = Pieces::cut_by_each_byte(&stream);
        let said = decode_all(Lines::new(limit).oversize(Oversize::Skip), &every_byte_alone);

        prop_assert_eq!(said.len(), lengths.len());
        for (answer, length) in said.into_iter().zip(lengths) {
            match answer {
                Ok(line) => prop_assert_eq!(line.bytes.len(), length),
                Err(error) => {
                    prop_assert_eq!(error, LineError::TooLong { limit });
                    prop_assert!(length > limit);
                }
            }
        }
    }

    #[test]
    fn what_is_encoded_is_decoded(
        texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 0..8),
    ) {
        let mut lines = Lines::new(100).trim_carriage_return(false);
        let mut output = Vec::new();
        let mut accepted = Vec::new();
        for text in texts {
            match lines.encode(&text, &mut output) {
                Ok(()) => accepted.push(Ok(Line { bytes: Bytes::from(text), terminated: true })),
                Err(_) => prop_assert!(text.contains(&b'\n')),
            }
        }
        prop_assert_eq!(decode_all(lines, &Pieces::cut_by_each_byte(&output)), accepted);
    }
}
