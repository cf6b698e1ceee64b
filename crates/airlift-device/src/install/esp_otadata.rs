//! The boot selection of ESP-IDF: the `otadata` partition, as its second-stage boot loader reads it.
//!
//! Two sectors with a record each; a record names a slot by its sequence number: (sequence - 1) mod slots. A record can
//! only be changed by erasing its sector, and a cut between erase and write loses it. So the record that names the
//! running, confirmed app is never touched while another changes, and the trial's record is the only one that is
//! rewritten: what a cut can lose is the trial, never the way back.

use airlift_formats::esp::otadata::{self, RECORD_LEN, Record, SECTOR_SIZE, State};

use super::super::{NorFlash, dual};
use super::{BootControl, SlotState, write_record};
use crate::Error;
use crate::flash::Region;

/// [`BootControl`] over an `otadata` partition.
#[derive(Clone, Copy, Debug)]
pub struct EspOtadata {
    region: Region,
    slots: u8,
    /// Sectors that this program erased and did not write since. Kept in memory only, so no power cut lies between.
    erased: [bool; 2],
}

#[dual(AFIT)]
impl EspOtadata {
    /// The `otadata` partition at `region` (two sectors of 4 KiB) of a device with the slots `ota_0` to `ota_(slots-1)`.
    pub const fn new(region: Region, slots: u8) -> Self {
        Self {
            region,
            slots,
            erased: [false; 2],
        }
    }

    const fn address(&self, sector: usize) -> u32 {
        self.region.offset + if sector == 0 { 0 } else { SECTOR_SIZE }
    }

    async fn read<F: NorFlash>(&self, flash: &mut F) -> [Record; 2] {
        let mut records = [Record::ERASED; 2];
        for (sector, record) in records.iter_mut().enumerate() {
            // A record that cannot be read is a torn one; it never stands in the way of the other.
            let mut bytes = [0; RECORD_LEN];
            if flash.read(self.address(sector), &mut bytes).await.is_ok() {
                *record = Record::parse(&bytes);
            }
        }
        records
    }

    /// The slot that a whole record names, whatever its state.
    fn names(&self, record: &Record) -> Option<u8> {
        if record.seq == u32::MAX || !record.is_crc_valid() || self.slots == 0 {
            return None;
        }
        Some((record.seq.wrapping_sub(1) % u32::from(self.slots)) as u8)
    }

    /// The sector of the record that names `slot`; of two, the one with the higher sequence number.
    fn sector_of(&self, records: &[Record; 2], slot: u8) -> Option<usize> {
        let [first, second] = records;
        match (
            self.names(first) == Some(slot),
            self.names(second) == Some(slot),
        ) {
            (true, true) => Some(usize::from(second.seq > first.seq)),
            (true, false) => Some(0),
            (false, true) => Some(1),
            (false, false) => None,
        }
    }

    async fn erase<F: NorFlash>(
        &mut self,
        flash: &mut F,
        sector: usize,
    ) -> Result<(), Error<F::Error>> {
        if !self.erased.get(sector).copied().unwrap_or(false) {
            let from = self.address(sector);
            flash
                .erase(from, from + SECTOR_SIZE)
                .await
                .map_err(Error::Flash)?;
            self.set_erased(sector, true);
        }
        Ok(())
    }

    fn set_erased(&mut self, sector: usize, erased: bool) {
        if let Some(flag) = self.erased.get_mut(sector) {
            *flag = erased;
        }
    }

    async fn write<F: NorFlash>(
        &mut self,
        flash: &mut F,
        sector: usize,
        seq: u32,
        state: State,
    ) -> Result<(), Error<F::Error>> {
        let bytes = Record::new(seq, state).emit();
        self.erase(flash, sector).await?;
        self.set_erased(sector, false);
        write_record(flash, self.address(sector), &bytes).await
    }

