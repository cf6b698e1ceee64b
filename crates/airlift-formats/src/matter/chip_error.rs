//! The names that the reference implementation has for what is wrong.

use core::fmt;

/// An error of the reference implementation (`CHIP_ERROR_...` of project-chip/connectedhomeip): for logs and for whoever
/// compares with its behaviour. Airlift's own errors are finer: several share one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChipError {
    /// The number, as the reference prints it.
    pub code: u32,
    /// The name in its sources.
    pub name: &'static str,
}

macro_rules! chip_errors {
    ($($constant:ident = $code:literal $name:literal;)*) => {
        impl ChipError {
            $(
                #[doc = concat!("`", $name, "`")]
                pub const $constant: Self = Self { code: $code, name: $name };
            )*
        }
    };
}

chip_errors! {
    NO_MEMORY = 0x0B "CHIP_ERROR_NO_MEMORY";
    INTEGRITY_CHECK_FAILED = 0x13 "CHIP_ERROR_INTEGRITY_CHECK_FAILED";
    BUFFER_TOO_SMALL = 0x19 "CHIP_ERROR_BUFFER_TOO_SMALL";
    INVALID_STRING_LENGTH = 0x1E "CHIP_ERROR_INVALID_STRING_LENGTH";
    END_OF_TLV = 0x21 "CHIP_END_OF_TLV";
    TLV_UNDERRUN = 0x22 "CHIP_ERROR_TLV_UNDERRUN";
    INVALID_TLV_ELEMENT = 0x23 "CHIP_ERROR_INVALID_TLV_ELEMENT";
    INVALID_TLV_TAG = 0x24 "CHIP_ERROR_INVALID_TLV_TAG";
    UNKNOWN_IMPLICIT_TLV_TAG = 0x25 "CHIP_ERROR_UNKNOWN_IMPLICIT_TLV_TAG";
    WRONG_TLV_TYPE = 0x26 "CHIP_ERROR_WRONG_TLV_TYPE";
    UNEXPECTED_TLV_ELEMENT = 0x2B "CHIP_ERROR_UNEXPECTED_TLV_ELEMENT";
    NOT_IMPLEMENTED = 0x2D "CHIP_ERROR_NOT_IMPLEMENTED";
    INVALID_INTEGER_VALUE = 0x8F "CHIP_ERROR_INVALID_INTEGER_VALUE";
    INVALID_FILE_IDENTIFIER = 0xDA "CHIP_ERROR_INVALID_FILE_IDENTIFIER";
    OTA_PROCESSOR_NOT_REGISTERED = 0x0500_002B "CHIP_ERROR_OTA_PROCESSOR_NOT_REGISTERED";
    OTA_PROCESSOR_MAKE_ROOM = 0x0500_002E "CHIP_ERROR_OTA_PROCESSOR_MAKE_ROOM";
    OTA_PROCESSOR_START_IMAGE = 0x0500_002E "CHIP_ERROR_OTA_PROCESSOR_START_IMAGE";
}

impl fmt::Display for ChipError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:#x})", self.name, self.code)
    }
}
