//! One record of the journal, as bytes: see `docs/journal.md`.

use crc::{CRC_32_ISO_HDLC, Crc, Digest};

use crate::flash::Region;

/// Bytes of the head of a record, and of each block of its tail; a multiple of every supported flash word (1 to 64 bytes).
pub const RECORD_LEN: u32 = 64;

/// Bytes that the tail of a record can hold.
pub const TAIL_LEN: usize = TAIL_BLOCKS * BLOCK_ROOM - CHECK_LEN;

const TAIL_BLOCKS: usize = 4;
/// The first byte of a tail's block is [`TAIL_MARK`].
const BLOCK_ROOM: usize = RECORD_LEN as usize - 1;
const CHECK_LEN: usize = 4;

const MAGIC: u16 = 0x4A41; // "AJ"
const VERSION: u8 = 2;

/// First byte of every block of a tail. What is in a tail can come from outside: a block must never be taken for a record, also when
/// a torn erase has spared the tail and not the record that it belongs to.
const TAIL_MARK: u8 = b'T';

/// Flags of a record.
const REPORTED: u8 = 1;
const GONE: u8 = 2;
/// The record is the first one of its page that does not merely repeat one of the page before.
const SEAL: u8 = 4;
const TAIL_SHIFT: u32 = 4;

/// What a record is about. There is one state for each subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject(pub(crate) u32);

impl Subject {
    /// The app update.
    pub const APP: Self = Self(0);

    /// The partition that starts at `offset`. Partitions start at sectors, so the low bits are free.
    pub const fn partition(offset: u32) -> Self {
        Self(offset | 1)
    }

    /// The data that the app in `slot` wants: the second step of a two-step update.
    pub const fn data_of(slot: u8) -> Self {
        Self((slot as u32) << 8 | 2)
    }

    /// The update of several parts as one.
    pub const SET: Self = Self(3);

    /// Start of the partition that it is about.
    pub const fn partition_offset(self) -> Option<u32> {
        if self.0 & 3 == 1 {
            Some(self.0 & !3)
        } else {
            None
        }
    }

    /// The slot of the app whose data it is about.
    pub const fn slot(self) -> Option<u8> {
        if self.0 & 3 == 2 {
            Some((self.0 >> 8) as u8)
        } else {
            None
        }
    }
}

/// The step that an update has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Nothing is known of the subject any more.
    Void = 0,

    /// App: the slot is being written; the marks say how far.
    Downloading = 1,
    /// App: whole and verified in the slot; the boot selection does not name it.
    Staged = 2,
    /// App: the boot selection is being, or has been, told to try the slot.
    Armed = 3,
    /// App: the image runs on trial.
    OnTrial = 4,
    /// App: the application said that the image is good; the boot selection is being told.
    Confirming = 5,
    /// App: the application said that the image is bad; the boot selection is being told.
    Rejecting = 6,
    /// App, ended: the image runs and is confirmed.
    Confirmed = 7,
    /// App, ended: the boot loader or the application went back to the image before.
    RolledBack = 8,
    /// App, ended: the image was refused before it became bootable.
    Refused = 9,
    /// App: whole and verified in the slot, and a part of a set that is not applied yet; the boot selection does not name it.
    Held = 10,

    /// Partition: its old content is being copied to the backup. The partition is whole.
    Saving = 16,
    /// Partition: it is being written; the marks say how far. It is not whole.
    Writing = 17,
    /// Partition: the new content is being written to the staging place. The partition is whole.
    Staging = 18,
    /// Partition: the new content is whole and verified in the staging place. The partition is whole.
    Ready = 19,
    /// Partition: the new content is being copied from the staging place to it. It is not whole.
    Copying = 20,
    /// Partition: its content is being put back. It is not whole.
    Restoring = 21,
    /// Partition, ended: it holds the new content.
    Updated = 22,
    /// Partition, ended: what it held before was put back.
    Restored = 23,
    /// Partition, ended: it was never touched.
    Declined = 24,

    /// Partition in a set: its old content is saved, and the new one is being copied in. It is not whole.
    Replacing = 25,
    /// Partition in a set: it holds the new content, and the old one is kept until the set has proved itself.
    Replaced = 26,
    /// Partition in a set: its old content is being put back. It is not whole.
    Undoing = 27,

    /// Data of an app: they are in no slot.
    Missing = 32,
    /// Data of an app: they are being written; the marks say how far.
    Fetching = 33,
    /// Data of an app: whole and verified in the slot.
    Present = 34,

    /// Set: every part is staged and verified; from here on the set is rolled forward.
    Committed = 48,
    /// Set: a part could not be applied, or the app did not stay; what was applied is being undone.
    Reverting = 49,
    /// Set, ended: every part is applied, and the app confirmed.
    Done = 50,
    /// Set, ended: every part is what it was before.
    Reverted = 51,
    /// Set, ended: it was applied in sequence, or given up, and its parts need not be one world.
    Partly = 52,
}

