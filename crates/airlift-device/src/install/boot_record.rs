//! A boot selection of our own, for boards whose boot loader is ours: two copies of one record, each in a sector.
//!
//! ```text
//! 0  "ALBR"      magic
//! 4  sequence    u32, little endian; the whole copy with the higher one is the state
//! 8  confirmed   slot that boots
//! 9  trial       slot to be tried, 0xFF: none
//! 10 state       of the trial: 0 none, 1 armed, 2 on trial, 3 rejected
//! 11 0xFF...
//! 28 crc         CRC-32 of bytes 0..28
//! ```
//!
//! The whole state is in one record, and a change writes the copy that is *not* the state: a cut leaves the old state or
//! the new one. (ESP-IDF's `otadata` has a state and a CRC that does not cover it, a record for each slot, and rewrites
//! records in place: a cut there can lose one.)

use super::super::{MaybeAsyncFnMut, NorFlash, dual};
use super::{BootControl, SlotState, replace_sector};
use crate::Error;
use crate::flash::{ERASED, Region};
use crate::record::crc;

const MAGIC: [u8; 4] = *b"ALBR";
const LEN: usize = 32;
const NONE: u8 = 0xFF;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Trial {
    None = 0,
    Armed = 1,
    Running = 2,
    Rejected = 3,
}

/// The state: what boots, and what is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    sequence: u32,
    confirmed: u8,
    trial_slot: u8,
    trial: Trial,
}

impl State {
    const fn emit(self) -> [u8; LEN] {
        let [m0, m1, m2, m3] = MAGIC;
        let [s0, s1, s2, s3] = self.sequence.to_le_bytes();
        let mut bytes = [ERASED; LEN];
        if let Some((head, _)) = bytes.split_first_chunk_mut::<11>() {
            *head = [
                m0,
                m1,
                m2,
                m3,
                s0,
                s1,
                s2,
                s3,
                self.confirmed,
                self.trial_slot,
                self.trial as u8,
            ];
        }
        bytes
    }

    fn seal(self) -> [u8; LEN] {
        let mut bytes = self.emit();
        if let Some((body, check)) = bytes.split_last_chunk_mut::<4>() {
            *check = crc(body).to_le_bytes();
        }
        bytes
    }

    fn parse(bytes: &[u8; LEN]) -> Option<Self> {
        let (body, check) = bytes.split_last_chunk::<4>()?;
        let (magic, rest) = body.split_first_chunk::<4>()?;
        let (sequence, rest) = rest.split_first_chunk::<4>()?;
        let ([confirmed, trial_slot, trial], _) = rest.split_first_chunk::<3>()?;
        if *magic != MAGIC || crc(body) != u32::from_le_bytes(*check) {
            return None;
        }
        Some(Self {
            sequence: u32::from_le_bytes(*sequence),
            confirmed: *confirmed,
            trial_slot: *trial_slot,
            trial: match trial {
                0 => Trial::None,
                1 => Trial::Armed,
                2 => Trial::Running,
                3 => Trial::Rejected,
                _ => return None,
            },
        })
    }
}

/// The two-copy boot record: [`BootControl`] for boards that boot with [`boot`].
#[derive(Clone, Copy, Debug)]
pub struct BootRecord {
    region: Region,
}

#[dual(AFIT)]
impl BootRecord {
    /// The record in `region`: two sectors.
    pub const fn new(region: Region) -> Self {
        Self { region }
    }

    /// The state, and which copy holds it.
    async fn read<F: NorFlash>(&self, flash: &mut F) -> Option<(State, u32)> {
        let mut newest: Option<(State, u32)> = None;
        for copy in 0..2 {
            let address = self.region.offset + copy * F::ERASE_SIZE as u32;
            // A copy that cannot be read is a torn one: the other is the state.
            let mut bytes = [0; LEN];
            if flash.read(address, &mut bytes).await.is_ok()
                && let Some(state) = State::parse(&bytes)
                && newest.is_none_or(|(newest, _)| state.sequence > newest.sequence)
            {
                newest = Some((state, copy));
            }
        }
        newest
    }

