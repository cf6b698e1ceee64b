//! Formats of over-the-air updates by AWS IoT: what goes over MQTT between a device and the service.
//!
//! ```text
//! topic          where a message goes, and what it is
//! jobs           what there is to do for a device, and how it goes: requests, answers, notices, in JSON
//! job_document   what is to be done: the documents of FreeRTOS OTA jobs
//! streams        files by blocks: requests, data, descriptions, in JSON or CBOR
//! ```
//!
//! Both directions of each message are here, because a device and a server of ours read what the other one writes. Readers
//! are stricter than the C libraries: a field that comes twice, a number out of its range, a byte behind the message and
//! text that is not UTF-8 are refused. What must be accepted nevertheless, and why, is in `docs/aws-iot.md`.
//!
//! Nothing is allocated: what is parsed borrows from the message, what is emitted goes into a [`Sink`].

pub mod base64;
mod cbor;
mod emit;
mod error;
pub mod job_document;
pub mod jobs;
mod json;
mod scan;
pub mod streams;
mod text;
pub mod topic;
mod value;

pub use emit::{Buffer, BufferTooSmall, Sink};
pub use error::{Fault, MessageError};
pub use text::Text;
pub use value::{Elements, Members, Value};

/// How a message is encoded. The last level of a stream's topic says which one it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// JSON (RFC 8259). Bytes are base64.
    Json,
    /// CBOR (RFC 8949).
    Cbor,
}

impl Format {
    /// The last level of the topic: `json` or `cbor`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Cbor => "cbor",
        }
    }
}
