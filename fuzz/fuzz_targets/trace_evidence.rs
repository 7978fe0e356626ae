//! Evidence about a trace, as the chain judges it.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| blyan_fuzz::rounds::trace_evidence(input));