impl Phase {
    /// The boot selection may be about to change, or have changed, because of the update.
    pub(crate) const fn is_pending(self) -> bool {
        matches!(
            self,
            Self::Staged | Self::Armed | Self::OnTrial | Self::Confirming | Self::Rejecting
        )
    }

    pub(crate) const fn is_trial(self) -> bool {
        matches!(self, Self::OnTrial | Self::Confirming)
    }

    /// The partition is in the hands of a set.
    pub(crate) const fn is_of_set(self) -> bool {
        matches!(self, Self::Replacing | Self::Replaced | Self::Undoing)
    }

    /// The set is neither whole nor undone.
    pub(crate) const fn is_set_pending(self) -> bool {
        matches!(self, Self::Committed | Self::Reverting)
    }

    /// Nothing is lost when the record is forgotten, once the outcome was reported.
    pub(crate) const fn is_ended(self) -> bool {
        matches!(self, Self::Updated | Self::Restored | Self::Declined)
    }

    const fn from_u8(value: u8) -> Option<Self> {
        Some(match value {
            0 => Self::Void,
            1 => Self::Downloading,
            2 => Self::Staged,
            3 => Self::Armed,
            4 => Self::OnTrial,
            5 => Self::Confirming,
            6 => Self::Rejecting,
            7 => Self::Confirmed,
            8 => Self::RolledBack,
            9 => Self::Refused,
            10 => Self::Held,
            16 => Self::Saving,
            17 => Self::Writing,
            18 => Self::Staging,
            19 => Self::Ready,
            20 => Self::Copying,
            21 => Self::Restoring,
            22 => Self::Updated,
            23 => Self::Restored,
            24 => Self::Declined,
            25 => Self::Replacing,
            26 => Self::Replaced,
            27 => Self::Undoing,
            32 => Self::Missing,
            33 => Self::Fetching,
            34 => Self::Present,
            48 => Self::Committed,
            49 => Self::Reverting,
            50 => Self::Done,
            51 => Self::Reverted,
            52 => Self::Partly,
            _ => return None,
        })
    }
}

/// One state of one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it is about.
    pub subject: Subject,
    /// How far the update is.
    pub phase: Phase,
    /// App and data: the slot that the bytes go to. Partition: the scheme. Set: see [`parts_left`](Self::parts_left).
    pub slot: u8,
    /// How often the boot selection was told to try the image.
    pub attempts: u8,
    /// Why it ended, for [`Phase::RolledBack`], [`Phase::Rejecting`], [`Phase::Refused`], [`Phase::Restored`], [`Phase::Declined`], and sets that
    /// are undone or applied partly: see [`Refusal::code`](crate::Refusal::code) and [`Outcome`](crate::Outcome). 0: no reason.
    pub reason: u8,
    /// The outcome has been told to the server.
    pub reported: bool,
    /// App: the slot was needed for something else, and does not hold the image any more. Partition, while new content is on its way to
    /// another place: it was not whole when that began. Set that was applied partly: it was given up while it was undone.
    pub gone: bool,
    /// Length of the image in bytes.
    pub length: u32,
    /// Bytes that were durable when the record was written; the marks count from there. A multiple of the sector size. Set: the tag of the
    /// part that could not be applied.
    pub progress: u32,
    /// Bytes that one mark stands for; a multiple of the sector size. 0: no marks.
    pub stride: u32,
    /// SHA-256 of the image.
    pub sha256: [u8; 32],
}

/// Where a record stands in the journal.
pub(crate) struct Place {
    pub(crate) sequence: u32,
    pub(crate) seal: bool,
    /// Blocks of the tail.
    pub(crate) tail: u8,
}

impl Record {
    /// The state of `subject` in `phase` that has to do with an image.
    pub const fn new(subject: Subject, phase: Phase, length: u32, sha256: [u8; 32]) -> Self {
        Self {
            subject,
            phase,
            slot: 0,
            attempts: 0,
            reason: 0,
            reported: false,
            gone: false,
            length,
            progress: 0,
            stride: 0,
            sha256,
        }
    }

