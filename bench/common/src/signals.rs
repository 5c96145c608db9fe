//! Signals, kept away from the reactors: a thread of their own sleeps in `sigwait`.

use std::io;
use std::thread;

/// Ends the process with code 0 on SIGTERM or SIGINT, and prints `report()` on each of them and on SIGUSR1.
///
/// Must run before any other thread starts: the mask it sets is inherited, so no reactor is interrupted.
pub fn handle(report: impl Fn() -> Option<String> + Send + 'static) -> io::Result<()> {
    let set = block(&[libc::SIGTERM, libc::SIGINT, libc::SIGUSR1])?;
    // The smallest stack that is surely enough; it must not show in the memory figures.
    thread::Builder::new().name("signals".into()).stack_size(64 * 1024).spawn(move || {
        loop {
            let mut signal = 0;
            // SAFETY: both pointers are to live values; the set was initialised by `block`.
            let error = unsafe { libc::sigwait(&set, &mut signal) };
            if error != 0 {
                continue;
            }
            if let Some(line) = report() {
                println!("{line}");
            }
            if signal != libc::SIGUSR1 {
                std::process::exit(0);
            }
        }
    })?;
    Ok(())
}

fn block(signals: &[libc::c_int]) -> io::Result<libc::sigset_t> {
    // SAFETY: an all-zero sigset_t is a valid value; sigemptyset makes it the empty set.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is a live value.
    unsafe { libc::sigemptyset(&mut set) };
    for &signal in signals {
        // SAFETY: `set` is initialised and the signal number is a constant of the platform.
        unsafe { libc::sigaddset(&mut set, signal) };
    }
    // SAFETY: the new set is initialised; a null pointer for the old set is allowed.
    let error = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
    if error == 0 { Ok(set) } else { Err(io::Error::from_raw_os_error(error)) }
}
