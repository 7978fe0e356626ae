//! The delta of one leaf.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| blyan_fuzz::delta::delta_leaf(input));
