//! Lists of components, and the files that they are about.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| blyan_fuzz::interchange::components(input));
