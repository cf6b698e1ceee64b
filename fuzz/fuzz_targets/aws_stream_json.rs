//! See `airlift_fuzz::aws_stream_json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| airlift_fuzz::aws_stream_json(data));
