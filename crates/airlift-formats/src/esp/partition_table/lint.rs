//! What is accepted, but probably not meant.

use alloc::{string::String, vec::Vec};
use core::fmt;

use super::{
    MAX_ENTRIES, Name, Options, PartitionType, SECTOR_LEN,
    options::type_named,
    row::{Hex, Row},
    subtype,
};

/// Something odd about a table that is not a reason to refuse it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lint {
    /// Line of the CSV file, from 1; `None` for the table as a whole and for binaries.
    pub line: Option<usize>,
    /// Position of the partition in the table, from 0; `None` for the table as a whole.
    pub partition: Option<usize>,
    /// Which rule speaks.
    pub rule: Rule,
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rule.fmt(f)
    }
}

/// The rules about odd tables.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// The label is the name of another type.
    NameIsType {
        /// The label.
        name: String,
        /// The type of the partition.
        kind: i128,
    },
    /// The label is the name of another subtype.
    NameIsSubtype {
        /// The label.
        name: String,
        /// The type of the partition.
        kind: i128,
        /// The subtype of the partition.
        subtype: i128,
    },
    /// The label is empty.
    NameEmpty,
    /// The label fills its 16 bytes: no NUL ends it.
    NameFull,
    /// The label has more than 16 bytes and is cut.
    NameTruncated {
        /// What is left of it.
        stored: Name,
    },
    /// The label cannot be written in CSV as it is, or would confuse a terminal.
    NameCharacters,
    /// The label is not UTF-8.
    NameNotUtf8,
    /// The label holds a variable that the environment does not have.
    NameVariable,
    /// The partition has no bytes.
    SizeZero,
    /// The size is not a whole number of flash sectors.
    SizeUnaligned {
        /// The size in bytes.
        size: i128,
    },
    /// An app partition is flagged readonly: it could not be updated.
    ReadonlyApp,
    /// ESP-IDF reserves the type.
    TypeReserved {
        /// The type.
        kind: u8,
    },
    /// Two app partitions have the same subtype; only one of them is ever used.
    SubtypeTwice {
        /// The subtype.
        subtype: u8,
    },
    /// Slots are not numbered without a gap: boot loader and application count them differently.
    OtaGap {
        /// The first slot that is missing below this one.
        missing: u8,
    },
    /// There are app slots, but no boot selection to choose between them.
    NoOtadata,
    /// There is nothing to boot.
    NoApp,
    /// Flag bits that have no meaning yet.
    UnknownFlags {
        /// These bits.
        bits: u32,
    },
    /// A number is written in a way that few tools read.
    NumberNotation {
        /// The cell.
        cell: String,
    },
    /// A keyword is not in lower case.
    KeywordCase {
        /// The cell.
        cell: String,
    },
    /// A keyword is multiplied by a suffix `K` or `M`.
    KeywordSuffix {
        /// The cell.
        cell: String,
    },
    /// The subtype is empty: it becomes `undefined`, 0x06.
    SubtypeEmpty,
    /// The size is negative: it names the flash address where the partition ends.
    SizeFromEnd {
        /// The address.
        end: i128,
    },
    /// A cell is ignored, because the place of boot loaders and tables is fixed.
    CellIgnored {
        /// The cell.
        cell: String,
    },
    /// Columns behind the flags are ignored.
    ExtraColumns {
        /// Their content.
        cells: String,
    },
    /// The flags column has empty or repeated items.
    FlagsNotation {
        /// The cell.
        cell: String,
    },
    /// The line is ended by something else than a line feed or CR LF.
    LineSeparator,
    /// So many partitions that the MD5 entry, which devices expect by default, has no room.
    NoRoomForMd5,
    /// The table does not start at a sector of flash.
    TableOffset {
        /// Where it starts.
        offset: u32,
    },
}

impl Rule {
    /// A short name of the rule that does not change.
    pub fn id(&self) -> &'static str {
        match self {
            Self::NameIsType { .. } => "name-is-type",
            Self::NameIsSubtype { .. } => "name-is-subtype",
            Self::NameEmpty => "name-empty",
            Self::NameFull => "name-full",
            Self::NameTruncated { .. } => "name-truncated",
            Self::NameCharacters => "name-characters",
            Self::NameNotUtf8 => "name-not-utf8",
            Self::NameVariable => "name-variable",
            Self::SizeZero => "size-zero",
            Self::SizeUnaligned { .. } => "size-unaligned",
            Self::ReadonlyApp => "readonly-app",
            Self::TypeReserved { .. } => "type-reserved",
            Self::SubtypeTwice { .. } => "subtype-twice",
            Self::OtaGap { .. } => "ota-gap",
            Self::NoOtadata => "no-otadata",
            Self::NoApp => "no-app",
            Self::UnknownFlags { .. } => "unknown-flags",
            Self::NumberNotation { .. } => "number-notation",
            Self::KeywordCase { .. } => "keyword-case",
            Self::KeywordSuffix { .. } => "keyword-suffix",
            Self::SubtypeEmpty => "subtype-empty",
            Self::SizeFromEnd { .. } => "size-from-end",
            Self::CellIgnored { .. } => "cell-ignored",
            Self::ExtraColumns { .. } => "extra-columns",
            Self::FlagsNotation { .. } => "flags-notation",
            Self::LineSeparator => "line-separator",
            Self::NoRoomForMd5 => "no-room-for-md5",
            Self::TableOffset { .. } => "table-offset",
        }
    }
}

