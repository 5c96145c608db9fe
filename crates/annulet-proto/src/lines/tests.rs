use super::*;

fn line(text: &str) -> Result<Option<Line>, LineError> {
    Ok(Some(Line { bytes: Bytes::copy_from_slice(text.as_bytes()), terminated: true }))
}

fn last_line(text: &str) -> Result<Option<Line>, LineError> {
    Ok(Some(Line { bytes: Bytes::copy_from_slice(text.as_bytes()), terminated: false }))
}

const fn too_long(limit: usize) -> Result<Option<Line>, LineError> {
    Err(LineError::TooLong { limit })
}

/// Hands `input` over one byte at a time; the number of bytes after which something other than "more" was answered.
fn decided_after(lines: &mut Lines, input: &str) -> (usize, Result<Option<Line>, LineError>) {
    let mut buffer = BytesMut::new();
    for (index, byte) in input.bytes().enumerate() {
        buffer.extend_from_slice(&[byte]);
        match lines.decode(&mut buffer) {
            Ok(None) => {}
            decided => return (index + 1, decided),
        }
    }
    (input.len(), Ok(None))
}

#[test]
fn several_lines_in_one_piece_come_out_one_by_one() {
    let mut lines = Lines::default();
    let mut input = BytesMut::from("one\n\ntwo\r\nthree");
    assert_eq!(lines.decode(&mut input), line("one"));
    assert_eq!(lines.decode(&mut input), line(""));
    assert_eq!(lines.decode(&mut input), line("two"));
    assert_eq!(lines.decode(&mut input), Ok(None));
    assert_eq!(&input[..], b"three");
}

#[test]
fn one_carriage_return_is_trimmed_only_before_the_line_feed() {
    let mut lines = Lines::default();
    let mut input = BytesMut::from("a\r\nb\r\r\n\rc\rd\n\r\n");
    assert_eq!(lines.decode(&mut input), line("a"));
    assert_eq!(lines.decode(&mut input), line("b\r"));
    assert_eq!(lines.decode(&mut input), line("\rc\rd"));
    assert_eq!(lines.decode(&mut input), line(""));
}

#[test]
fn carriage_return_stays_when_trimming_is_off() {
    let mut lines = Lines::default().trim_carriage_return(false);
    let mut input = BytesMut::from("a\r\n\r\nb\r");
    assert_eq!(lines.decode(&mut input), line("a\r"));
    assert_eq!(lines.decode(&mut input), line("\r"));
    assert_eq!(lines.decode_end(&mut input), last_line("b\r"));
}

#[test]
fn limit_counts_neither_lf_nor_crlf() {
    for exact in ["abcd\n", "abcd\r\n"] {
        assert_eq!(decided_after(&mut Lines::new(4), exact), (exact.len(), line("abcd")));
    }
    assert_eq!(decided_after(&mut Lines::new(0), "\r\n"), (2, line("")));
}

#[test]
fn limit_counts_the_carriage_return_that_is_not_trimmed() {
    let mut lines = Lines::new(4).trim_carriage_return(false);
    assert_eq!(decided_after(&mut lines, "abc\r\n"), (5, line("abc\r")));
    assert_eq!(decided_after(&mut lines, "abcd\r\n"), (5, too_long(4)));
}

#[test]
fn too_long_is_reported_by_the_byte_that_makes_it_certain() {
    assert_eq!(decided_after(&mut Lines::new(4), "abcde and no end"), (5, too_long(4)));
    assert_eq!(decided_after(&mut Lines::new(4), "abcd\rf"), (6, too_long(4)));
    assert_eq!(decided_after(&mut Lines::new(4), "abcd\r\r\n"), (6, too_long(4)));
    assert_eq!(decided_after(&mut Lines::new(0), "a"), (1, too_long(0)));
}

#[test]
fn limit_with_a_carriage_return_waits_for_the_next_byte() {
    let mut lines = Lines::new(4);
    let mut input = BytesMut::from("abcd\r");
    assert_eq!(lines.decode(&mut input), Ok(None));
    input.extend_from_slice(b"\nx");
    assert_eq!(lines.decode(&mut input), line("abcd"));
}

#[test]
fn poisoned_decoder_answers_the_same_error_for_ever() {
    let mut lines = Lines::new(2);
    let mut input = BytesMut::from("abc\nok\n");
    for _ in 0..3 {
        assert_eq!(lines.decode(&mut input), too_long(2));
        assert_eq!(lines.decode_end(&mut input), too_long(2));
    }
    assert_eq!(&input[..], b"abc\nok\n");

    let mut other = BytesMut::from("ok\n");
    assert_eq!(lines.decode(&mut other), too_long(2));
}

#[test]
fn skip_goes_on_with_the_line_after() {
    let mut lines = Lines::new(2).oversize(Oversize::Skip);
    let mut input = BytesMut::from("abc\nok\nabcdef\r\n\nab\r\r\nno");
    assert_eq!(lines.decode(&mut input), too_long(2));
    assert_eq!(lines.decode(&mut input), line("ok"));
    assert_eq!(lines.decode(&mut input), too_long(2));
    assert_eq!(lines.decode(&mut input), line(""));
    assert_eq!(lines.decode(&mut input), too_long(2));
    assert_eq!(lines.decode(&mut input), Ok(None));
    assert_eq!(lines.decode_end(&mut input), last_line("no"));
    assert_eq!(lines.decode_end(&mut input), Ok(None));
}

