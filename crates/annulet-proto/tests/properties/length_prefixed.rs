use annulet_proto::codec::Encoder;
use annulet_proto::length_prefixed::{
    ByteOrder, LengthEncodeError, LengthError, LengthPrefixed, PrefixWidth,
};
use bytes::Bytes;
use proptest::prelude::*;

use crate::pieces::{Pieces, decode_all, pieces};

#[derive(Clone, Copy, Debug)]
struct Settings {
    width: PrefixWidth,
    order: ByteOrder,
    payload_max: usize,
}

impl Settings {
    fn codec(self) -> LengthPrefixed {
        LengthPrefixed::new().width(self.width).byte_order(self.order).payload_max(self.payload_max)
    }

    /// The length in a complete prefix, one digit of base 256 after the other.
    fn length(self, prefix: &[u8]) -> u64 {
        let digit = |length, byte: &u8| length << 8 | u64::from(*byte);
        match self.order {
            ByteOrder::Big => prefix.iter().fold(0, digit),
            ByteOrder::Little => prefix.iter().rev().fold(0, digit),
        }
    }
}

fn settings() -> impl Strategy<Value = Settings> {
    use PrefixWidth::{U8, U16, U24, U32, U64};
    let width = prop::sample::select(vec![U8, U16, U24, U32, U64]);
    let order = prop::sample::select(vec![ByteOrder::Big, ByteOrder::Little]);
    let payload_max = prop_oneof![4 => 0..40_usize, 1 => Just(1 << 20), 1 => Just(usize::MAX)];
    (width, order, payload_max).prop_map(|(width, order, payload_max)| Settings { width, order, payload_max })
}

/// Messages the settings allow or nearly allow, and then perhaps some noise.
fn streams(settings: Settings) -> impl Strategy<Value = Vec<u8>> {
    let payload = prop::collection::vec(any::<u8>(), 0..=settings.payload_max.min(40));
    let noise = prop::collection::vec(prop_oneof![3 => 0..3_u8, 1 => any::<u8>()], 0..12);
    (prop::collection::vec(payload, 0..6), noise).prop_map(move |(payloads, noise)| {
        let mut stream = Vec::new();
        for payload in payloads {
            settings.codec().encode(payload, &mut stream).expect("within every limit");
        }
        stream.extend(noise);
        stream
    })
}

fn settings_and_pieces() -> impl Strategy<Value = (Settings, Pieces)> {
    settings().prop_flat_map(|settings| (Just(settings), pieces(streams(settings))))
}

fn model(mut stream: &[u8], settings: Settings) -> Vec<Result<Bytes, LengthError>> {
    let width = settings.width.bytes();
    let mut said = Vec::new();
    while !stream.is_empty() {
        if stream.len() < width {
            said.push(Err(LengthError::TruncatedPrefix { arrived: stream.len(), width }));
            break;
        }
        let (prefix, rest) = stream.split_at(width);
        let declared = settings.length(prefix);
        if declared > settings.payload_max as u64 {
            said.push(Err(LengthError::TooLong { declared, maximum: settings.payload_max }));
            break;
        }
        let declared = declared as usize;
        if rest.len() < declared {
            said.push(Err(LengthError::TruncatedPayload { arrived: rest.len(), declared }));
            break;
        }
        said.push(Ok(Bytes::copy_from_slice(&rest[..declared])));
        stream = &rest[declared..];
    }
    said
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn any_split_of_any_stream_gives_what_the_model_says((settings, pieces) in settings_and_pieces()) {
        prop_assert_eq!(decode_all(settings.codec(), &pieces), model(&pieces.stream, settings));
    }

    #[test]
    fn arbitrary_bytes_give_what_the_model_says(
        pieces in pieces(prop::collection::vec(any::<u8>(), 0..600)),
        settings in settings(),
    ) {
        prop_assert_eq!(decode_all(settings.codec(), &pieces), model(&pieces.stream, settings));
    }

    #[test]
    fn what_is_encoded_is_decoded_and_what_is_refused_leaves_no_trace(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
        settings in settings(),
    ) {
        let mut codec = settings.codec();
        let mut output = Vec::new();
        let mut accepted = Vec::new();
        for payload in payloads {
            let length = payload.len();
            match codec.encode(&payload, &mut output) {
                Ok(()) => accepted.push(Ok(Bytes::from(payload))),
                Err(LengthEncodeError::OverMaximum { .. }) => prop_assert!(length > settings.payload_max),
                Err(LengthEncodeError::OverWidth { .. }) => prop_assert!(length > 255),
                Err(other) => prop_assert!(false, "unexpected {other}"),
            }
        }
        prop_assert_eq!(decode_all(codec, &Pieces::cut_by_each_byte(&output)), accepted);
    }
}
