//! The fault suite on a real kernel. See the library.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    annulet_faults::main()
}
