//! See `airlift_fuzz::journal`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| airlift_fuzz::journal(data));
