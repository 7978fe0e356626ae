//! Whole tile files, as they are opened and verified.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| blyan_fuzz::file::tile_file(input));
