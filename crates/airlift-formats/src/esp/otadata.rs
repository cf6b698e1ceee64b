//! Boot selection of ESP-IDF: the partition `data/ota` ("otadata") and what the boot loader makes of it.
//!
//! The partition has two flash sectors, and each holds one [`Record`] in its first 32 bytes. A record names an app slot by a
//! sequence number, `(seq - 1) mod slots`, and the newer valid one of the two wins. What happens around that is full of
//! edge rules: the CRC covers the sequence number only, states decide even where the CRC is wrong, and the fallback looks at
//! images instead of states. So this module keeps two things apart:
//!
//! * **Prediction** imitates the reference bit by bit, defects included: [`BootLoader`] (the second-stage boot loader in its
//!   three builds) and [`predict`] (the app side, `esp_ota_*`). Tools, the simulator and the virtual board use it.
//! * **Writing** is strict: [`next_seq`], [`plan_switch`] and [`plan_invalidate`] never produce a state that depends on a
//!   defect. The update engine uses these.
//!
//! Everything is pure: records go in, and the sector rewrites that somebody else has to perform come out, in order. A
//! [`Rewrite`] is always "erase the sector, then write 32 bytes at its start"; a power cut between the two loses the record.
//!
//! All numbers are little endian.

mod boot;
pub mod predict;
mod write;

pub use boot::{Boot, BootLoader, Build, Efuse, Images, Selection};
pub use write::{SwitchError, highest_seq, next_seq, plan_invalidate, plan_switch};

use crc::{Crc, NoTable};

/// Bytes of one record.
pub const RECORD_LEN: usize = 32;
/// Bytes of the flash sector that holds one record; the second record starts here.
pub const SECTOR_SIZE: u32 = 0x1000;
/// Bytes of the partition; the boot loader refuses a smaller one.
pub const PARTITION_SIZE: u32 = 2 * SECTOR_SIZE;
/// Most app slots that ESP-IDF knows (`ota_0` to `ota_15`).
pub const MAX_SLOTS: u8 = 16;

/// What the boot loader knows of the app that a record selects.
///
/// The record's CRC does not cover it: a torn write can change it unnoticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// 0: written by the app that installed the slot's image; not booted yet.
    New,
    /// 1: booted once on trial, not confirmed yet. The next reset turns it into [`Aborted`](Self::Aborted).
    PendingVerify,
    /// 2: confirmed by the app.
    Valid,
    /// 3: refused by the app.
    Invalid,
    /// 4: the trial ended with a reset.
    Aborted,
    /// 0xFFFFFFFF: nobody keeps a state (boot loader without rollback), or erased.
    Undefined,
    /// Any other number; the boot loader boots it and leaves it alone.
    Other(u32),
}

impl State {
    /// The state of a number; every number has one.
    #[must_use]
    pub const fn from_u32(number: u32) -> Self {
        match number {
            0 => Self::New,
            1 => Self::PendingVerify,
            2 => Self::Valid,
            3 => Self::Invalid,
            4 => Self::Aborted,
            u32::MAX => Self::Undefined,
            other => Self::Other(other),
        }
    }

    /// The number that stands for the state in a record.
    #[must_use]
    pub const fn to_u32(self) -> u32 {
        match self {
            Self::New => 0,
            Self::PendingVerify => 1,
            Self::Valid => 2,
            Self::Invalid => 3,
            Self::Aborted => 4,
            Self::Undefined => u32::MAX,
            Self::Other(other) => other,
        }
    }

    /// Whether the boot loader refuses a record for its state.
    #[must_use]
    pub const fn is_rejected(self) -> bool {
        matches!(self, Self::Invalid | Self::Aborted)
    }
}

impl core::fmt::Display for State {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::New => f.write_str("NEW"),
            Self::PendingVerify => f.write_str("PENDING_VERIFY"),
            Self::Valid => f.write_str("VALID"),
            Self::Invalid => f.write_str("INVALID"),
            Self::Aborted => f.write_str("ABORTED"),
            Self::Undefined => f.write_str("UNDEFINED"),
            Self::Other(number) => write!(f, "unknown ({number:#x})"),
        }
    }
}

