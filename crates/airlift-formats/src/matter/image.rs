//! The OTA image file of Matter: a header, then one payload.
//!
//! ```text
//! 0    magic (4 B)         1E F1 EE 1B
//! 4    total size (8 B)    of the whole file
//! 12   header size (4 B)   1 to 1024
//! 16   header              an anonymous TLV structure: vendor, product, version, payload size, digest ...
//! ...  payload             opaque here; with several images in it: crate::nxp
//! ```
//!
//! [`ImageReader`] takes a file in pieces of any size and gives the header, then the payload's bytes as they come, and at the
//! end says whether all of it is right: sizes, digest, nothing behind. It has two [profiles](Profile): what Airlift demands, and
//! what the reference's header parser lets pass, for files of others. Its two halves, [`HeaderParser`] and
//! [`PayloadVerifier`], can be used on their own: the header's buffer of [`MAX_HEADER_LEN`] bytes is the caller's, and free
//! again before the first byte of the payload.
//!
//! The reference code on devices checks neither the digest nor any size; Airlift does. All numbers are little endian.

#[cfg(feature = "alloc")]
mod builder;
mod digest;
mod error;
mod field;
mod header;
mod header_parser;
mod payload;
mod reader;
mod remark;
mod rules;

#[cfg(feature = "alloc")]
pub use builder::{BuildError, ImageBuilder};
pub use digest::{DigestAlgorithm, DigestValue, Hasher, UnknownDigestName};
pub use error::OtaImageError;
pub use field::Field;
pub use header::{FixedHeader, Header};
pub use header_parser::HeaderParser;
pub use payload::{PayloadVerifier, Summary};
pub use reader::{Event, ImageReader};
pub use remark::{Remark, Remarks};
pub use rules::{Profile, Rules};

/// What every file starts with: the bytes `1E F1 EE 1B`.
pub const FILE_IDENTIFIER: u32 = 0x1BEE_F11E;
/// Bytes before the header.
pub const FIXED_HEADER_LEN: usize = 16;
/// Most bytes of a header (`kMaxHeaderSize` of the reference).
pub const MAX_HEADER_LEN: usize = 1024;
/// Most bytes of a version string.
pub const MAX_VERSION_STRING_LEN: usize = 64;
/// Most bytes of the address of release notes.
pub const MAX_RELEASE_NOTES_URL_LEN: usize = 256;
/// Bytes of the longest digest.
pub const MAX_DIGEST_LEN: usize = 64;
