//! Mutations of sound bytes, for every decoder: no panic, and no more memory than the input is worth.

// The allocator counts, and leaves the work to the system's.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{DECODERS, Decoder};
use crate::store::testing::Random;

/// Cases for each decoder; others with this variable.
const CASES: &str = "COUNTERFOIL_FUZZ_CASES";
const CASES_DEFAULT: u64 = 2_000;

/// The longest bytes made up from nothing.
const RANDOM_BYTES_MAX: u64 = 600;

/// Counts what a thread holds, and the most it held.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // A thread that is ending has none of them any more, and is not measured.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
    });
}

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are those of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both are held for a moment when it moves.
        count(size as isize);
        count(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The most that this thread held at once during the work, beside what it held before.
fn peak_of(work: impl FnOnce()) -> usize {
    let before = HELD.get();
    PEAK.set(before);
    work();
    (PEAK.get() - before).max(0) as usize
}

/// Decodes, and complains of a panic or of too much memory. Returns the memory it took.
fn run(decoder: &Decoder, bytes: &[u8], what: &str) -> usize {
    let mut end = Ok(());
    let peak = peak_of(|| end = catch_unwind(AssertUnwindSafe(|| (decoder.decode)(bytes))));
    assert!(end.is_ok(), "{} panics on {what}: {bytes:02x?}", decoder.name);
    let most = decoder.memory.of(bytes.len());
    assert!(peak <= most, "{}: {peak} bytes for {} bytes of {what}: {bytes:02x?}", decoder.name, bytes.len());
    peak
}

fn pick<'a>(seeds: &'a [Vec<u8>], random: &mut Random) -> &'a [u8] {
    &seeds[random.below(seeds.len() as u64) as usize]
}

/// One to four changes of bits, bytes, numbers and length; pieces of one seed get into another.
fn mutate(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = pick(seeds, random).to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() as u64 + 1) as usize;
        let len = (random.below(16) as usize).min(bytes.len() - at);
        match random.below(8) {
            0 if len > 0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at..at + len].iter_mut().for_each(|byte| *byte = random.next() as u8),
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..at + len)),
            4 => drop(bytes.splice(at..at, (0..random.below(40)).map(|_| random.next() as u8))),
            5 => {
                let other = pick(seeds, random);
                let from = random.below(other.len() as u64 + 1) as usize;
                let piece = other[from..(from + random.below(200) as usize).min(other.len())].to_vec();
                drop(bytes.splice(at..at + len, piece));
            }
            6 => {
                // What a length or a count likes least.
                let number = [0, 1, u64::MAX, 1 << 31, u64::from(u32::MAX), 1 << 63, 255][random.below(7) as usize];
                let width = [1, 2, 4, 8][random.below(4) as usize].min(bytes.len() - at);
                bytes[at..at + width].copy_from_slice(&number.to_le_bytes()[..width]);
            }
            _ => bytes[at..at + len].fill(0),
        }
    }
    bytes
}

#[test]
fn no_decoder_panics_or_takes_more_memory_than_its_input_is_worth() {
    let cases = std::env::var(CASES).map_or(CASES_DEFAULT, |cases| cases.parse().expect("a number"));
    for decoder in DECODERS {
        let seeds = (decoder.seeds)();
        assert!(!seeds.is_empty(), "{} has something to begin with", decoder.name);
        let mut peak = seeds.iter().map(|seed| run(decoder, seed, "a seed")).max().unwrap_or_default();
        let mut random = Random(0xdec0de);
        for case in 0..cases {
            let bytes = match case % 8 {
                0 => (0..random.below(RANDOM_BYTES_MAX)).map(|_| random.next() as u8).collect(),
                _ => mutate(&seeds, &mut random),
            };
            peak = peak.max(run(decoder, &bytes, &format!("case {case}")));
        }
        println!("{:16} {cases} cases of {} seeds, {peak} bytes of memory at most", decoder.name, seeds.len());
    }
}

#[test]
fn every_decoder_is_a_fuzz_target() {
    let manifest: toml::Table = include_str!("../../tests/fuzz/Cargo.toml").parse().expect("TOML");
    let targets = manifest["bin"].as_array().expect("a list");
    let names = targets.iter().map(|target| target["name"].as_str().expect("a name"));
    assert!(names.filter(|name| *name != "seeds").eq(DECODERS.iter().map(|decoder| decoder.name)));
}
