//! Proofs of one leaf.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| blyan_fuzz::tree::tree_proof(input));