#[test]
fn skip_reports_once_and_keeps_nothing_of_an_endless_line() {
    let mut lines = Lines::new(16).oversize(Oversize::Skip);
    let mut input = BytesMut::new();
    let mut errors = 0;
    for _ in 0..1000 {
        input.extend_from_slice(&[b'x'; 1000]);
        loop {
            match lines.decode(&mut input) {
                Ok(None) => break,
                Ok(Some(line)) => panic!("a line out of nowhere: {line:?}"),
                Err(LineError::TooLong { limit }) => {
                    assert_eq!(limit, 16);
                    errors += 1;
                }
            }
        }
        assert!(input.is_empty());
    }
    assert_eq!(errors, 1);
    assert!(input.capacity() < 10_000, "capacity grew to {}", input.capacity());
    assert_eq!(lines.decode_end(&mut input), Ok(None));
}

#[test]
fn unterminated_last_line_is_delivered_as_such() {
    for (input, text) in [("QUIT", "QUIT"), ("QUIT\r", "QUIT"), ("\r", "")] {
        let mut lines = Lines::new(4);
        let mut input = BytesMut::from(input);
        assert_eq!(lines.decode_end(&mut input), last_line(text));
        assert_eq!(lines.decode_end(&mut input), Ok(None));
    }
}

#[test]
fn end_of_stream_delivers_the_complete_lines_first() {
    let mut lines = Lines::default();
    let mut input = BytesMut::from("a\nb\nc");
    assert_eq!(lines.decode_end(&mut input), line("a"));
    assert_eq!(lines.decode_end(&mut input), line("b"));
    assert_eq!(lines.decode_end(&mut input), last_line("c"));
    assert_eq!(lines.decode_end(&mut input), Ok(None));
}

#[test]
fn end_of_stream_behind_a_line_end_delivers_nothing() {
    let mut lines = Lines::default();
    let mut input = BytesMut::from("a\n");
    assert_eq!(lines.decode(&mut input), line("a"));
    assert_eq!(lines.decode_end(&mut input), Ok(None));
}

/// Goal: prove that bytes already searched are not searched again, without a clock. Method: put a line feed among
/// them behind the decoder's back; a decoder that starts over would find it.
#[test]
fn bytes_already_searched_are_not_searched_again() {
    let mut lines = Lines::default();
    let mut input = BytesMut::from("abcdef");
    assert_eq!(lines.decode(&mut input), Ok(None));
    input[2] = b'\n';
    input.extend_from_slice(b"gh\n");
    assert_eq!(lines.decode(&mut input), line("ab\ndefgh"));
}

#[test]
#[should_panic(expected = "between two calls")]
fn input_taken_behind_the_decoders_back_is_noticed() {
    let mut lines = Lines::default();
    let mut input = BytesMut::from("abcdef");
    assert_eq!(lines.decode(&mut input), Ok(None));
    input.advance(3);
    let _ = lines.decode(&mut input);
}

#[test]
fn dropped_lines_give_their_room_back() {
    let mut lines = Lines::default();
    let mut input = BytesMut::with_capacity(64);
    for _ in 0..10_000 {
        input.extend_from_slice(b"PING\r\nECHO some text\r\n");
        assert_eq!(lines.decode(&mut input), line("PING"));
        assert_eq!(lines.decode(&mut input), line("ECHO some text"));
    }
    input.reserve(64);
    assert!(input.capacity() <= 128, "capacity grew to {}", input.capacity());
}

#[test]
fn buffered_max_has_room_for_a_carriage_return_only_when_it_is_trimmed() {
    assert_eq!(Lines::default().buffered_max(), 1024 + 2);
    assert_eq!(Lines::default().trim_carriage_return(false).buffered_max(), 1024 + 1);
}

#[test]
fn largest_limit_does_not_overflow() {
    let mut lines = Lines::new(usize::MAX);
    assert_eq!(lines.buffered_max(), usize::MAX);
    assert_eq!(lines.decode(&mut BytesMut::from("abc\r\n")), line("abc"));
}

#[test]
fn encoder_refuses_a_line_feed_and_writes_nothing() {
    let mut output = b"staged".to_vec();
    let refused = Lines::default().encode("ab\ncd\n", &mut output);
    assert_eq!(refused, Err(LineEncodeError::LineFeedInside { index: 2 }));
    assert_eq!(output, b"staged");
}

#[test]
fn encoder_does_not_apply_the_limit_of_the_decoder() {
    let mut output = Vec::new();
    assert_eq!(Lines::new(2).encode("OK ab", &mut output), Ok(()));
    assert_eq!(output, b"OK ab\n");
}

#[test]
fn errors_read_as_sentences() {
    assert_eq!(LineError::TooLong { limit: 7 }.to_string(), "line longer than 7 bytes");
    let inside = LineEncodeError::LineFeedInside { index: 3 };
    assert_eq!(inside.to_string(), "line feed inside a line, at byte 3");
}
