//! Matter's tag-length-value encoding: the subset that files need.
//!
//! ```text
//! control byte     bits 0 to 4: type, bits 5 to 7: form of the tag
//! tag              0, 1, 2, 4, 6 or 8 bytes
//! length           1, 2, 4 or 8 bytes: strings only
//! value            integers and floats: 1, 2, 4 or 8 bytes; strings: the bytes
//! ```
//!
//! All numbers are little endian. A structure, array or list is a start element, its members and an end element (`0x18`).
//! Members of a structure have a tag, those of an array have none, a list takes both. At top level there are no
//! context-specific tags. Writers use the shortest form of integers and lengths; readers take every form.
//!
//! [`Reader`] goes over bytes that are there as a whole; [`Writer`] (feature `alloc`) is its inverse. Rules and error codes
//! are those of the reference implementation's `TLVReader`, which is as strict about tags inside of containers that it
//! skips as this one: not at all.

mod error;
mod reader;
#[cfg(feature = "alloc")]
mod writer;

pub use error::{TlvError, TlvFault};
pub use reader::Reader;
#[cfg(feature = "alloc")]
pub use writer::Writer;

/// The tag of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tag {
    /// None.
    Anonymous,
    /// Has a meaning in the structure around it only.
    Context(u8),
    /// Of the Matter common profile.
    Common(u32),
    /// Of a profile that both sides know from elsewhere: nobody does here.
    Implicit(u32),
    /// Of a named profile.
    FullyQualified {
        /// The vendor that defines the profile.
        vendor: u16,
        /// The profile.
        profile: u16,
        /// The tag in it.
        tag: u32,
    },
}

/// The value of an element. Strings are parts of the bytes that were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Value<'a> {
    /// A signed integer of any width.
    Signed(i64),
    /// An unsigned integer of any width.
    Unsigned(u64),
    /// True or false.
    Boolean(bool),
    /// The bits of an IEEE 754 single.
    Float32(u32),
    /// The bits of an IEEE 754 double.
    Float64(u64),
    /// A string that should be UTF-8.
    Utf8(&'a [u8]),
    /// A string of bytes.
    Octets(&'a [u8]),
    /// Nothing.
    Null,
    /// A structure starts.
    Structure,
    /// An array starts.
    Array,
    /// A list starts.
    List,
    /// The innermost structure, array or list ends.
    End,
}

impl Value<'_> {
    /// Whether a structure, array or list starts.
    #[must_use]
    pub const fn is_container(&self) -> bool {
        matches!(self, Self::Structure | Self::Array | Self::List)
    }
}

/// One element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Element<'a> {
    /// Where its control byte is, from the start of what is read.
    pub offset: u32,
    /// Its tag.
    pub tag: Tag,
    /// Its value.
    pub value: Value<'a>,
}
