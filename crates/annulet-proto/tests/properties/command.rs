use annulet_proto::codec::Decoder;
use annulet_proto::command::{Command, Reply};
use annulet_proto::lines::{LineError, Lines};
use bytes::BytesMut;
use proptest::prelude::*;

use crate::pieces::{Pieces, pieces};

/// The sample server without its socket: all it would have sent by the end of the stream.
fn serve(pieces: &Pieces) -> Vec<u8> {
    let mut output = Vec::new();
    Reply::Ready.write_to(&mut output);
    match converse(pieces, &mut output) {
        Ok(()) => {}
        Err(LineError::TooLong { .. }) => Reply::LineTooLong.write_to(&mut output),
        Err(other) => panic!("unexpected {other}"),
    }
    output
}

/// Answers line by line until `QUIT` or the end of the stream; an unterminated last line is answered too.
fn converse(pieces: &Pieces, output: &mut Vec<u8>) -> Result<(), LineError> {
    let mut lines = Lines::new(16);
    let mut input = BytesMut::new();
    for piece in pieces.iter() {
        input.extend_from_slice(piece);
        while let Some(line) = lines.decode(&mut input)? {
            let command = Command::parse(&line.bytes);
            command.reply().write_to(output);
            if command == Command::Quit {
                return Ok(());
            }
        }
    }
    while let Some(line) = lines.decode_end(&mut input)? {
        Command::parse(&line.bytes).reply().write_to(output);
    }
    Ok(())
}

#[track_caller]
fn check(sent: &str, answered: &str) {
    for pieces in [Pieces::uncut(sent.as_bytes()), Pieces::cut_by_each_byte(sent.as_bytes())] {
        assert_eq!(String::from_utf8_lossy(&serve(&pieces)), answered, "{sent:?}");
    }
}

#[test]
fn conversation_goes_as_in_the_manual() {
    check("", "READY\n");
    check("PING\nECHO hello\nQUIT\n", "READY\nPONG\nOK hello\nBYE\n");
    check("PING\r\nECHO hello\r\r\nQUIT\r\n", "READY\nPONG\nOK hello\nBYE\n");
    check("what\n\nPING\n", "READY\nERR unknown command\nERR unknown command\nPONG\n");
}

#[test]
fn nothing_is_answered_behind_quit() {
    check("QUIT\nPING\n", "READY\nBYE\n");
}

#[test]
fn unterminated_last_command_is_answered() {
    check("PING\nECHO a", "READY\nPONG\nOK a\n");
}

#[test]
fn line_over_the_limit_ends_the_conversation() {
    check("ECHO 45678901234\r\nPING\n", "READY\nOK 45678901234\nPONG\n");
    check("PING\nECHO 456789012345!\nPING\n", "READY\nPONG\nERR line too long\n");
}

/// Lines that are nearly commands.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let token = prop::sample::select(vec!["PING", "ECHO", "ECHO ", "QUIT", " ", "x", "\r", "\0", "ping"]);
    prop::collection::vec(token, 0..5).prop_map(|tokens| tokens.concat().into_bytes())
}

fn streams() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(lines(), 0..8).prop_map(|lines| lines.join(&b'\n'))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_split_of_a_conversation_is_answered_alike(pieces in pieces(streams())) {
        prop_assert_eq!(serve(&pieces), serve(&Pieces::uncut(&pieces.stream)));
    }

    #[test]
    fn carriage_returns_at_the_end_never_change_a_command(line in lines(), count in 0..4_usize) {
        let mut longer = line.clone();
        longer.extend(std::iter::repeat_n(b'\r', count));
        prop_assert_eq!(Command::parse(&longer), Command::parse(&line));
    }

    #[test]
    fn reply_to_anything_is_exactly_one_line(line in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..64),
        prop::collection::vec(any::<u8>(), 0..64).prop_map(|text| [b"ECHO ".to_vec(), text].concat()),
    ]) {
        let mut output = Vec::new();
        Command::parse(&line).reply().write_to(&mut output);
        prop_assert_eq!(output.iter().position(|byte| *byte == b'\n'), Some(output.len() - 1));
    }
}
