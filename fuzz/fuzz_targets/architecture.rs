//! Architectures of models.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| blyan_fuzz::rounds::architecture(input));
