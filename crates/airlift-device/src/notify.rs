//! Notify: how a device asks whether there is an update, and tells what became of the last one.
//!
//! First step of an update. Nothing here does I/O: a module builds the bytes of a request, the application carries
//! them over the connection that it has.

pub mod aws_jobs;
pub mod esp_http;
