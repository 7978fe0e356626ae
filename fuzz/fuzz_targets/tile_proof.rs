//! Proofs of all leaves of a tile.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| blyan_fuzz::tree::tile_proof(input));
