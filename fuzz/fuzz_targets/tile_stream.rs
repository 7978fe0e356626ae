//! Whole tile streams, as they are opened, verified and read.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| blyan_fuzz::file::tile_stream(input));
