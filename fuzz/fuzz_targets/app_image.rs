//! See `airlift_fuzz::app_image`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| airlift_fuzz::app_image(data));
