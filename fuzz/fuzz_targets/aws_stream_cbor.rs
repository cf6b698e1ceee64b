//! See `airlift_fuzz::aws_stream_cbor`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| airlift_fuzz::aws_stream_cbor(data));
