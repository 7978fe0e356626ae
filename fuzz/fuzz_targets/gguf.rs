//! Files of llama.cpp.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| blyan_fuzz::interchange::gguf(input));
