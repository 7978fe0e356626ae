//! The blob that carries the deltas of an update.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| blyan_fuzz::delta::delta_blob(input));