/// The texts of [`Rule::NameIsType`], [`Rule::NameIsSubtype`] and [`Rule::UnknownFlags`] are those of the official tool.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameIsType { name, kind } => write!(
                f,
                "Partition has name '{name}' which is a partition type, but does not match this partition's type ({}). \
                 Mistake in partition table?",
                Hex(*kind)
            ),
            Self::NameIsSubtype {
                name,
                kind,
                subtype,
            } => write!(
                f,
                "Partition has name '{name}' which is a partition subtype, but this partition has non-matching type {} and \
                 subtype {}. Mistake in partition table?",
                Hex(*kind),
                Hex(*subtype)
            ),
            Self::NameEmpty => f.write_str("the name is empty: the partition cannot be found by it"),
            Self::NameFull => f.write_str(
                "the name fills all 16 bytes, so no NUL ends it; use at most 15 bytes for readers that expect one",
            ),
            Self::NameTruncated { stored } => write!(
                f,
                "the name is longer than 16 bytes and is cut to '{stored}'"
            ),
            Self::NameCharacters => f.write_str(
                "the name has characters that a row of CSV cannot hold, or control characters",
            ),
            Self::NameNotUtf8 => f.write_str(
                "the name is not UTF-8: the official tool cannot read this table",
            ),
            Self::NameVariable => f.write_str(
                "the name holds a variable that the environment does not have; it was not replaced",
            ),
            Self::SizeZero => f.write_str("the partition has no bytes"),
            Self::SizeUnaligned { size } => write!(
                f,
                "size {} is not a multiple of the flash sector, {SECTOR_LEN:#x}: the last sector cannot be used",
                Hex(*size)
            ),
            Self::ReadonlyApp => {
                f.write_str("an app partition that is readonly cannot be updated")
            }
            Self::TypeReserved { kind } => write!(
                f,
                "type {kind:#04x} is reserved by ESP-IDF; types of your own are 0x40 to 0xfe"
            ),
            Self::SubtypeTwice { subtype } => write!(
                f,
                "another app partition has subtype {subtype:#04x}, too: boot loader and application use only one of them, \
                 and not the same one"
            ),
            Self::OtaGap { missing } => write!(
                f,
                "there is no slot ota_{missing} below this one: boot loader and application count the slots differently"
            ),
            Self::NoOtadata => f.write_str(
                "there are app slots, but no otadata partition (type data, subtype ota): no slot can be selected",
            ),
            Self::NoApp => f.write_str("the table has no app partition: there is nothing to boot"),
            Self::UnknownFlags { bits } => write!(
                f,
                "Partition definition had unknown flag(s) {bits:#x}. Newer binary format?"
            ),
            Self::NumberNotation { cell } => write!(
                f,
                "'{cell}': write the number in decimal or hexadecimal with at most one suffix, as other tools expect"
            ),
            Self::KeywordCase { cell } => write!(f, "'{cell}': write the keyword in lower case"),
            Self::KeywordSuffix { cell } => write!(
                f,
                "'{cell}' is taken for a keyword, multiplied by its last letter; write the keyword or the number"
            ),
            Self::SubtypeEmpty => {
                f.write_str("the subtype is empty and becomes 0x06 (data: undefined)")
            }
            Self::SizeFromEnd { end } => write!(
                f,
                "the size is negative: it means that the partition ends at {}",
                Hex(*end)
            ),
            Self::CellIgnored { cell } => write!(
                f,
                "'{cell}' is ignored, the place is given by the options; leave the cell empty or write N/A"
            ),
            Self::ExtraColumns { cells } => write!(f, "'{cells}' behind the flags is ignored"),
            Self::FlagsNotation { cell } => {
                write!(f, "'{cell}' has empty or repeated flags")
            }
            Self::LineSeparator => f.write_str(
                "the line is ended by an unusual character; editors will count lines differently",
            ),
            Self::NoRoomForMd5 => write!(
                f,
                "{MAX_ENTRIES} partitions leave no room for the MD5 entry that devices expect by default; {} would",
                MAX_ENTRIES - 1
            ),
            Self::TableOffset { offset } => write!(
                f,
                "the table's own offset {offset:#x} is not a multiple of the flash sector, {SECTOR_LEN:#x}"
            ),
        }
    }
}

