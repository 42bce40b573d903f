//! A fuzz target: gives bytes to the decoder that has the target's name. See docs/TESTING.md.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| counterfoil::fuzzing::decode(env!("CARGO_BIN_NAME"), bytes));