    /// Makes a changed state the state, if it is a change.
    async fn write<F: NorFlash>(
        &self,
        flash: &mut F,
        confirmed: u8,
        trial_slot: u8,
        trial: Trial,
    ) -> Result<(), Error<F::Error>> {
        let (sequence, copy) = match self.read(flash).await {
            Some((old, _))
                if (old.confirmed, old.trial_slot, old.trial) == (confirmed, trial_slot, trial) =>
            {
                return Ok(());
            }
            Some((old, copy)) => (
                old.sequence.checked_add(1).ok_or(Error::BootSelection)?,
                1 - copy,
            ),
            None => (1, 0),
        };
        let bytes = State {
            sequence,
            confirmed,
            trial_slot,
            trial,
        }
        .seal();
        let address = self.region.offset + copy * F::ERASE_SIZE as u32;
        replace_sector(flash, address, F::ERASE_SIZE as u32, &bytes).await
    }
}

#[dual(AFIT)]
impl BootControl for BootRecord {
    fn region(&self) -> Region {
        self.region
    }

    async fn slot_state<F: NorFlash>(
        &mut self,
        flash: &mut F,
        slot: u8,
    ) -> Result<SlotState, Error<F::Error>> {
        Ok(match self.read(flash).await {
            Some((state, _)) if state.trial_slot == slot && state.trial != Trial::None => {
                match state.trial {
                    Trial::Armed => SlotState::Armed,
                    Trial::Running => SlotState::OnTrial,
                    Trial::Rejected | Trial::None => SlotState::Rejected,
                }
            }
            Some((state, _)) if state.confirmed == slot => SlotState::Confirmed,
            _ => SlotState::Unnamed,
        })
    }

    async fn release<F: NorFlash>(
        &mut self,
        flash: &mut F,
        _slot: u8,
        running: Option<u8>,
    ) -> Result<(), Error<F::Error>> {
        self.write(flash, running.unwrap_or(NONE), NONE, Trial::None)
            .await
    }

    async fn start_trial<F: NorFlash>(
        &mut self,
        flash: &mut F,
        slot: u8,
        running: Option<u8>,
    ) -> Result<(), Error<F::Error>> {
        self.write(flash, running.unwrap_or(NONE), slot, Trial::Armed)
            .await
    }

    async fn confirm<F: NorFlash>(
        &mut self,
        flash: &mut F,
        slot: u8,
    ) -> Result<(), Error<F::Error>> {
        self.write(flash, slot, NONE, Trial::None).await
    }

    async fn reject<F: NorFlash>(
        &mut self,
        flash: &mut F,
        slot: u8,
    ) -> Result<(), Error<F::Error>> {
        let confirmed = self
            .read(flash)
            .await
            .map_or(NONE, |(state, _)| state.confirmed);
        self.write(flash, confirmed, slot, Trial::Rejected).await
    }
}

/// What [`boot`] decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Booting {
    /// The slot to jump to.
    pub slot: u8,
    /// It is started on trial.
    pub trial: bool,
}

/// The boot loader's half: which of `slots` slots to start now.
///
/// `verify` says whether the image in a slot is whole; it is asked at every boot. A trial that was running when this is
/// called was not confirmed, and is given up before anything else. `Ok(None)`: no slot holds a whole image.
#[dual(AFIT)]
pub async fn boot<F: NorFlash, V: MaybeAsyncFnMut(&mut F, u8) -> bool>(
    flash: &mut F,
    record: &BootRecord,
    slots: u8,
    mut verify: V,
) -> Result<Option<Booting>, Error<F::Error>> {
    let state = record.read(flash).await.map(|(state, _)| state);
    let mut confirmed = 0;
    if let Some(state) = state {
        confirmed = state.confirmed;
        let slot = state.trial_slot;
        match state.trial {
            Trial::Armed if slot < slots && verify(flash, slot).await => {
                record.write(flash, confirmed, slot, Trial::Running).await?;
                return Ok(Some(Booting { slot, trial: true }));
            }
            Trial::Armed | Trial::Running => {
                record
                    .write(flash, confirmed, slot, Trial::Rejected)
                    .await?;
            }
            Trial::None | Trial::Rejected => {}
        }
    }
    // The confirmed slot; if its image is damaged, or nothing is recorded yet, the first whole one.
    for slot in core::iter::once(confirmed).chain(0..slots) {
        if slot < slots && verify(flash, slot).await {
            return Ok(Some(Booting { slot, trial: false }));
        }
    }
    Ok(None)
}
