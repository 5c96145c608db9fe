//! What a release in a debug build does to those who come late.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use super::*;

/// How a child process that only runs `f` ends: by which signal, or with which code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Signal(i32),
    Exit(i32),
}

/// Runs `f` in a copy of this process, which has this thread only: nobody else maps memory meanwhile. It exits with 0 for
/// true, and allocates nothing, for another thread may have held the allocator's lock.
pub(crate) fn in_a_copy(f: impl FnOnce() -> bool) -> End {
    // SAFETY: the child runs `f` and exits; what is passed are locals.
    unsafe {
        match libc::fork() {
            -1 => panic!("fork: {}", io::Error::last_os_error()),
            0 => {
                // No core file of what is meant to crash.
                libc::prctl(libc::PR_SET_DUMPABLE, 0);
                libc::_exit(if f() { 0 } else { 1 })
            }
            child => {
                let mut status = 0;
                assert_eq!(libc::waitpid(child, &mut status, 0), child);
                if libc::WIFSIGNALED(status) {
                    End::Signal(libc::WTERMSIG(status))
                } else {
                    End::Exit(libc::WEXITSTATUS(status))
                }
            }
        }
    }
}

/// True when reading there succeeds; whoever may not read does not return.
pub(crate) fn read(address: *const u8) -> bool {
    // SAFETY: in a child process that may crash, of memory that is mapped zeroed if it is mapped.
    unsafe { address.read_volatile() };
    true
}

/// What recv(2) says that is to write to `address`.
pub(crate) fn receive_at(address: *mut u8) -> io::Result<usize> {
    let (near, mut far) = UnixStream::pair().expect("socketpair");
    far.write_all(b"late").expect("write");
    // SAFETY: the tests pass released memory, where nothing of anybody's lies.
    let count = unsafe { libc::recv(near.as_raw_fd(), address.cast(), 4, 0) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

#[cfg(debug_assertions)]
const FAULT: End = End::Signal(libc::SIGSEGV);

#[test]
fn a_region_is_zeroed_and_takes_what_the_kernel_writes() {
    let region = Region::map(10_000).expect("a region");
    let address = region.base().as_ptr();
    assert_eq!(address as usize % 4096, 0);
    // SAFETY: within the region.
    assert!((0..10_000).all(|at| unsafe { address.add(at).read() } == 0));
    assert_eq!(receive_at(address).expect("receive"), 4);
    // SAFETY: within the region.
    assert_eq!(unsafe { std::slice::from_raw_parts(address, 4) }, b"late");
    assert_eq!(in_a_copy(|| read(address)), End::Exit(0));
}

#[test]
#[cfg(debug_assertions)]
fn what_the_kernel_writes_to_released_memory_fails_with_efault() {
    let region = Region::map(10_000).expect("a region");
    let address = region.base().as_ptr();
    drop(region);
    assert_eq!(receive_at(address).expect_err("released").raw_os_error(), Some(libc::EFAULT));
}

#[test]
#[cfg(debug_assertions)]
fn released_memory_faults_and_its_addresses_are_not_given_out_again() {
    let region = Region::map(10_000).expect("a region");
    let address = region.base().as_ptr();
    drop(region);
    assert_eq!(in_a_copy(|| read(address.wrapping_add(9_999))), FAULT);
    let others: Vec<_> = (0..100).map(|_| Region::map(10_000).expect("a region")).collect();
    assert!(others.iter().all(|other| other.base().as_ptr() != address));
}

#[test]
#[cfg(debug_assertions)]
fn a_lent_value_is_dropped_once_and_faults_afterwards() {
    struct Counts<'a>(&'a std::cell::Cell<u32>, u64);
    impl Drop for Counts<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let drops = std::cell::Cell::new(0);
    let lent = Lent::new(Counts(&drops, 7));
    let address = (&raw const lent.1).cast::<u8>();
    assert_eq!((lent.1, drops.get()), (7, 0));
    drop(lent);
    assert_eq!(drops.get(), 1);
    assert_eq!(in_a_copy(|| read(address)), FAULT);
}

/// A closed range, as a released region leaves it.
fn closed(length: usize) -> Range {
    let region = std::mem::ManuallyDrop::new(Region::map(length).expect("a region"));
    let range = Range { start: region.base().as_ptr() as usize, length };
    // SAFETY: never used.
    assert!(unsafe { range.close() });
    range
}

/// Whether nothing is mapped there: only a mapping's address is one that mincore(2) knows.
fn is_unmapped(range: Range) -> bool {
    let mut state = 0;
    // SAFETY: a call about one page, answered in one byte.
    let result = unsafe { libc::mincore(range.start as *mut libc::c_void, 1, &mut state) };
    result == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::ENOMEM)
}

#[test]
fn the_quarantine_keeps_so_many_ranges_and_unmaps_the_oldest() {
    let ranges: [Range; 4] = std::array::from_fn(|_| closed(4096));
    let mut quarantine = Quarantine::new(2, usize::MAX);
    quarantine.ranges.reserve(8);
    let end = in_a_copy(|| {
        for range in ranges {
            // SAFETY: closed, and this test's own.
            unsafe { quarantine.admit(range) };
        }
        quarantine.ranges.iter().eq(&ranges[2..])
            && ranges.iter().map(|range| is_unmapped(*range)).eq([true, true, false, false])
            && quarantine.clear()
            && !quarantine.clear()
            && quarantine.bytes == 0
            && is_unmapped(ranges[3])
    });
    assert_eq!(end, End::Exit(0));
    for range in ranges {
        // SAFETY: the child had a copy; here they are this test's own still.
        unsafe { range.unmap() };
    }
}

#[test]
fn the_quarantine_keeps_so_many_bytes() {
    let ranges: [Range; 3] = std::array::from_fn(|_| closed(8192));
    let mut quarantine = Quarantine::new(usize::MAX, 20_000);
    for range in ranges {
        // SAFETY: closed, and this test's own.
        unsafe { quarantine.admit(range) };
    }
    assert!(quarantine.ranges.iter().eq(&ranges[1..]));
    assert_eq!(quarantine.bytes, 2 * 8192);
    // What exceeds the bound alone is not kept at all.
    // SAFETY: as above.
    unsafe { quarantine.admit(closed(24_576)) };
    assert!(quarantine.ranges.is_empty());
}
