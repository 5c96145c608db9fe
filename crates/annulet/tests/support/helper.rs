//! A second process beside an isolated test: the other end of its connections, so that neither memory nor descriptors
//! of the clients are counted with the server's.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const HELPER: &str = "ANNULET_TEST_HELPER";

/// What a process that was started as a helper was told, else `None`.
pub(crate) fn told() -> Option<String> {
    std::env::var(HELPER).ok()
}

/// A helper's side: says something to the test.
pub(crate) fn say(word: &str) {
    println!("helper: {word}");
    std::io::stdout().flush().expect("stdout");
}

/// A helper's side: waits for a word of the test; `None` when the test is gone.
pub(crate) fn hear() -> Option<String> {
    let mut line = String::new();
    let count = std::io::stdin().lock().read_line(&mut line).expect("stdin");
    (count > 0).then(|| line.trim_end().to_owned())
}

/// The test's side.
pub(crate) struct Helper {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Helper {
    /// Starts the running test once more, with `told` for [`told`] to return.
    pub(crate) fn start(told: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this executable"));
        command.args(std::env::args_os().skip(1)).env(HELPER, told);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a helper process");
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, stdin, stdout }
    }

    /// Waits for the helper to say `word`. Blocks.
    pub(crate) fn wait_for(&mut self, word: &str) {
        let expected = format!("helper: {word}\n");
        let mut line = String::new();
        loop {
            line.clear();
            let count = self.stdout.read_line(&mut line).expect("the helper's stdout");
            assert!(count > 0, "the helper ended before it said {word}");
            if line.ends_with(&expected) {
                return;
            }
        }
    }

    pub(crate) fn tell(&mut self, word: &str) {
        writeln!(self.stdin.as_mut().expect("not finished"), "{word}").expect("the helper's stdin");
    }

    /// Lets the helper end, and expects it to be content.
    pub(crate) fn finish(mut self) {
        drop(self.stdin.take());
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut self.stdout, &mut rest).expect("the helper's stdout");
        assert!(self.child.wait().expect("wait").success(), "the helper failed: {rest}");
    }
}
