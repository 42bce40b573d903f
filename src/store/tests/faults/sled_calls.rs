//! The system's calls by which sled reads and writes its files: in a process that was told so, they fail from
//! the n-th on. sled opens its files past every [`Disk`](crate::store::Disk); so this binary defines these
//! calls itself, which the linker prefers to the C library's, as `sled_sync` does with another one.

// Each function passes its caller's arguments on to the system as they came.
#![allow(unsafe_code)]

use std::os::fd::RawFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use nix::libc::{self, c_int, c_long, c_void, off64_t, size_t, ssize_t};

use super::{DATABASE, Fault};

struct Plan {
    fault: Fault,
    from: u64,
}

static PLAN: OnceLock<Plan> = OnceLock::new();
static CALLS: AtomicU64 = AtomicU64::new(0);

#[derive(Clone, Copy, PartialEq)]
enum Call {
    Read,
    Write,
    Sync,
}

/// From now on the calls that the fault concerns are counted; they fail from this one on.
pub(super) fn fail_from(fault: Fault, from: u64) {
    assert!(PLAN.set(Plan { fault, from }).is_ok(), "there is one plan for a process");
}

/// How many such calls there were.
pub(super) fn calls() -> u64 {
    CALLS.load(Ordering::SeqCst)
}

/// The error that the call has to end with.
fn failure(call: Call, file: RawFd) -> Option<Errno> {
    let plan = PLAN.get()?;
    let (concerned, error) = match plan.fault {
        Fault::ReadError => (call == Call::Read, Errno::EIO),
        Fault::WriteError => (call != Call::Read, Errno::EIO),
        Fault::NoSpace => (call == Call::Write, Errno::ENOSPC),
        _ => (false, Errno::EIO),
    };
    let of_sled = || {
        let path = std::fs::read_link(format!("/proc/self/fd/{file}"));
        path.is_ok_and(|path| path.parent().is_some_and(|parent| parent.ends_with(DATABASE)))
    };
    let counted = concerned && of_sled();
    (counted && CALLS.fetch_add(1, Ordering::SeqCst) >= plan.from).then_some(error)
}

fn refuse(error: Errno) -> ssize_t {
    error.set();
    -1
}

// SAFETY: the name is the C library's on purpose, and the signature is the same.
#[unsafe(no_mangle)]
extern "C" fn pread64(file: c_int, buffer: *mut c_void, bytes: size_t, offset: off64_t) -> ssize_t {
    // SAFETY: the caller's promises are those of the system's call.
    failure(Call::Read, file).map_or_else(|| unsafe { libc::pread(file, buffer, bytes, offset) }, refuse)
}

// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn pwrite64(file: c_int, buffer: *const c_void, bytes: size_t, offset: off64_t) -> ssize_t {
    // SAFETY: as above.
    failure(Call::Write, file).map_or_else(|| unsafe { libc::pwrite(file, buffer, bytes, offset) }, refuse)
}

// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn ftruncate64(file: c_int, bytes: off64_t) -> c_int {
    // SAFETY: as above.
    let cut = || unsafe { libc::ftruncate(file, bytes) } as ssize_t;
    failure(Call::Write, file).map_or_else(cut, refuse) as c_int
}

// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn fdatasync(file: c_int) -> c_int {
    sync(libc::SYS_fdatasync, file)
}

// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn fsync(file: c_int) -> c_int {
    sync(libc::SYS_fsync, file)
}

fn sync(number: c_long, file: c_int) -> c_int {
    // SAFETY: both calls take a descriptor alone.
    failure(Call::Sync, file).map_or_else(|| unsafe { libc::syscall(number, file) } as ssize_t, refuse) as c_int
}
