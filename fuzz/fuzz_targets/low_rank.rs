//! Low-rank deltas.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| blyan_fuzz::delta::low_rank(input));
