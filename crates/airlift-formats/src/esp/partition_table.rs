//! The ESP-IDF partition table: which bytes of flash belong to what.
//!
//! The boot loader, the application and the update engine all find flash through this table. It lies in one sector of its
//! own (by default at [`DEFAULT_OFFSET`]), at most [`TABLE_LEN`] bytes of it are used: 32-byte entries, then an entry with an
//! MD5 digest over them, then an end marker of 32 × `0xFF`, and `0xFF` behind it. Numbers are little endian.
//!
//! * [`PartitionTable`] reads the binary without a heap, in two strictnesses: [`PartitionTable::parse`] for a device,
//!   which refuses whatever it could trip over, and [`PartitionTable::inspect`], which reads what Espressif's
//!   `gen_esp32part.py` reads.
//! * [`emit`] writes the binary into a buffer of the caller.
//! * With the feature `alloc`, `csv` compiles the CSV form and prints it, with the messages of the official tool, and
//!   `verify` applies the rules that both forms must satisfy.
//!
//! Flag bit 0 means *encrypted*, bit 1 means *readonly*. Types and subtypes that nobody has a name for are numbers, names
//! are bytes, unknown flag bits are kept: a newer table is read, not refused.
//!
//! ```
//! use airlift_formats::esp::partition_table::{
//!     Flags, Name, Partition, PartitionTable, PartitionType, Rules, TABLE_LEN, emit, subtype,
//! };
//!
//! let slot = |number: u8, offset| Partition {
//!     kind: PartitionType::APP,
//!     subtype: subtype::APP_OTA_0 + number,
//!     offset,
//!     size: 0x10_0000,
//!     name: Name(*b"a slot\0\0\0\0\0\0\0\0\0\0"),
//!     flags: Flags::default(),
//! };
//! let mut buffer = [0; TABLE_LEN];
//! emit([slot(0, 0x1_0000), slot(1, 0x11_0000)], true, &mut buffer)?;
//!
//! let table = PartitionTable::parse(&buffer, &Rules::new(4 * 1024 * 1024))?;
//! let slots = table.app_slots()?;
//! assert_eq!(slots.count(), 2);
//! assert_eq!(slots.get(1).map(|slot| slot.offset), Some(0x11_0000));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

#[cfg(feature = "alloc")]
pub mod csv;
mod emit;
mod entry;
mod error;
mod kind;
#[cfg(feature = "alloc")]
mod lint;
#[cfg(feature = "alloc")]
mod options;
#[cfg(feature = "alloc")]
mod row;
mod slots;
mod table;
#[cfg(feature = "alloc")]
pub mod verify;

pub use emit::{EmitError, emit};
pub use entry::{Flags, Name, Partition};
pub use error::Error;
pub use kind::{PartitionType, subtype};
#[cfg(feature = "alloc")]
pub use lint::{Lint, Rule};
#[cfg(feature = "alloc")]
pub use options::{ExtraSubtypeError, ExtraSubtypeReason, Options, SecureBoot, SubtypeNames};
pub use slots::{AppSlots, SlotError};
pub use table::{PartitionTable, Partitions, Rules};

/// Flash address of the table unless the project configured another (`CONFIG_PARTITION_TABLE_OFFSET`).
pub const DEFAULT_OFFSET: u32 = 0x8000;

/// Bytes of flash that are reserved for the table: one sector. The first partition starts behind it at the earliest.
pub const SECTOR_LEN: u32 = 0x1000;

/// Length of the table and of its file, in bytes. The last KiB of the sector is left for a signature (secure boot v1).
pub const TABLE_LEN: usize = 0xC00;

/// Length of an entry, in bytes: of a partition, of the MD5 entry and of the end marker.
pub const ENTRY_LEN: usize = 32;

/// Entries that fit beside the end marker. The MD5 entry takes one of them: 94 partitions with it, 95 without.
pub const MAX_ENTRIES: usize = TABLE_LEN / ENTRY_LEN - 1;
