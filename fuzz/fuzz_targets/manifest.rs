//! Manifests of datasets.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| blyan_fuzz::data::manifest(input));
