//! Formats of Matter: its tag-length-value encoding and the OTA image file.

mod chip_error;
pub mod image;
mod text;
pub mod tlv;

pub use chip_error::ChipError;
pub use text::Text;
