//! One partition: the 32-byte entry and what it says.

use core::fmt;

use super::{ENTRY_LEN, PartitionType, subtype};

/// First bytes of a partition's entry (0x50AA, little endian).
pub(super) const MAGIC: [u8; 2] = [0xAA, 0x50];

/// One partition of the table.
///
/// Every value can be emitted and is parsed back to itself; whether it makes sense within a table is decided by
/// [`PartitionTable::parse`](super::PartitionTable::parse).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Partition {
    /// What kind of content: app, data, ...
    pub kind: PartitionType,
    /// A finer kind; its meaning depends on [`kind`](Self::kind). Names are in [`subtype`].
    pub subtype: u8,
    /// Flash address of the first byte.
    pub offset: u32,
    /// Length in bytes.
    pub size: u32,
    /// Label, by which applications find the partition.
    pub name: Name,
    /// Encrypted, readonly, and bits that are not known yet.
    pub flags: Flags,
}

impl Partition {
    /// Reads an entry; `None` if it does not start with the magic number of a partition.
    pub fn from_bytes(entry: &[u8; ENTRY_LEN]) -> Option<Self> {
        let [
            m0,
            m1,
            kind,
            subtype,
            o0,
            o1,
            o2,
            o3,
            s0,
            s1,
            s2,
            s3,
            name @ ..,
            f0,
            f1,
            f2,
            f3,
        ] = *entry;
        (MAGIC == [m0, m1]).then_some(Self {
            kind: PartitionType(kind),
            subtype,
            offset: u32::from_le_bytes([o0, o1, o2, o3]),
            size: u32::from_le_bytes([s0, s1, s2, s3]),
            name: Name(name),
            flags: Flags(u32::from_le_bytes([f0, f1, f2, f3])),
        })
    }

    /// Writes the entry.
    pub fn to_bytes(&self) -> [u8; ENTRY_LEN] {
        let [m0, m1] = MAGIC;
        let [o0, o1, o2, o3] = self.offset.to_le_bytes();
        let [s0, s1, s2, s3] = self.size.to_le_bytes();
        let [
            n0,
            n1,
            n2,
            n3,
            n4,
            n5,
            n6,
            n7,
            n8,
            n9,
            n10,
            n11,
            n12,
            n13,
            n14,
            n15,
        ] = self.name.0;
        let [f0, f1, f2, f3] = self.flags.0.to_le_bytes();
        [
            m0,
            m1,
            self.kind.0,
            self.subtype,
            o0,
            o1,
            o2,
            o3,
            s0,
            s1,
            s2,
            s3,
            n0,
            n1,
            n2,
            n3,
            n4,
            n5,
            n6,
            n7,
            n8,
            n9,
            n10,
            n11,
            n12,
            n13,
            n14,
            n15,
            f0,
            f1,
            f2,
            f3,
        ]
    }

    /// Flash address behind the last byte. 64 bits, because a damaged table can point beyond 4 GiB.
    pub fn end(&self) -> u64 {
        u64::from(self.offset) + u64::from(self.size)
    }

    /// Whether the partition shares flash with the `len` bytes at `offset`; an empty range counts as the point between
    /// two bytes.
    pub fn overlaps(&self, offset: u32, len: u32) -> bool {
        let end = u64::from(offset) + u64::from(len);
        u64::from(self.offset) < end && u64::from(offset) < self.end()
    }

    /// `N` if this is the app slot `ota_N`.
    pub fn ota_slot(&self) -> Option<u8> {
        match (self.kind, self.subtype) {
            (PartitionType::APP, number @ subtype::APP_OTA_0..=subtype::APP_OTA_15) => {
                Some(number - subtype::APP_OTA_0)
            }
            _ => None,
        }
    }

    /// The keyword of the subtype, if it has one.
    pub fn subtype_name(&self) -> Option<&'static str> {
        self.kind.subtype_name(self.subtype)
    }

    /// Whether a chip with flash encryption switched on encrypts this partition: flagged, or of a kind that it always
    /// encrypts.
    pub fn is_encrypted_when_enabled(&self) -> bool {
        self.flags.is_encrypted()
            || matches!(
                (self.kind, self.subtype),
                (
                    PartitionType::APP | PartitionType::BOOTLOADER | PartitionType::PARTITION_TABLE,
                    _
                ) | (
                    PartitionType::DATA,
                    subtype::DATA_OTA | subtype::DATA_TEE_OTA | subtype::DATA_NVS_KEYS
                )
            )
    }
}

/// The label of a partition: up to 16 bytes, padded with NUL.
///
/// Sixteen bytes without a NUL are legal. Nothing forces the bytes to be UTF-8: ESP-IDF compares bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(pub [u8; Name::LEN]);

impl Name {
    /// Bytes in the entry.
    pub const LEN: usize = 16;

    /// The label `bytes`; `None` if they do not fit or contain a NUL, which would end the label early.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        if bytes.contains(&0) {
            return None;
        }
        let mut name = [0; Self::LEN];
        name.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self(name))
    }

    /// The bytes before the first NUL.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.split(|&byte| byte == 0).next().unwrap_or_default()
    }

    /// The label as text, if it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        core::str::from_utf8(self.as_bytes()).ok()
    }
}

/// The text; bytes that are not printable ASCII or UTF-8 are escaped (`\xff`), so that a terminal can be trusted with it.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.as_bytes().utf8_chunks() {
            for character in chunk.valid().chars() {
                if character.is_control() {
                    write!(f, "{}", character.escape_default())?;
                } else {
                    write!(f, "{character}")?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// The flag word of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u32);

impl Flags {
    /// Bit 0: encrypted when flash encryption is on.
    pub const ENCRYPTED: Self = Self(1 << 0);
    /// Bit 1: the application must not write to the partition.
    pub const READONLY: Self = Self(1 << 1);

    /// Bit 0.
    pub const fn is_encrypted(self) -> bool {
        self.0 & Self::ENCRYPTED.0 != 0
    }

    /// Bit 1.
    pub const fn is_readonly(self) -> bool {
        self.0 & Self::READONLY.0 != 0
    }

    /// The bits that have no meaning yet.
    pub const fn unknown(self) -> u32 {
        self.0 & !(Self::ENCRYPTED.0 | Self::READONLY.0)
    }
}

impl core::ops::BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
