//! Makes sled's syncs durable.
//!
//! sled 0.34 syncs what it wrote with `sync_file_range`, which neither flushes the disk's cache nor
//! writes the file's metadata: a power cut then loses or mixes data that `flush` had promised. So
//! this binary defines a `sync_file_range` of its own, which the linker prefers to the C library's,
//! and which does an fdatasync. [`calls`] counts its calls: the state store checks at start that
//! sled really comes through here, and refuses to run otherwise.

// The two places where the product steps outside safe Rust; each says why it may.
#![allow(unsafe_code)]

use std::os::fd::{BorrowedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};

static CALLS: AtomicU64 = AtomicU64::new(0);

/// How often [`sync_file_range`] was called in this process.
#[must_use]
pub fn calls() -> u64 {
    // Naming the function keeps the linker from dropping this copy of it.
    std::hint::black_box(sync_file_range as *const ());
    CALLS.load(Ordering::Relaxed)
}

/// Syncs the whole file's data and size, whatever range is named.
///
/// The signature is that of Linux's `sync_file_range(2)`: 0, or -1 with `errno` set.
// SAFETY: the name is the C library's on purpose, the signature is the same, and the function does
// more than the contract of the one it replaces.
#[unsafe(no_mangle)]
pub extern "C" fn sync_file_range(file: RawFd, _offset: i64, _bytes: i64, _flags: u32) -> i32 {
    CALLS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: the caller owns the descriptor for the length of the call, as for any system call.
    let file = unsafe { BorrowedFd::borrow_raw(file) };
    match nix::unistd::fdatasync(file) {
        Ok(()) => 0,
        Err(error) => {
            error.set();
            -1
        }
    }
}
