//! See `airlift_fuzz::otadata`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| airlift_fuzz::otadata(data));
