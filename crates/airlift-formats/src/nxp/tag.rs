//! The tags with a meaning.

/// The application: a descriptor, then the image.
pub const APPLICATION: u32 = 1;
/// The second-stage boot loader (SSBL): a descriptor, then the image.
pub const BOOTLOADER: u32 = 2;
/// Factory data: a Matter TLV structure.
pub const FACTORY_DATA: u32 = 3;
/// The first of the tags that the test hooks of NXP's SDK register (`CONFIG_CHIP_MAX_ENTRIES_TEST`), and of the vendor-specific ones of
/// Silicon Labs: a descriptor, then an image.
pub const FIRST_EXTRA: u32 = 4;
/// The last of them.
pub const LAST_EXTRA: u32 = 11;
/// The last tag that NXP reserves. Above are those that everyone may use.
pub const LAST_RESERVED: u32 = 99;
/// The first tag for custom parts.
pub const FIRST_CUSTOM: u32 = 100;
/// [Airlift's own part](super::Manifest), the first of a payload: the bytes `ALMF`. Far above any number that somebody would count up to from
/// [`FIRST_CUSTOM`], as NXP's examples do, and nothing that a small number in a wrong byte order could become.
pub const MANIFEST: u32 = u32::from_le_bytes(*b"ALMF");
