//! Proofs of any set of leaves, and of runs.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| blyan_fuzz::tree::multiproof(input));
