//! Files of burn-pack.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| blyan_fuzz::interchange::burnpack(input));
