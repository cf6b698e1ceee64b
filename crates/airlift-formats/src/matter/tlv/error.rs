//! What can be wrong with an encoding.

use core::fmt;

use crate::matter::ChipError;

/// Bytes that are not an encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlvError {
    /// Where the element is, from the start of what is read.
    pub offset: u32,
    /// What is wrong with it.
    pub fault: TlvFault,
}

/// What is wrong with an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlvFault {
    /// The bytes end within the element: [`ChipError::TLV_UNDERRUN`].
    Underrun,
    /// The bytes end within a structure, array or list: [`ChipError::END_OF_TLV`].
    Unterminated,
    /// The type is one of the reserved ones, 0x19 to 0x1F: [`ChipError::INVALID_TLV_ELEMENT`].
    ReservedType,
    /// An end without a start: [`ChipError::INVALID_TLV_ELEMENT`].
    EndWithoutStart,
    /// An end with a tag: [`ChipError::INVALID_TLV_TAG`].
    EndWithTag,
    /// A member of a structure without a tag: [`ChipError::INVALID_TLV_TAG`].
    AnonymousMember,
    /// A member of an array with a tag: [`ChipError::INVALID_TLV_TAG`].
    TaggedArrayMember,
    /// A context-specific tag outside of all containers: [`ChipError::INVALID_TLV_TAG`].
    ContextTagAtTopLevel,
    /// A tag of the implicit profile, which is not known: [`ChipError::UNKNOWN_IMPLICIT_TLV_TAG`].
    ImplicitProfile,
    /// A string of 4 GiB and more: [`ChipError::NOT_IMPLEMENTED`].
    LengthTooLarge,
}

impl TlvFault {
    /// A small number for the variant that never changes.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Underrun => 1,
            Self::Unterminated => 2,
            Self::ReservedType => 3,
            Self::EndWithoutStart => 4,
            Self::EndWithTag => 5,
            Self::AnonymousMember => 6,
            Self::TaggedArrayMember => 7,
            Self::ContextTagAtTopLevel => 8,
            Self::ImplicitProfile => 9,
            Self::LengthTooLarge => 10,
        }
    }

    /// What the reference implementation's reader says.
    #[must_use]
    pub const fn chip_error(self) -> ChipError {
        match self {
            Self::Underrun => ChipError::TLV_UNDERRUN,
            Self::Unterminated => ChipError::END_OF_TLV,
            Self::ReservedType | Self::EndWithoutStart => ChipError::INVALID_TLV_ELEMENT,
            Self::EndWithTag
            | Self::AnonymousMember
            | Self::TaggedArrayMember
            | Self::ContextTagAtTopLevel => ChipError::INVALID_TLV_TAG,
            Self::ImplicitProfile => ChipError::UNKNOWN_IMPLICIT_TLV_TAG,
            Self::LengthTooLarge => ChipError::NOT_IMPLEMENTED,
        }
    }
}

impl fmt::Display for TlvFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Underrun => "an element reaches beyond the end",
            Self::Unterminated => "the end of the structure (0x18) is missing",
            Self::ReservedType => "an element is of a reserved type",
            Self::EndWithoutStart => "a structure ends that has not started",
            Self::EndWithTag => "the end of a structure has a tag",
            Self::AnonymousMember => "a member of a structure has no tag",
            Self::TaggedArrayMember => "a member of an array has a tag",
            Self::ContextTagAtTopLevel => "a context-specific tag outside of a structure",
            Self::ImplicitProfile => "a tag is of the implicit profile, which is not known",
            Self::LengthTooLarge => "a string has 4 GiB or more",
        })
    }
}

impl fmt::Display for TlvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "offset {}: {}", self.offset, self.fault)
    }
}

impl core::error::Error for TlvError {}
