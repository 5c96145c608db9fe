//! The fuzz targets, run over the inputs that are kept for them: those made by hand and those that once broke something.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

// The bodies of the targets need no fuzzer.
#[path = "../../../../fuzz/src/http1.rs"]
pub mod http1;

type Inputs = Vec<Vec<u8>>;

/// What is kept for a target.
fn inputs(target: &str) -> Inputs {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let files = fs::read_dir(&folder).expect("the corpus is there");
    let mut paths: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    assert!(paths.len() > 20, "{} has {} files", folder.display(), paths.len());
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("readable")).collect()
}

fn check(target: &str, body: fn(&[u8])) {
    for input in inputs(target) {
        println!("{}", input.escape_ascii()); // The last one printed is the one that failed.
        body(&input);
    }
}

#[test]
fn request_heads() {
    check("http1_head", http1::head);
}

#[test]
fn response_heads() {
    check("http1_response", http1::response);
}

#[test]
fn chunked_bodies() {
    check("http1_chunked", http1::chunked);
}

/// The beginning of one input and the end of another.
fn crossed(target: &str) -> impl Strategy<Value = Vec<u8>> {
    let input = prop::sample::select(inputs(target));
    let place = any::<prop::sample::Index>;
    (input.clone(), place(), input, place()).prop_map(|(one, beginning, other, end)| {
        let beginning = &one[..beginning.index(one.len() + 1)];
        [beginning, &other[end.index(other.len() + 1)..]].concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1024) })]

    #[test]
    fn crossed_request_heads(input in crossed("http1_head")) {
        http1::head(&input);
    }

    #[test]
    fn crossed_response_heads(input in crossed("http1_response")) {
        http1::response(&input);
    }

    #[test]
    fn crossed_chunked_bodies(input in crossed("http1_chunked")) {
        http1::chunked(&input);
    }
}
