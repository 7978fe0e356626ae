//! Executable experts, as their graphs are read.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| blyan_fuzz::file::eeb(input));