    pub(crate) fn emit(&self, place: &Place) -> [u8; RECORD_LEN as usize] {
        let mut bytes = [0; RECORD_LEN as usize];
        let (body, check) = bytes.split_at_mut(RECORD_LEN as usize - CHECK_LEN);
        let mut flags = place.tail << TAIL_SHIFT;
        for (flag, bit) in [
            (self.reported, REPORTED),
            (self.gone, GONE),
            (place.seal, SEAL),
        ] {
            if flag {
                flags |= bit;
            }
        }
        let fields: [&[u8]; 8] = [
            &MAGIC.to_le_bytes(),
            &[
                VERSION,
                self.phase as u8,
                self.slot,
                self.attempts,
                self.reason,
                flags,
            ],
            &place.sequence.to_le_bytes(),
            &self.length.to_le_bytes(),
            &self.stride.to_le_bytes(),
            &self.sha256,
            &self.subject.0.to_le_bytes(),
            &self.progress.to_le_bytes(),
        ];
        for (to, from) in body.iter_mut().zip(fields.into_iter().flatten()) {
            *to = *from;
        }
        check.copy_from_slice(&crc(body).to_le_bytes());
        bytes
    }

    pub(crate) fn parse(bytes: &[u8; RECORD_LEN as usize]) -> Option<(Place, Self)> {
        let (body, check) = bytes.split_last_chunk::<CHECK_LEN>()?;
        let (head, rest) = body.split_first_chunk::<8>()?;
        let [m0, m1, version, phase, slot, attempts, reason, flags] = *head;
        // The cheap look first: most positions of a journal are blank.
        if u16::from_le_bytes([m0, m1]) != MAGIC
            || version != VERSION
            || crc(body) != u32::from_le_bytes(*check)
        {
            return None;
        }
        let (sequence, rest) = rest.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (stride, rest) = rest.split_first_chunk::<4>()?;
        let (sha256, rest) = rest.split_first_chunk::<32>()?;
        let (subject, rest) = rest.split_first_chunk::<4>()?;
        let (progress, _) = rest.split_first_chunk::<4>()?;
        let place = Place {
            sequence: u32::from_le_bytes(*sequence),
            seal: flags & SEAL != 0,
            tail: flags >> TAIL_SHIFT,
        };
        if usize::from(place.tail) > TAIL_BLOCKS {
            return None;
        }
        let record = Self {
            subject: Subject(u32::from_le_bytes(*subject)),
            phase: Phase::from_u8(phase)?,
            slot,
            attempts,
            reason,
            reported: flags & REPORTED != 0,
            gone: flags & GONE != 0,
            length: u32::from_le_bytes(*length),
            progress: u32::from_le_bytes(*progress),
            stride: u32::from_le_bytes(*stride),
            sha256: *sha256,
        };
        Some((place, record))
    }

    /// Whether what it says of progress can be gone on with, on a flash with these sectors.
    pub(crate) const fn is_sound(&self, sector: u32) -> bool {
        self.progress.is_multiple_of(sector) && self.stride.is_multiple_of(sector)
    }

    /// The partition is not whole.
    pub(crate) const fn is_damaged(&self) -> bool {
        match self.phase {
            Phase::Writing
            | Phase::Copying
            | Phase::Restoring
            | Phase::Replacing
            | Phase::Undoing => true,
            Phase::Staging | Phase::Ready => self.gone,
            _ => false,
        }
    }

    /// Of a set that is undone, or was applied partly: the parts at which that has not been done, bit by bit.
    pub const fn parts_left(&self) -> u16 {
        u16::from_le_bytes([self.slot, self.attempts])
    }

    pub(crate) const fn set_parts_left(&mut self, parts: u16) {
        [self.slot, self.attempts] = parts.to_le_bytes();
    }

    /// How many marks the record has behind it.
    pub(crate) const fn marks(&self) -> u32 {
        if self.stride == 0 {
            return 0;
        }
        // Data in a slot have a header in front, so there can be one more than the length says.
        let end = self.length.saturating_add(RECORD_LEN);
        end.saturating_sub(self.progress).div_ceil(self.stride)
    }
}

/// The tail of a record while it is written or read.
#[derive(Clone, Copy)]
pub(crate) struct Tail {
    pub(crate) bytes: [u8; TAIL_LEN],
}

impl Tail {
    pub(crate) const EMPTY: Self = Self {
        bytes: [0; TAIL_LEN],
    };

