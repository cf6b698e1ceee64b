//! Streams: files in blocks over MQTT. Requests, data, descriptions and refusals, in JSON or CBOR.
//!
//! ```text
//! device                                        service
//!   GetStream       ── .../streams/S/get/cbor ──▶  selected(): which blocks are meant, and are they there?
//!   Data            ◀── .../data/cbor ──────────   one message a block
//!   DescribeStream  ── .../describe/cbor ──────▶
//!   Description     ◀── .../description/cbor ───
//!   Rejected        ◀── .../rejected/cbor ──────   what was wrong with either request
//! ```
//!
//! Each message has `parse` and `emit`. A service that cannot read a request gets the [`Rejected`] to send with the error.

mod data;
mod description;
mod rejected;
mod request;
mod selection;

pub use data::{Data, Payload};
pub use description::{Description, Files, StreamFile};
pub use rejected::{ErrorCode, Rejected};
pub use request::{Bitmap, DescribeStream, GetStream, Refused};
pub use selection::{Block, EndOfFile, OutOfData};

/// The smallest block that can be asked for, in bytes.
pub const MIN_BLOCK_SIZE: u32 = 256;

/// The largest block that can be asked for, in bytes.
pub const MAX_BLOCK_SIZE: u32 = 131_072;

/// The largest offset of a request, in blocks.
pub const MAX_BLOCK_OFFSET: u32 = 98_304;

/// The largest number of blocks in a request.
pub const MAX_BLOCK_COUNT: u32 = 98_304;

/// A bitmap is shorter than 12288 bytes.
pub const MAX_BITMAP_LEN: usize = 12_287;

/// What a request gets at most, in bytes of the file. The rest is not sent, and nothing says so.
pub const MAX_BYTES_PER_REQUEST: u32 = 131_072;

/// The largest number of a file in a stream.
pub const MAX_FILE_ID: u32 = 255;

/// The longest token, in bytes.
pub const MAX_TOKEN_LEN: usize = 64;

/// The largest version of a stream.
pub const MAX_STREAM_VERSION: u32 = 65_535;

/// The largest number of a block in a data message: what the C library can hold.
pub const MAX_BLOCK_ID: u32 = i32::MAX as u32;
