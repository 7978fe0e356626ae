//! Records of strangers, before an auditor.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| blyan_fuzz::text::audit(input));
