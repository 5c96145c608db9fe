//! The fuzz targets, run over the inputs that are kept for them: those made by hand and those that once broke something.

use std::fs;
use std::path::Path;

// The bodies of the targets need no fuzzer.
#[path = "../../../../fuzz/src/http1.rs"]
pub mod http1;

/// Hands each file of a target's corpus to it.
fn check(corpus: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(corpus);
    let mut files = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is there") {
        let path = entry.expect("a file").path();
        println!("{}", path.display()); // The last one printed is the one that failed.
        target(&fs::read(&path).expect("readable"));
        files += 1;
    }
    assert!(files > 20, "{} has {files} files", folder.display());
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
