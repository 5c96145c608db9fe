use super::*;

fn payload(bytes: &'static [u8]) -> Result<Option<Bytes>, LengthError> {
    Ok(Some(Bytes::from_static(bytes)))
}

#[test]
fn default_is_four_bytes_in_network_order() {
    let mut output = Vec::new();
    assert_eq!(LengthPrefixed::default().encode([0x55; 0x0102], &mut output), Ok(()));
    assert_eq!(output[..4], [0, 0, 1, 2]);
    assert_eq!(output.len(), 4 + 0x0102);
}

#[test]
fn messages_in_one_piece_come_out_one_by_one() {
    let mut codec = LengthPrefixed::new();
    let mut input = BytesMut::from(&b"\0\0\0\x02ab\0\0\0\0\0\0\0\x01c\0\0"[..]);
    assert_eq!(codec.decode(&mut input), payload(b"ab"));
    assert_eq!(codec.decode(&mut input), payload(b""));
    assert_eq!(codec.decode(&mut input), payload(b"c"));
    assert_eq!(codec.decode(&mut input), Ok(None));
    assert_eq!(&input[..], b"\0\0");
}

#[test]
fn maximum_is_accepted_and_one_more_refused() {
    let mut codec = LengthPrefixed::new().width(PrefixWidth::U8).payload_max(3);
    let mut input = BytesMut::from(&b"\x03abc\x04"[..]);
    assert_eq!(codec.decode(&mut input), payload(b"abc"));
    assert_eq!(codec.decode(&mut input), Err(LengthError::TooLong { declared: 4, maximum: 3 }));
}

#[test]
fn default_maximum_is_one_mebibyte() {
    let mut codec = LengthPrefixed::new();
    assert_eq!(codec.decode(&mut BytesMut::from(&[0, 0x10, 0, 0][..])), Ok(None));

    let refused = codec.decode(&mut BytesMut::from(&[0, 0x10, 0, 1][..]));
    assert_eq!(refused, Err(LengthError::TooLong { declared: 0x10_0001, maximum: 0x10_0000 }));
}

#[test]
fn nothing_is_reserved_for_a_declared_length() {
    let mut codec = LengthPrefixed::new().width(PrefixWidth::U64).payload_max(usize::MAX);
    let mut input = BytesMut::from(&[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1][..]);
    let capacity = input.capacity();
    assert_eq!(codec.decode(&mut input), Ok(None));
    assert_eq!(input.capacity(), capacity);
}

#[test]
fn largest_declared_length_does_not_overflow() {
    let mut codec = LengthPrefixed::new().width(PrefixWidth::U64).payload_max(usize::MAX);
    let mut input = BytesMut::from(&[0xff; 9][..]);
    assert_eq!(codec.buffered_max(), usize::MAX);
    assert_eq!(codec.decode(&mut input), Ok(None));
    let truncated = LengthError::TruncatedPayload { arrived: 1, declared: usize::MAX };
    assert_eq!(codec.decode_end(&mut input), Err(truncated));
}

#[test]
fn refused_length_is_refused_for_ever() {
    let mut codec = LengthPrefixed::new().width(PrefixWidth::U8).payload_max(1);
    let refused = Err(LengthError::TooLong { declared: 2, maximum: 1 });
    let mut input = BytesMut::from(&b"\x02\x01a"[..]);
    for _ in 0..3 {
        assert_eq!(codec.decode(&mut input), refused);
        assert_eq!(codec.decode_end(&mut input), refused);
    }
    assert_eq!(codec.decode(&mut BytesMut::from(&b"\x01a"[..])), refused);
}

#[test]
fn end_of_stream_between_messages_is_clean() {
    let mut codec = LengthPrefixed::new();
    let mut input = BytesMut::from(&b"\0\0\0\x01a\0\0\0\0"[..]);
    assert_eq!(codec.decode_end(&mut input), payload(b"a"));
    assert_eq!(codec.decode_end(&mut input), payload(b""));
    assert_eq!(codec.decode_end(&mut input), Ok(None));
    assert_eq!(codec.decode_end(&mut input), Ok(None));
}

#[test]
fn end_of_stream_inside_a_message_says_where() {
    let cases: [(&[u8], LengthError); 4] = [
        (b"\0", LengthError::TruncatedPrefix { arrived: 1, width: 4 }),
        (b"\0\0\0", LengthError::TruncatedPrefix { arrived: 3, width: 4 }),
        (b"\0\0\0\x02", LengthError::TruncatedPayload { arrived: 0, declared: 2 }),
        (b"\0\0\0\x02a", LengthError::TruncatedPayload { arrived: 1, declared: 2 }),
    ];
    for (bytes, error) in cases {
        let mut codec = LengthPrefixed::new();
        let mut input = BytesMut::from(bytes);
        assert_eq!(codec.decode(&mut input), Ok(None));
        assert_eq!(codec.decode_end(&mut input), Err(error));
        assert_eq!(codec.decode_end(&mut input), Err(error));
    }
}

#[test]
fn buffered_max_is_what_the_narrower_of_width_and_maximum_allows() {
    assert_eq!(LengthPrefixed::new().buffered_max(), 4 + 0x10_0000);
    assert_eq!(LengthPrefixed::new().width(PrefixWidth::U8).buffered_max(), 1 + 255);
    assert_eq!(LengthPrefixed::new().payload_max(10).buffered_max(), 4 + 10);
}

#[test]
fn encoder_refuses_more_than_the_maximum_and_writes_nothing() {
    let mut codec = LengthPrefixed::new().payload_max(3);
    let mut output = Vec::new();
    assert_eq!(
        codec.encode("abcd", &mut output),
        Err(LengthEncodeError::OverMaximum { length: 4, maximum: 3 })
    );
    assert_eq!(output, b"");
    assert_eq!(codec.encode("abc", &mut output), Ok(()));
}

#[test]
fn encoder_refuses_what_the_width_cannot_express_and_writes_nothing() {
    let mut codec = LengthPrefixed::new().width(PrefixWidth::U8);
    let mut output = Vec::new();
    assert_eq!(
        codec.encode([0; 256], &mut output),
        Err(LengthEncodeError::OverWidth { length: 256, width: 1 })
    );
    assert_eq!(output, b"");
    assert_eq!(codec.encode([0; 255], &mut output), Ok(()));
}
