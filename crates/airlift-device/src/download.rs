//! Download: from what comes over the wire to the bytes of an image, in order and resumable.
//!
//! Second step of an update. Nothing here does I/O and nothing here trusts the peer: a module takes bytes as they
//! arrive, in any pieces, and gives back what they mean.

pub mod aws_stream;
pub mod http;
