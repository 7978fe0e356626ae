//! Messages that move leaves of payloads.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| blyan_fuzz::transfer::transfer(input));
