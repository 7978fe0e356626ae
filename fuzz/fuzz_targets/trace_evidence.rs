//! Evidence from a trace: an entry, a record of its batch, and two paths.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| blyan_fuzz::rounds::trace_evidence(input));
