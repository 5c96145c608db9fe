//! The fuzz target of whole connections, run over the inputs that are kept for it.

use std::fs;
use std::path::Path;

// The body of the target needs no fuzzer.
#[path = "../../../../fuzz/src/http1_connection.rs"]
pub mod http1_connection;

#[test]
fn connections() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/http1_connection");
    let mut files = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is there") {
        let path = entry.expect("a file").path();
        println!("{}", path.display()); // The last one printed is the one that failed.
        http1_connection::connection(&fs::read(&path).expect("readable"));
        files += 1;
    }
    assert!(files > 20, "{} has {files} files", folder.display());
}
