//! uname(2).

use std::ffi::CStr;

/// The kernel's release, as `uname -r` prints it.
pub(crate) fn kernel_release() -> String {
    // SAFETY: all zeroes is a `utsname` of empty strings.
    let mut name: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: S2: a local. A bad address is the only error there is.
    unsafe { libc::uname(&mut name) };
    // SAFETY: the field ends with a NUL, as zeroes or as the kernel wrote it (uname(2)), and `name` outlives the view.
    let release = unsafe { CStr::from_ptr(name.release.as_ptr()) };
    release.to_string_lossy().into_owned()
}
