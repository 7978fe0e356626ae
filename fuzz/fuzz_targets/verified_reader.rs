//! Leaves that come from a source that nobody trusts.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| blyan_fuzz::stream::verified_reader(input));
