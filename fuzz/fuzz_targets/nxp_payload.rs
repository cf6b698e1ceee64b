//! See `airlift_fuzz::nxp_payload`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| airlift_fuzz::nxp_payload(data));
