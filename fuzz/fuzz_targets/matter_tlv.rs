//! See `airlift_fuzz::matter_tlv`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| airlift_fuzz::matter_tlv(data));
