//! One line of a CSV file.

use alloc::{borrow::ToOwned, string::String, vec::Vec};

use super::{
    FieldError,
    integer::{self, Notation},
    text::trim,
};
use crate::esp::partition_table::{
    Flags, Lint, Options, PartitionType, Rule, SECTOR_LEN,
    options::{TYPES, type_named},
    subtype,
};

/// A line, before empty offsets and negative sizes have been worked out.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) kind: i128,
    pub(super) subtype: i128,
    /// Empty: wherever the previous partition ends.
    pub(super) offset: Option<i128>,
    /// Negative: up to this flash address.
    pub(super) size: i128,
    pub(super) flags: Flags,
}

/// Reads a line that is neither empty nor a comment; it becomes the partition at position `partition`.
pub(super) fn parse(
    row: &str,
    line: usize,
    partition: usize,
    options: &Options,
    lints: &mut Vec<Lint>,
) -> Result<Record, FieldError> {
    let mut cells = row.split(',').map(trim);
    let mut cell = || cells.next().unwrap_or_default();
    let (name, kind, subtype, offset, size, flags) =
        (cell(), cell(), cell(), cell(), cell(), cell());
    let mut reader = Reader {
        line,
        partition,
        options,
        lints,
    };
    let kind = reader.kind(kind)?;
    let subtype = reader.subtype(kind, subtype)?;
    let offset = reader.offset(kind, subtype, offset)?;
    let size = reader.size(kind, size)?;
    let flags = reader.flags(flags)?;
    reader.name(name);
    if cells.clone().any(|cell| !cell.is_empty()) {
        let cells = cells.collect::<Vec<_>>().join(",");
        reader.report(Rule::ExtraColumns { cells });
    }
    Ok(Record {
        line,
        name: name.to_owned(),
        kind,
        subtype,
        offset,
        size,
        flags,
    })
}

struct Reader<'a> {
    line: usize,
    partition: usize,
    options: &'a Options,
    lints: &'a mut Vec<Lint>,
}

impl Reader<'_> {
    fn report(&mut self, rule: Rule) {
        self.lints.push(Lint {
            line: Some(self.line),
            partition: Some(self.partition),
            rule,
        });
    }

    /// A number or keyword of this cell.
    fn number(
        &mut self,
        cell: &str,
        keyword: impl Fn(&str) -> Option<i128>,
        known: impl Fn() -> String,
    ) -> Result<i128, FieldError> {
        let number = integer::parse(cell, keyword, known)?;
        let cell = || cell.to_owned();
        match number.notation {
            Notation::Usual => {}
            Notation::UnusualNumber => self.report(Rule::NumberNotation { cell: cell() }),
            Notation::KeywordNotLowerCase => self.report(Rule::KeywordCase { cell: cell() }),
            Notation::KeywordWithSuffix => self.report(Rule::KeywordSuffix { cell: cell() }),
        }
        Ok(number.value)
    }

    fn plain_number(&mut self, cell: &str) -> Result<i128, FieldError> {
        self.number(cell, |_| None, String::new)
    }

    fn name(&mut self, cell: &str) {
        let variable = cell.match_indices('$').any(|(at, _)| {
            let behind = cell.get(at + 1..).unwrap_or_default();
            behind.starts_with(|first: char| {
                first == '{' || first == '_' || first.is_ascii_alphanumeric()
            })
        });
        if variable {
            self.report(Rule::NameVariable);
        }
    }

    fn kind(&mut self, cell: &str) -> Result<i128, FieldError> {
        if cell.is_empty() {
            return Err(FieldError::TypeEmpty);
        }
        let keyword = |name: &str| type_named(name).map(|kind| kind.0.into());
        let known = || TYPES.map(|kind| kind.name().unwrap_or_default()).join(", ");
        self.number(cell, keyword, known)
    }

    fn subtype(&mut self, kind: i128, cell: &str) -> Result<i128, FieldError> {
        if cell.is_empty() {
            if kind == i128::from(PartitionType::APP.0) {
                return Err(FieldError::AppSubtypeEmpty);
            }
            self.report(Rule::SubtypeEmpty);
            return Ok(subtype::DATA_UNDEFINED.into());
        }
        let names = &self.options.subtypes;
        // Types that have no byte have no names either.
        let Ok(kind) = u8::try_from(kind).map(PartitionType) else {
            return self.plain_number(cell);
        };
        let keyword = |name: &str| names.value(kind, name).map(i128::from);
        let known = || {
            let names: Vec<&str> = names.of(kind).map(|(name, _)| name).collect();
            names.join(", ")
        };
        self.number(cell, keyword, known)
    }

    fn offset(
        &mut self,
        kind: i128,
        subtype: i128,
        cell: &str,
    ) -> Result<Option<i128>, FieldError> {
        let given = match (named(kind), u8::try_from(subtype)) {
            (Some(PartitionType::BOOTLOADER), Ok(subtype::PRIMARY)) => self
                .options
                .primary_bootloader_offset
                .ok_or(FieldError::NoPrimaryBootloaderOffset)?,
            (Some(PartitionType::BOOTLOADER), Ok(subtype::RECOVERY)) => self
                .options
                .recovery_bootloader_offset
                .ok_or(FieldError::NoRecoveryBootloaderOffset)?,
            (Some(PartitionType::PARTITION_TABLE), Ok(subtype::PRIMARY)) => {
                self.options.table_offset
            }
            _ if cell.is_empty() => return Ok(None),
            _ => return self.plain_number(cell).map(Some),
        };
        self.ignore(cell, given);
        Ok(Some(given.into()))
    }

    fn size(&mut self, kind: i128, cell: &str) -> Result<i128, FieldError> {
        let given = match named(kind) {
            Some(PartitionType::BOOTLOADER) => {
                let primary = self
                    .options
                    .primary_bootloader_offset
                    .ok_or(FieldError::NoPrimaryBootloaderOffset)?;
                // The compiler has refused a boot loader above the table.
                self.options.table_offset.saturating_sub(primary)
            }
            Some(PartitionType::PARTITION_TABLE) => SECTOR_LEN,
            _ if cell.is_empty() => return Err(FieldError::SizeEmpty),
            _ => return self.plain_number(cell),
        };
        self.ignore(cell, given);
        Ok(given.into())
    }

    /// A cell whose content does not matter should be empty, `N/A`, or say what is true anyway.
    fn ignore(&mut self, cell: &str, given: u32) {
        let true_anyway = integer::parse(cell, |_| None, String::new)
            .is_ok_and(|number| number.value == i128::from(given));
        if !(cell.is_empty() || cell.eq_ignore_ascii_case("n/a") || true_anyway) {
            self.report(Rule::CellIgnored {
                cell: cell.to_owned(),
            });
        }
    }

    fn flags(&mut self, cell: &str) -> Result<Flags, FieldError> {
        let mut flags = Flags::default();
        let mut odd = false;
        for flag in cell.split(':') {
            let bit = match flag {
                "encrypted" => Flags::ENCRYPTED,
                "readonly" => Flags::READONLY,
                "" => {
                    odd |= !cell.is_empty();
                    continue;
                }
                _ => {
                    return Err(FieldError::UnknownFlag {
                        flag: flag.to_owned(),
                    });
                }
            };
            odd |= flags | bit == flags;
            flags = flags | bit;
        }
        if odd {
            self.report(Rule::FlagsNotation {
                cell: cell.to_owned(),
            });
        }
        Ok(flags)
    }
}

fn named(kind: i128) -> Option<PartitionType> {
    let kind = PartitionType(u8::try_from(kind).ok()?);
    kind.name().map(|_| kind)
}
