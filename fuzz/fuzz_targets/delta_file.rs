//! A delta's file, of which one leaf at a time is read.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| blyan_fuzz::file::delta_file(input));