/// One of the two entries of otadata, `esp_ota_select_entry_t`.
///
/// Offsets: 0 `ota_seq`, 4 `seq_label` (20 bytes, unused, FF), 24 `ota_state`, 28 `crc`. Any 32 bytes are a record;
/// the predicates say what it is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Record {
    /// Sequence number: selects the slot `(seq - 1) mod slots`. 0xFFFFFFFF means "empty".
    pub seq: u32,
    /// Unused; FF in records that tools write.
    pub label: [u8; 20],
    /// State of the selected app. Not covered by [`crc`](Self::crc).
    pub state: State,
    /// CRC-32 of the sequence number alone, as [`crc()`] computes it, if the record is intact.
    pub crc: u32,
}

impl Record {
    /// What an erased sector reads as.
    pub const ERASED: Self = Self {
        seq: u32::MAX,
        label: [0xFF; 20],
        state: State::Undefined,
        crc: u32::MAX,
    };

    /// A record with the right CRC and an unused label.
    #[must_use]
    pub fn new(seq: u32, state: State) -> Self {
        Self {
            seq,
            label: [0xFF; 20],
            state,
            crc: crc(seq),
        }
    }

    /// Reads a record. Any bytes are one.
    #[must_use]
    pub fn parse(bytes: &[u8; RECORD_LEN]) -> Self {
        let mut rest: &[u8] = bytes;
        let seq = take(&mut rest);
        let label = take(&mut rest);
        let state = take(&mut rest);
        let crc = take(&mut rest);
        Self {
            seq: u32::from_le_bytes(seq),
            label,
            state: State::from_u32(u32::from_le_bytes(state)),
            crc: u32::from_le_bytes(crc),
        }
    }

    /// The 32 bytes of the record; inverse of [`parse`](Self::parse).
    #[must_use]
    pub fn emit(&self) -> [u8; RECORD_LEN] {
        let fields = self
            .seq
            .to_le_bytes()
            .into_iter()
            .chain(self.label)
            .chain(self.state.to_u32().to_le_bytes())
            .chain(self.crc.to_le_bytes());
        let mut bytes = [0; RECORD_LEN];
        for (to, from) in bytes.iter_mut().zip(fields) {
            *to = from;
        }
        bytes
    }

    /// Whether the CRC belongs to the sequence number.
    ///
    /// True for sequence number 0 with an otherwise erased record, since the CRC of 0 is 0xFFFFFFFF.
    #[must_use]
    pub fn is_crc_valid(&self) -> bool {
        self.crc == crc(self.seq)
    }

    /// The boot loader's `select_invalid`: empty, or refused for its state. Does not look at the CRC.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        self.seq == u32::MAX || self.state.is_rejected()
    }

    /// The boot loader's `select_valid`: not [invalid](Self::is_invalid), and the CRC is right.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        !self.is_invalid() && self.is_crc_valid()
    }

    /// Empty, or the CRC is wrong. Does not look at the state.
    #[must_use]
    pub fn is_virgin(&self) -> bool {
        self.seq == u32::MAX || !self.is_crc_valid()
    }

    /// The slot that the sequence number selects among `slots`: `(seq - 1) mod slots`, unsigned; none without slots.
    #[must_use]
    pub fn slot(&self, slots: u8) -> Option<u8> {
        let index = self.seq.wrapping_sub(1).checked_rem(u32::from(slots))?;
        u8::try_from(index).ok()
    }
}

/// Splits the first `N` bytes off a slice that is known to be long enough (zeros if it were not).
fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    match rest.split_first_chunk() {
        Some((chunk, tail)) => {
            *rest = tail;
            *chunk
        }
        None => [0; N],
    }
}

/// The CRC of a record: `esp_rom_crc32_le(0xFFFFFFFF, &seq, 4)`.
///
/// CRC-32 with the reflected polynomial 0xEDB88320, a register that starts at **zero**, and a final XOR with 0xFFFFFFFF.
#[must_use]
pub fn crc(seq: u32) -> u32 {
    const SEQ: crc::Algorithm<u32> = crc::Algorithm {
        init: 0,
        ..crc::CRC_32_ISO_HDLC
    };
    Crc::<u32, NoTable>::new(&SEQ).checksum(&seq.to_le_bytes())
}

/// Index of the record that counts: of two valid ones the larger sequence number (a tie: the first), else the valid one.
#[must_use]
pub fn active(records: &[Record; 2]) -> Option<usize> {
    let [first, second] = records;
    newest(records, [first.is_valid(), second.is_valid()])
}

