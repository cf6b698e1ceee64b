//! See `airlift_fuzz::aws_job_document`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| airlift_fuzz::aws_job_document(data));
