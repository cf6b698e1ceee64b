//! One record of the journal, as bytes: see `docs/journal.md`.

use crc::{CRC_32_ISO_HDLC, Crc, NoTable};

/// Bytes of one record; a multiple of every supported flash word (1 to 64 bytes).
pub const RECORD_LEN: u32 = 64;

const MAGIC: u16 = 0x4A41; // "AJ"
const VERSION: u8 = 1;

/// The step that an update has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// The slot is being written; the marks say how far.
    Downloading = 1,
    /// Whole and verified in the slot; the boot selection does not name it.
    Staged = 2,
    /// The boot selection is being, or has been, told to try the slot.
    Armed = 3,
    /// The image runs on trial.
    OnTrial = 4,
    /// The application said that the image is good; the boot selection is being told.
    Confirming = 5,
    /// The application said that the image is bad; the boot selection is being told.
    Rejecting = 6,
    /// Ended: the image runs and is confirmed.
    Confirmed = 7,
    /// Ended: the boot loader or the application went back to the image before.
    RolledBack = 8,
    /// Ended: the image was refused before it became bootable.
    Refused = 9,
}

impl Phase {
    /// The boot selection may be about to change, or have changed, because of the update.
    pub(crate) const fn is_pending(self) -> bool {
        matches!(
            self,
            Self::Staged | Self::Armed | Self::OnTrial | Self::Confirming | Self::Rejecting
        )
    }

    pub(crate) fn is_trial(self) -> bool {
        matches!(self, Self::OnTrial | Self::Confirming)
    }

    const fn from_u8(value: u8) -> Option<Self> {
        Some(match value {
            1 => Self::Downloading,
            2 => Self::Staged,
            3 => Self::Armed,
            4 => Self::OnTrial,
            5 => Self::Confirming,
            6 => Self::Rejecting,
            7 => Self::Confirmed,
            8 => Self::RolledBack,
            9 => Self::Refused,
            _ => return None,
        })
    }
}

/// One state of one update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// How far the update is.
    pub phase: Phase,
    /// The slot that it goes to.
    pub slot: u8,
    /// How often the boot selection was told to try the image.
    pub attempts: u8,
    /// Why it ended, for [`Phase::RolledBack`], [`Phase::Rejecting`] and [`Phase::Refused`]: see
    /// [`Refusal::code`](crate::Refusal::code) and [`Outcome`](crate::Outcome). 0: no reason.
    pub reason: u8,
    /// The outcome has been told to the server.
    pub reported: bool,
    /// Length of the image in bytes.
    pub length: u32,
    /// Bytes of the image that one mark stands for; a multiple of the sector size. 0: no marks.
    pub stride: u32,
    /// SHA-256 of the image.
    pub sha256: [u8; 32],
}

impl Record {
    pub(crate) fn emit(&self, sequence: u32) -> [u8; RECORD_LEN as usize] {
        let mut bytes = [0; RECORD_LEN as usize];
        let (body, check) = bytes.split_at_mut(RECORD_LEN as usize - 4);
        let fields: [&[u8]; 6] = [
            &MAGIC.to_le_bytes(),
            &[
                VERSION,
                self.phase as u8,
                self.slot,
                self.attempts,
                self.reason,
                self.reported.into(),
            ],
            &sequence.to_le_bytes(),
            &self.length.to_le_bytes(),
            &self.stride.to_le_bytes(),
            &self.sha256,
        ];
        for (to, from) in body.iter_mut().zip(fields.into_iter().flatten()) {
            *to = *from;
        }
        check.copy_from_slice(&crc(body).to_le_bytes());
        bytes
    }

    pub(crate) fn parse(bytes: &[u8; RECORD_LEN as usize]) -> Option<(u32, Self)> {
        let (body, check) = bytes.split_last_chunk::<4>()?;
        let (head, rest) = body.split_first_chunk::<8>()?;
        let [m0, m1, version, phase, slot, attempts, reason, reported] = *head;
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
        let (sha256, _) = rest.split_first_chunk::<32>()?;
        let record = Self {
            phase: Phase::from_u8(phase)?,
            slot,
            attempts,
            reason,
            reported: reported != 0,
            length: u32::from_le_bytes(*length),
            stride: u32::from_le_bytes(*stride),
            sha256: *sha256,
        };
        Some((u32::from_le_bytes(*sequence), record))
    }

    /// How many marks the record has behind it.
    pub(crate) const fn marks(&self) -> u32 {
        match self.stride {
            0 => 0,
            stride => self.length.div_ceil(stride),
        }
    }
}

/// CRC-32 (IEEE), bit by bit: a table would cost more flash than the journal itself.
pub(crate) fn crc(bytes: &[u8]) -> u32 {
    const CRC: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);
    CRC.checksum(bytes)
}
