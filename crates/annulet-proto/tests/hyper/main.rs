//! The same bytes to this codec and to hyper: where both take a request it is the same one, hyper takes whatever is taken
//! here, and what only hyper takes is refused here for a reason that has a name.

mod difference;
mod peer;
mod requests;

use std::fmt::Debug;
use std::fs;
use std::path::Path;

use annulet_proto::http1::{
    BodyDecoder, BodyLength, BodyStep, HeadLimits, HttpError, RequestHead, TargetForm, Version,
};
use proptest::prelude::*;

use peer::Request;

/// What is said of a request that begins a connection.
#[derive(Clone, Debug, PartialEq)]
enum Verdict {
    /// It, and its body, if all of that arrived.
    Taken(Request),
    /// Its head is malformed, or did not arrive.
    Refused(Option<HttpError>),
}

/// This codec's.
fn ours(input: &[u8]) -> Verdict {
    let mut head = RequestHead::new();
    match head.parse(input, &HeadLimits::default()) {
        Ok(Some(length)) => Verdict::Taken(Request {
            method: head.method().to_owned(),
            authority: match head.target_form() {
                TargetForm::Absolute => head.host().map(str::to_owned),
                TargetForm::Authority => Some(head.target().to_owned()),
                TargetForm::Origin | TargetForm::Asterisk => None,
            },
            path: if head.target_form() == TargetForm::Authority {
                "".into()
            } else {
                head.path().to_owned()
            },
            query: head.query().map(str::to_owned),
            is_1_1: head.version() == Version::Http11,
            fields: peer::by_name(
                head.fields().map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect(),
            ),
            body: body(head.body_length(), &input[length..]),
        }),
        Ok(None) => Verdict::Refused(None),
        Err(error) => Verdict::Refused(Some(error)),
    }
}

/// The body at the front; `Err` when it is malformed, or did not all arrive.
fn body(length: BodyLength, mut rest: &[u8]) -> Result<Vec<u8>, Option<HttpError>> {
    let mut decoder = BodyDecoder::new(length);
    let mut body = Vec::new();
    loop {
        match decoder.decode(rest).map_err(Some)? {
            BodyStep::Data { skip, length } => {
                body.extend_from_slice(&rest[skip..skip + length]);
                rest = &rest[skip + length..];
            }
            BodyStep::More { .. } => return Err(None),
            BodyStep::End { .. } => return Ok(body),
        }
    }
}

/// Compares the two: the name of the difference, if there is one; what is wrong, when it has none.
fn compare(input: &[u8]) -> Result<Option<&'static str>, String> {
    let wrong =
        |what: &str, details: &dyn Debug| Err(format!("{what}: {}\n{details:?}", input.escape_ascii()));
    let (ours, theirs) = match (ours(input), peer::request(input)) {
        (Verdict::Refused(_), None) => return Ok(None),
        (ours @ Verdict::Taken(_), None) => return wrong("only taken here", &ours),
        (Verdict::Refused(error), Some(theirs)) => {
            return match error.and_then(|error| difference::name(error, input, &theirs)) {
                Some(name) => Ok(Some(name)),
                None => wrong("refused for no reason", &(error, theirs)),
            };
        }
        (Verdict::Taken(ours), Some(theirs)) => (ours, theirs),
    };
    let bodiless = |request: &Request| Request { body: Ok(Vec::new()), ..request.clone() };
    match (&ours.body, &theirs.body) {
        _ if bodiless(&ours) != bodiless(&theirs) => wrong("another head", &(ours, theirs)),
        (Ok(_), _) if ours.body != theirs.body => wrong("another body", &(ours, theirs)),
        (Err(error), Ok(_)) => match error.and_then(|error| difference::body_name(error, input)) {
            Some(name) => Ok(Some(name)),
            None => wrong("a body refused for no reason", &(ours, theirs)),
        },
        _ => Ok(None),
    }
}

/// Every name is that of something: the requests of the corpus and those of the module `difference`.
#[test]
fn what_only_hyper_takes_has_a_name_and_every_name_is_used() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/http1_head");
    let files = fs::read_dir(folder).expect("the corpus is there");
    let mut inputs: Vec<_> =
        files.map(|file| fs::read(file.expect("a file").path()).expect("readable")).collect();
    inputs.extend(requests::examples());
    let mut names: Vec<_> = inputs.iter().filter_map(|input| compare(input).expect("alike")).collect();
    names.sort_unstable();
    names.dedup();
    let mut expected = difference::names();
    expected.sort_unstable();
    assert_eq!(names, expected);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1024) })]

    #[test]
    fn usual_requests_are_taken_alike(input in requests::usual()) {
        prop_assert_eq!(compare(&input), Ok(None));
        let is_taken = matches!(ours(&input), Verdict::Taken(Request { body: Ok(_), .. }));
        prop_assert!(is_taken, "{}", input.escape_ascii());
    }

    #[test]
    fn odd_requests_are_taken_alike_or_refused_for_a_reason_with_a_name(input in requests::odd()) {
        let difference = compare(&input);
        prop_assert!(difference.is_ok(), "{}", difference.unwrap_err());
    }
}
