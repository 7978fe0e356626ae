//! Files of strangers that become datasets.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| blyan_fuzz::text::prepare(input));
