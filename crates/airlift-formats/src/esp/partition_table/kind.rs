//! Types and subtypes of partitions, by number and by name.

use core::fmt;

/// The type of a partition: a number, of which four have a name.
///
/// `0x04..=0x3F` are reserved by ESP-IDF, `0x40..=0xFE` are for applications, `0xFF` marks the end of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionType(pub u8);

impl PartitionType {
    /// An application that the boot loader can start.
    pub const APP: Self = Self(0x00);
    /// Data of any kind, also the boot selection (`otadata`).
    pub const DATA: Self = Self(0x01);
    /// A second-stage boot loader, or a place to stage one.
    pub const BOOTLOADER: Self = Self(0x02);
    /// A partition table, or a place to stage one.
    pub const PARTITION_TABLE: Self = Self(0x03);
    /// Not a partition: the end marker of the table has this type.
    pub const END: Self = Self(0xFF);

    /// The keyword of the CSV form, if the type has one.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::APP => Some("app"),
            Self::DATA => Some("data"),
            Self::BOOTLOADER => Some("bootloader"),
            Self::PARTITION_TABLE => Some("partition_table"),
            _ => None,
        }
    }

    /// Whether ESP-IDF keeps this number for itself without having given it a meaning (`0x04..=0x3F`).
    pub const fn is_reserved(self) -> bool {
        matches!(self.0, 0x04..=0x3F)
    }

    /// The start of a partition of this type must be a multiple of this many bytes.
    pub const fn offset_alignment(self) -> u32 {
        match self {
            Self::APP => 0x1_0000,
            _ => 0x1000,
        }
    }

    /// The keyword that the CSV form has for `subtype` within this type, if any.
    pub fn subtype_name(self, subtype: u8) -> Option<&'static str> {
        subtype::of(self)
            .iter()
            .find_map(|&(name, number)| (number == subtype).then_some(name))
    }
}

/// The keyword if there is one, else the number in decimal, as in the CSV form.
impl fmt::Display for PartitionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => self.0.fmt(f),
        }
    }
}

/// Subtypes: their numbers mean something only together with the [`PartitionType`].
pub mod subtype {
    use super::PartitionType;

    /// App: the image that was flashed in the factory; booted when `otadata` names none.
    pub const APP_FACTORY: u8 = 0x00;
    /// App: the first of the update slots `ota_0` to `ota_15`.
    pub const APP_OTA_0: u8 = 0x10;
    /// App: the last of the update slots.
    pub const APP_OTA_15: u8 = 0x1F;
    /// App: started by the boot loader when a test pin is held.
    pub const APP_TEST: u8 = 0x20;
    /// App: first slot of the trusted execution environment.
    pub const APP_TEE_0: u8 = 0x30;
    /// App: second slot of the trusted execution environment.
    pub const APP_TEE_1: u8 = 0x31;

    /// Data: the boot selection, `otadata`. Exactly 0x2000 bytes.
    pub const DATA_OTA: u8 = 0x00;
    /// Data: calibration of the radio.
    pub const DATA_PHY: u8 = 0x01;
    /// Data: key-value store.
    pub const DATA_NVS: u8 = 0x02;
    /// Data: memory of a crashed application.
    pub const DATA_COREDUMP: u8 = 0x03;
    /// Data: keys of an encrypted key-value store.
    pub const DATA_NVS_KEYS: u8 = 0x04;
    /// Data: eFuse bits, emulated.
    pub const DATA_EFUSE: u8 = 0x05;
    /// Data: nothing in particular; also what an empty subtype column means.
    pub const DATA_UNDEFINED: u8 = 0x06;
    /// Data: files of an HTTP server.
    pub const DATA_ESPHTTPD: u8 = 0x80;
    /// Data: FAT file system.
    pub const DATA_FAT: u8 = 0x81;
    /// Data: SPIFFS file system.
    pub const DATA_SPIFFS: u8 = 0x82;
    /// Data: `LittleFS` file system.
    pub const DATA_LITTLEFS: u8 = 0x83;
    /// Data: boot selection of the trusted execution environment. Exactly 0x2000 bytes.
    pub const DATA_TEE_OTA: u8 = 0x90;

    /// Boot loader or partition table: the one that the chip uses.
    pub const PRIMARY: u8 = 0x00;
    /// Boot loader or partition table: where an update is staged.
    pub const OTA: u8 = 0x01;
    /// Boot loader: the one that the ROM falls back to, on chips that can.
    pub const RECOVERY: u8 = 0x02;

    /// Keywords of the subtypes of `kind`, in the order in which the official tool lists them.
    pub const fn of(kind: PartitionType) -> &'static [(&'static str, u8)] {
        match kind {
            PartitionType::APP => APP,
            PartitionType::DATA => DATA,
            PartitionType::BOOTLOADER => BOOTLOADER,
            PartitionType::PARTITION_TABLE => PARTITION_TABLE,
            _ => &[],
        }
    }

    const APP: &[(&str, u8)] = &[
        ("factory", APP_FACTORY),
        ("test", APP_TEST),
        ("ota_0", APP_OTA_0),
        ("ota_1", 0x11),
        ("ota_2", 0x12),
        ("ota_3", 0x13),
        ("ota_4", 0x14),
        ("ota_5", 0x15),
        ("ota_6", 0x16),
        ("ota_7", 0x17),
        ("ota_8", 0x18),
        ("ota_9", 0x19),
        ("ota_10", 0x1A),
        ("ota_11", 0x1B),
        ("ota_12", 0x1C),
        ("ota_13", 0x1D),
        ("ota_14", 0x1E),
        ("ota_15", APP_OTA_15),
        ("tee_0", APP_TEE_0),
        ("tee_1", APP_TEE_1),
    ];

    const DATA: &[(&str, u8)] = &[
        ("ota", DATA_OTA),
        ("phy", DATA_PHY),
        ("nvs", DATA_NVS),
        ("coredump", DATA_COREDUMP),
        ("nvs_keys", DATA_NVS_KEYS),
        ("efuse", DATA_EFUSE),
        ("undefined", DATA_UNDEFINED),
        ("esphttpd", DATA_ESPHTTPD),
        ("fat", DATA_FAT),
        ("spiffs", DATA_SPIFFS),
        ("littlefs", DATA_LITTLEFS),
        ("tee_ota", DATA_TEE_OTA),
    ];

    const BOOTLOADER: &[(&str, u8)] = &[("primary", PRIMARY), ("ota", OTA), ("recovery", RECOVERY)];

    const PARTITION_TABLE: &[(&str, u8)] = &[("primary", PRIMARY), ("ota", OTA)];
}
