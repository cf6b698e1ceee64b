//! With a backup: the old content is whole somewhere until the new one is whole in its place.

use super::super::install::BootControl;
use super::super::journal::Phase;
use super::super::updater::Updater;
use super::super::{NorFlash, dual};
use super::{
    AfterCut, Job, Partition, RESUMES, Room, Scheme, copy, digest_of, restore_now, sealed,
};
use crate::{Error, Offer, Refusal};

/// Copies the old content away and verifies the copy, before it erases the partition and writes the new content in place. Whatever happens,
/// the partition ends up with the whole old or the whole new content.
///
/// The copy is only needed while the partition is written: the room can be the passive app slot.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backup {
    /// Where the copy is kept.
    pub room: Room,
    /// How many bytes of the partition, from its start, are in use; `None`: all of it. The rest is not copied, and is erased if the old content
    /// is put back.
    pub used: Option<u32>,
    /// What is done at boot when the update was interrupted.
    pub after_cut: AfterCut,
}

impl Backup {
    fn length(&self, partition: u32) -> u32 {
        // A copy of nothing would be none.
        self.used.unwrap_or(partition).clamp(1, partition.max(1))
    }
}

impl sealed::Sealed for Backup {}

#[dual(AFIT)]
impl Scheme for Backup {
    fn code(&self) -> u8 {
        match self.after_cut {
            AfterCut::Restore => 2,
            AfterCut::Resume => 2 | RESUMES,
        }
    }

    fn room(&self) -> Option<Room> {
        Some(self.room)
    }

    fn needs(&self, partition: &Partition, _offer: &Offer) -> u32 {
        self.length(partition.region.len)
    }

    fn first_phase(&self) -> Phase {
        Phase::Writing
    }

    async fn prepare<F: NorFlash, B: BootControl>(
        &self,
        job: &mut Job,
        updater: &mut Updater<'_, F, B>,
        buffer: &mut [u8],
    ) -> Result<(), Error<F::Error>> {
        if job.damaged {
            // The only good copy of what it held is there already, or there is none.
            return Ok(());
        }
        updater.vacate(job.copy.place, job.subject).await?;
        job.enter(updater, Phase::Saving, 0).await?;
        let length = self.length(job.region.len);
        let flash = &mut updater.flash;
        let saved = copy(flash, job.region, length, job.copy.place, false, buffer)
            .await
            .map_err(Error::Flash)?;
        let found = digest_of(flash, job.copy.place, length, buffer)
            .await
            .map_err(Error::Flash)?;
        if found != saved {
            let refusal = Refusal::ReadBack;
            job.enter(updater, Phase::Declined, refusal.code()).await?;
            return Err(refusal.into());
        }
        // Recorded with the first record that lets the partition be written.
        job.copy.length = length;
        job.copy.sha256 = saved;
        Ok(())
    }

    async fn give_up<F: NorFlash, B: BootControl>(
        &self,
        job: &mut Job,
        updater: &mut Updater<'_, F, B>,
        buffer: &mut [u8],
        refusal: Refusal,
    ) -> Result<(), Error<F::Error>> {
        job.enter(updater, Phase::Restoring, refusal.code()).await?;
        if job.copy.length == 0 {
            return Ok(());
        }
        restore_now(job, updater, buffer).await
    }
}
