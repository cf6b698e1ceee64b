//! The settings of the official tool.

use alloc::{borrow::ToOwned, string::String, vec::Vec};
use core::fmt;

use super::{DEFAULT_OFFSET, PartitionType, subtype};

/// Settings of a project that the compiler and the verification need: the options of `gen_esp32part.py`.
#[derive(Clone, Debug)]
pub struct Options {
    /// Flash address of the table itself (`--offset`), in bytes.
    pub table_offset: u32,
    /// Whether the binary gets an MD5 entry; without is `--disable-md5sum`.
    pub md5: bool,
    /// Length of the flash chip in bytes (`--flash-size`); the last partition must end within it.
    pub flash_size: Option<u32>,
    /// Flash address of the boot loader (`--primary-bootloader-offset`). Rows of type `bootloader` need it.
    pub primary_bootloader_offset: Option<u32>,
    /// Flash address of the recovery boot loader (`--recovery-bootloader-offset`).
    pub recovery_bootloader_offset: Option<u32>,
    /// Secure boot scheme (`--secure`): version 1 wants app partitions of whole 64 KiB.
    pub secure_boot: Option<SecureBoot>,
    /// Names of subtypes, also the project's own (`--extra-partition-subtypes`).
    pub subtypes: SubtypeNames,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            table_offset: DEFAULT_OFFSET,
            md5: true,
            flash_size: None,
            primary_bootloader_offset: None,
            recovery_bootloader_offset: None,
            secure_boot: None,
            subtypes: SubtypeNames::default(),
        }
    }
}

/// Version of Espressif's secure boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecureBoot {
    /// The signature lies at the very end of a 64 KiB block.
    V1,
    /// The signature has a sector of its own.
    V2,
}

/// Names of subtypes: ESP-IDF's, and those that a project adds.
#[derive(Clone, Debug, Default)]
pub struct SubtypeNames {
    extra: Vec<(PartitionType, String, u8)>,
}

impl SubtypeNames {
    /// Adds a name, written as the official tool wants it: `type, name, value`, for example `app, my_app1, 0x40`. The
    /// value is hexadecimal even without `0x`.
    ///
    /// # Errors
    ///
    /// If the text has another form, or name or value are taken already: two meanings of one word or number cannot be told
    /// apart. (The official tool ends with an exception for a value, and lets a name change its meaning.)
    pub fn add(&mut self, definition: &str) -> Result<(), ExtraSubtypeError> {
        let refuse = |reason| ExtraSubtypeError {
            definition: definition.to_owned(),
            reason,
        };
        let mut fields = definition.split(',').map(str::trim);
        let (Some(kind), Some(name), Some(value)) = (fields.next(), fields.next(), fields.next())
        else {
            return Err(refuse(ExtraSubtypeReason::Form));
        };
        let kind = type_named(kind).ok_or_else(|| refuse(ExtraSubtypeReason::Type))?;
        if name.is_empty() {
            return Err(refuse(ExtraSubtypeReason::Form));
        }
        let digits = value
            .strip_prefix("0x")
            .or_else(|| value.strip_prefix("0X"))
            .unwrap_or(value);
        let value = digits
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit())
            .then(|| u8::from_str_radix(digits, 16).ok())
            .flatten()
            .ok_or_else(|| refuse(ExtraSubtypeReason::Value))?;
        if self.of(kind).any(|(taken, _)| taken == name) {
            return Err(refuse(ExtraSubtypeReason::NameTaken));
        }
        if self.of(kind).any(|(_, taken)| taken == value) {
            return Err(refuse(ExtraSubtypeReason::ValueTaken));
        }
        self.extra.push((kind, name.to_owned(), value));
        Ok(())
    }

    /// Names and numbers of the subtypes of `kind`, in the order of the official tool.
    pub fn of(&self, kind: PartitionType) -> impl Iterator<Item = (&str, u8)> {
        let extra = self
            .extra
            .iter()
            .filter(move |(of, ..)| *of == kind)
            .map(|(_, name, value)| (name.as_str(), *value));
        subtype::of(kind).iter().copied().chain(extra)
    }

    /// The name of a subtype, if it has one.
    pub fn name(&self, kind: PartitionType, subtype: u8) -> Option<&str> {
        self.of(kind)
            .find_map(|(name, value)| (value == subtype).then_some(name))
    }

    /// The number that `name` stands for in `kind`.
    pub fn value(&self, kind: PartitionType, name: &str) -> Option<u8> {
        self.of(kind)
            .find_map(|(known, value)| (known == name).then_some(value))
    }

    /// Whether any type has a subtype of this name.
    pub fn contains(&self, name: &str) -> bool {
        TYPES.iter().any(|&kind| self.value(kind, name).is_some())
    }
}

/// The types that have a name, in the order of the official tool.
pub(super) const TYPES: [PartitionType; 4] = [
    PartitionType::BOOTLOADER,
    PartitionType::PARTITION_TABLE,
    PartitionType::APP,
    PartitionType::DATA,
];

/// The type of this name.
pub(super) fn type_named(name: &str) -> Option<PartitionType> {
    TYPES.into_iter().find(|kind| kind.name() == Some(name))
}

/// Why the definition of an extra subtype is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtraSubtypeError {
    /// The definition, as given.
    pub definition: String,
    /// What is wrong with it.
    pub reason: ExtraSubtypeReason,
}

/// What is wrong with the definition of an extra subtype.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExtraSubtypeReason {
    /// It is not `type, name, value`.
    Form,
    /// The type is none that has named subtypes.
    Type,
    /// The value is not a hexadecimal number up to 0xff.
    Value,
    /// The type has a subtype of this name.
    NameTaken,
    /// The type has a subtype of this value.
    ValueTaken,
}

impl fmt::Display for ExtraSubtypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Error parsing custom subtypes: {} in '{}'",
            match self.reason {
                ExtraSubtypeReason::Form =>
                    "expected 'type, name, value', for example 'app, my_app1, 0x40',",
                ExtraSubtypeReason::Type => "Invalid partition type",
                ExtraSubtypeReason::Value => "the value must be hexadecimal, 0x00 to 0xff,",
                ExtraSubtypeReason::NameTaken => "Found duplicate name",
                ExtraSubtypeReason::ValueTaken => "Found duplicate value in partition subtype",
            },
            self.definition
        )
    }
}

impl core::error::Error for ExtraSubtypeError {}