/// What is odd about the content of a table, from CSV or binary.
pub(super) fn of_table(rows: &[Row], options: &Options) -> Vec<Lint> {
    let mut lints = Vec::new();
    let all = AppSubtypes::of(rows);
    let mut earlier = AppSubtypes::default();
    for (index, row) in rows.iter().enumerate() {
        let mut report = |rule| {
            lints.push(Lint {
                line: None,
                partition: Some(index),
                rule,
            });
        };
        name_rules(row, options, &mut report);
        value_rules(row, &mut report);
        app_rules(row, &earlier, &all, &mut report);
        earlier.insert(row);
    }
    let mut report = |partition, rule| {
        lints.push(Lint {
            line: None,
            partition,
            rule,
        });
    };
    if !rows.iter().any(|row| row.is_kind(PartitionType::APP)) {
        report(None, Rule::NoApp);
    }
    let has_otadata = rows
        .iter()
        .any(|row| row.is(PartitionType::DATA, subtype::DATA_OTA));
    let slots = subtype::APP_OTA_0..=subtype::APP_OTA_15;
    let first_slot = rows
        .iter()
        .position(|row| app_subtype(row).is_some_and(|subtype| slots.contains(&subtype)));
    if first_slot.is_some() && !has_otadata {
        report(first_slot, Rule::NoOtadata);
    }
    if rows.len() == MAX_ENTRIES {
        report(Some(MAX_ENTRIES - 1), Rule::NoRoomForMd5);
    }
    if !options.table_offset.is_multiple_of(SECTOR_LEN) {
        let offset = options.table_offset;
        report(None, Rule::TableOffset { offset });
    }
    lints
}

/// The subtypes that app partitions have.
#[derive(Default)]
struct AppSubtypes([u128; 2]);

impl AppSubtypes {
    fn of(rows: &[Row]) -> Self {
        let mut all = Self::default();
        for row in rows {
            all.insert(row);
        }
        all
    }

    fn insert(&mut self, row: &Row) {
        if let Some(subtype) = app_subtype(row) {
            let [low, high] = &mut self.0;
            let half = if subtype < 128 { low } else { high };
            *half |= 1 << (subtype % 128);
        }
    }

    fn contains(&self, subtype: u8) -> bool {
        let [low, high] = self.0;
        let half = if subtype < 128 { low } else { high };
        half & (1 << (subtype % 128)) != 0
    }
}

fn app_subtype(row: &Row) -> Option<u8> {
    row.is_kind(PartitionType::APP)
        .then(|| u8::try_from(row.subtype).ok())
        .flatten()
}

fn value_rules(row: &Row, report: &mut dyn FnMut(Rule)) {
    if row.size == 0 {
        report(Rule::SizeZero);
    } else if row.size % i128::from(SECTOR_LEN) != 0 {
        report(Rule::SizeUnaligned { size: row.size });
    }
    if let Some(kind) = row.kind()
        && kind.is_reserved()
    {
        report(Rule::TypeReserved { kind: kind.0 });
    }
    if row.flags.unknown() != 0 {
        report(Rule::UnknownFlags {
            bits: row.flags.unknown(),
        });
    }
}

fn name_rules(row: &Row, options: &Options, report: &mut dyn FnMut(Rule)) {
    let stored = row.stored_name();
    let Ok(name) = core::str::from_utf8(&row.name) else {
        report(Rule::NameNotUtf8);
        return;
    };
    if let Some(kind) = type_named(name)
        && !row.is_kind(kind)
    {
        report(Rule::NameIsType {
            name: name.into(),
            kind: row.kind,
        });
    }
    let own = row
        .kind()
        .and_then(|kind| options.subtypes.value(kind, name));
    if options.subtypes.contains(name) && own.map(i128::from) != Some(row.subtype) {
        report(Rule::NameIsSubtype {
            name: name.into(),
            kind: row.kind,
            subtype: row.subtype,
        });
    }
    match row.name.len() {
        0 => report(Rule::NameEmpty),
        Name::LEN => report(Rule::NameFull),
        len if len > Name::LEN => report(Rule::NameTruncated { stored }),
        _ => {}
    }
    let lost_in_csv = name.contains(',') || name.starts_with('#') || name.trim() != name;
    if lost_in_csv || name.chars().any(char::is_control) {
        report(Rule::NameCharacters);
    }
}

fn app_rules(row: &Row, earlier: &AppSubtypes, all: &AppSubtypes, report: &mut dyn FnMut(Rule)) {
    let Some(subtype) = app_subtype(row) else {
        return;
    };
    if row.flags.is_readonly() {
        report(Rule::ReadonlyApp);
    }
    if earlier.contains(subtype) {
        report(Rule::SubtypeTwice { subtype });
    }
    if subtype <= subtype::APP_OTA_15
        && let Some(missing) = (subtype::APP_OTA_0..subtype).find(|&lower| !all.contains(lower))
    {
        report(Rule::OtaGap {
            missing: missing - subtype::APP_OTA_0,
        });
    }
}
