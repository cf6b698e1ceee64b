//! See `airlift_fuzz::data_image`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| airlift_fuzz::data_image(data));