    /// Writes a record that names `slot` into the sector that is not the boot loader's choice now, so that it becomes the
    /// choice.
    async fn write_new<F: NorFlash>(
        &mut self,
        flash: &mut F,
        records: &[Record; 2],
        slot: u8,
        state: State,
    ) -> Result<(), Error<F::Error>> {
        let active = otadata::active(records);
        let current = active.and_then(|sector| records.get(sector));
        let seq = otadata::next_seq(current.map(|record| record.seq), slot, self.slots)
            .map_err(|_| Error::BootSelection)?;
        let sector = usize::from(active == Some(0));
        self.write(flash, sector, seq, state).await
    }

    /// Rewrites the record of `slot` in place, or makes one if there is none.
    async fn set_state<F: NorFlash>(
        &mut self,
        flash: &mut F,
        slot: u8,
        state: State,
    ) -> Result<(), Error<F::Error>> {
        let records = self.read(flash).await;
        let sector = self.sector_of(&records, slot);
        match sector.and_then(|sector| Some((sector, records.get(sector)?))) {
            Some((_, record)) if record.state == state => Ok(()),
            Some((sector, record)) => self.write(flash, sector, record.seq, state).await,
            None => self.write_new(flash, &records, slot, state).await,
        }
    }
}

#[dual(AFIT)]
impl BootControl for EspOtadata {
    fn region(&self) -> Region {
        self.region
    }

    async fn slot_state<F: NorFlash>(
        &mut self,
        flash: &mut F,
        slot: u8,
    ) -> Result<SlotState, Error<F::Error>> {
        let records = self.read(flash).await;
        let sector = self.sector_of(&records, slot);
        let record = sector.and_then(|sector| records.get(sector));
        Ok(
            record.map_or(SlotState::Unnamed, |record| match record.state {
                State::New => SlotState::Armed,
                State::PendingVerify => SlotState::OnTrial,
                State::Invalid | State::Aborted => SlotState::Rejected,
                // The boot loader boots what it does not know.
                State::Valid | State::Undefined | State::Other(_) => SlotState::Confirmed,
            }),
        )
    }

    async fn release<F: NorFlash>(
        &mut self,
        flash: &mut F,
        slot: u8,
        running: Option<u8>,
    ) -> Result<(), Error<F::Error>> {
        let mut records = self.read(flash).await;
        let active = otadata::active(&records);
        let boots = active.and_then(|sector| self.names(records.get(sector)?));
        // First what runs becomes what boots; only then can records of the slot go.
        if let Some(running) = running
            && boots != Some(running)
        {
            // The boot loader fell back to this app, or was never told of it. Where its record is whole and merely the
            // older one, dropping the newer is enough, and writing would risk the only good record.
            let own = self.sector_of(&records, running);
            let own = own.and_then(|own| records.get(own));
            match active {
                Some(active) if own.is_some_and(Record::is_valid) => {
                    self.erase(flash, active).await?;
                }
                _ => {
                    self.write_new(flash, &records, running, State::Valid)
                        .await?;
                }
            }
            records = self.read(flash).await;
        }
        // With a factory app running, no record may remain that the boot loader would follow.
        for (sector, record) in records.iter().enumerate() {
            let named = self.names(record);
            if named == Some(slot) || (running.is_none() && named.is_some()) {
                self.erase(flash, sector).await?;
            }
        }
        Ok(())
    }

    async fn start_trial<F: NorFlash>(
        &mut self,
        flash: &mut F,
        slot: u8,
        _running: Option<u8>,
    ) -> Result<(), Error<F::Error>> {
        let records = self.read(flash).await;
        self.write_new(flash, &records, slot, State::New).await
    }

    async fn confirm<F: NorFlash>(
        &mut self,
        flash: &mut F,
        slot: u8,
    ) -> Result<(), Error<F::Error>> {
        self.set_state(flash, slot, State::Valid).await
    }

    async fn reject<F: NorFlash>(
        &mut self,
        flash: &mut F,
        slot: u8,
    ) -> Result<(), Error<F::Error>> {
        self.set_state(flash, slot, State::Invalid).await
    }
}