    /// How many blocks it takes to hold `len` bytes.
    pub(crate) const fn blocks(len: usize) -> u8 {
        if len == 0 {
            0
        } else {
            (len + CHECK_LEN).div_ceil(BLOCK_ROOM) as u8
        }
    }

    /// Block `number` of `blocks`. The last one ends with a CRC-32 over all bytes, and the record's sequence number, so that it
    /// belongs to that record and no other.
    pub(crate) fn block(&self, number: u8, blocks: u8, sequence: u32) -> [u8; RECORD_LEN as usize] {
        let mut block = [0; RECORD_LEN as usize];
        if let Some((mark, body)) = block.split_first_mut() {
            *mark = TAIL_MARK;
            let from = self.bytes.iter().skip(usize::from(number) * BLOCK_ROOM);
            for (to, from) in body.iter_mut().zip(from) {
                *to = *from;
            }
        }
        if number + 1 == blocks
            && let Some(check) = block.last_chunk_mut::<CHECK_LEN>()
        {
            *check = self.check(blocks, sequence);
        }
        block
    }

    /// Takes a block that was read. `false`: it is none, or the CRC of the last one is wrong.
    pub(crate) fn take(
        &mut self,
        block: &[u8; RECORD_LEN as usize],
        number: u8,
        blocks: u8,
        sequence: u32,
    ) -> bool {
        let Some((mark, body)) = block.split_first() else {
            return false;
        };
        let mut room = BLOCK_ROOM;
        if number + 1 == blocks {
            room -= CHECK_LEN;
        }
        let to = self.bytes.iter_mut().skip(usize::from(number) * BLOCK_ROOM);
        for (to, from) in to.zip(body.iter().take(room)) {
            *to = *from;
        }
        *mark == TAIL_MARK
            && (number + 1 < blocks || block.last_chunk() == Some(&self.check(blocks, sequence)))
    }

    fn check(&self, blocks: u8, sequence: u32) -> [u8; CHECK_LEN] {
        let len = (usize::from(blocks) * BLOCK_ROOM).saturating_sub(CHECK_LEN);
        let mut digest = crc_digest();
        digest.update(self.bytes.get(..len).unwrap_or_default());
        digest.update(&sequence.to_le_bytes());
        digest.finalize().to_le_bytes()
    }
}

/// The tail of a partition's record: where the good copy of some content lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CopyTail {
    /// The whole partition.
    pub(crate) target: u32,
    /// Where the copy lies.
    pub(crate) place: Region,
    /// What it is a copy of: 0 until it is whole.
    pub(crate) length: u32,
    /// Its digest; of a set, and until then, that of the image that the new content comes in.
    pub(crate) sha256: [u8; 32],
    /// Of a set: where the new content is staged.
    pub(crate) staged: Region,
}

impl CopyTail {
    pub(crate) const LEN: usize = 56;

    pub(crate) fn emit(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let fields: [&[u8]; 7] = [
            &self.target.to_le_bytes(),
            &self.place.offset.to_le_bytes(),
            &self.place.len.to_le_bytes(),
            &self.length.to_le_bytes(),
            &self.staged.offset.to_le_bytes(),
            &self.staged.len.to_le_bytes(),
            &self.sha256,
        ];
        for (to, from) in bytes.iter_mut().zip(fields.into_iter().flatten()) {
            *to = *from;
        }
        bytes
    }

    pub(crate) fn parse(tail: &Tail) -> Self {
        let mut words = [0; 6];
        let (bytes, rest) = tail.bytes.split_at_checked(24).unwrap_or_default();
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        let [target, offset, len, length, staged, staged_len] = words;
        Self {
            target,
            place: Region::new(offset, len),
            length,
            sha256: rest.first_chunk().copied().unwrap_or_default(),
            staged: Region::new(staged, staged_len),
        }
    }
}

/// On a microcontroller bit by bit: a table costs 1 KiB. A host that reads journals by the million has the room.
#[cfg(feature = "compact")]
type Method = crc::NoTable;
#[cfg(not(feature = "compact"))]
type Method = crc::Table<1>;

/// CRC-32 (IEEE).
pub(crate) fn crc(bytes: &[u8]) -> u32 {
    let mut digest = crc_digest();
    digest.update(bytes);
    digest.finalize()
}

fn crc_digest() -> Digest<'static, u32, Method> {
    static CRC: Crc<u32, Method> = Crc::<u32, Method>::new(&CRC_32_ISO_HDLC);
    CRC.digest()
}