/// The eligible record with the larger sequence number; the first one at a tie.
fn newest(records: &[Record; 2], eligible: [bool; 2]) -> Option<usize> {
    let [first, second] = records;
    match eligible {
        [true, true] => Some(usize::from(second.seq > first.seq)),
        [true, false] => Some(0),
        [false, true] => Some(1),
        [false, false] => None,
    }
}

/// The record in `sector` (0 or 1) of a pair.
fn pick(records: &[Record; 2], sector: usize) -> &Record {
    let [first, second] = records;
    if sector == 0 { first } else { second }
}

/// An app partition, as boot selection sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slot {
    /// `ota_N`.
    Ota(u8),
    /// The factory app.
    Factory,
    /// The test app.
    Test,
}

impl Slot {
    /// The boot loader's number: N for `ota_N`, -1 for the factory app, -2 for the test app.
    #[must_use]
    pub const fn index(self) -> i32 {
        match self {
            Self::Ota(slot) => slot as i32,
            Self::Factory => -1,
            Self::Test => -2,
        }
    }
}

impl core::fmt::Display for Slot {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Ota(slot) => write!(f, "ota_{slot}"),
            Self::Factory => f.write_str("factory"),
            Self::Test => f.write_str("test"),
        }
    }
}

/// "Erase this sector, then write this record at its start": two flash operations, and a power cut can come between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewrite {
    /// Sector in the partition, 0 or 1.
    pub sector: usize,
    /// The record to write after the erase.
    pub record: Record,
}

impl Rewrite {
    /// Offset of the sector in the partition, in bytes.
    #[must_use]
    pub const fn offset(&self) -> u32 {
        if self.sector == 0 { 0 } else { SECTOR_SIZE }
    }

    /// Does the rewrite on records in memory, as if both operations had succeeded.
    pub const fn apply(&self, records: &mut [Record; 2]) {
        let [first, second] = records;
        if self.sector == 0 {
            *first = self.record;
        } else {
            *second = self.record;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_is_that_of_the_boot_loader() {
        let known = [
            (1, 0x4743_989A),
            (2, 0x55F6_3774),
            (3, 0xED4A_5011),
            (4, 0x709D_68A8),
            (5, 0xC821_0FCD),
            (0, 0xFFFF_FFFF),
            (u32::MAX, 0x2144_DF1C),
        ];
        for (seq, expected) in known {
            assert_eq!(crc(seq), expected, "sequence number {seq:#x}");
        }
    }

    #[test]
    fn sequence_number_zero_on_erased_flash_is_valid() {
        let torn = Record {
            seq: 0,
            ..Record::ERASED
        };
        assert!(torn.is_valid() && !torn.is_virgin());
        assert_eq!(torn.slot(2), Some(1));
        assert_eq!(torn.slot(3), Some(0));
        assert_eq!(torn.slot(0), None);
    }

    #[test]
    fn predicates_differ_where_the_reference_differs() {
        let erased = Record::ERASED;
        assert!(erased.is_invalid() && !erased.is_valid() && erased.is_virgin());
        let aborted = Record::new(1, State::Aborted);
        assert!(aborted.is_invalid() && !aborted.is_valid() && !aborted.is_virgin());
        let torn = Record {
            crc: 0,
            ..Record::new(1, State::Valid)
        };
        assert!(!torn.is_invalid() && !torn.is_valid() && torn.is_virgin());
        let unknown = Record::new(1, State::Other(5));
        assert!(unknown.is_valid());
    }

    #[test]
    fn the_larger_sequence_number_wins_and_a_tie_goes_to_the_first() {
        let low = Record::new(0x7FFF_FFFF, State::Valid);
        let high = Record::new(0x8000_0000, State::Valid);
        assert_eq!(active(&[low, high]), Some(1));
        assert_eq!(active(&[high, low]), Some(0));
        assert_eq!(active(&[high, high]), Some(0));
        assert_eq!(active(&[low, Record::ERASED]), Some(0));
        assert_eq!(active(&[Record::ERASED; 2]), None);
    }

    proptest::proptest! {
        #[test]
        fn parse_and_emit_are_inverse(bytes: [u8; RECORD_LEN]) {
            proptest::prop_assert_eq!(Record::parse(&bytes).emit(), bytes);
        }
    }
}
