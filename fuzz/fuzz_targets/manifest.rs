//! See `airlift_fuzz::manifest`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| airlift_fuzz::manifest(data));
