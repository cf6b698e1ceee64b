//! By way of another place: the old content stays in use until the new one is whole and verified, and is then copied in.

use super::super::install::BootControl;
use super::super::journal::Phase;
use super::super::updater::Updater;
use super::super::{NorFlash, dual};
use super::{BootRisk, Job, PartitionKind, Room, Scheme, copy, digest_of, restore_now, sealed};
use crate::{Error, Refusal};

/// Fetches the new content to another place and verifies it there, before the partition is erased and the content copied in. An interrupted copy
/// is finished at the next boot.
#[derive(Clone, Copy, Debug, Default)]
pub struct Staged {
    /// Where the new content is fetched to.
    pub room: Room,
}

/// [`Staged`], for the boot loader and the partition table.
#[derive(Clone, Copy, Debug)]
pub struct StagedBoot {
    /// Where the new content is fetched to.
    pub room: Room,
    /// What happens if the power fails while the partition itself is written.
    pub risk: BootRisk,
}

impl sealed::Sealed for Staged {}
impl sealed::Sealed for StagedBoot {}

#[dual(AFIT)]
impl Scheme for Staged {
    fn code(&self) -> u8 {
        3
    }

    fn room(&self) -> Option<Room> {
        Some(self.room)
    }

    fn first_phase(&self) -> Phase {
        Phase::Staging
    }

    async fn complete<F: NorFlash, B: BootControl>(
        &self,
        job: &mut Job,
        updater: &mut Updater<'_, F, B>,
        buffer: &mut [u8],
    ) -> Result<(), Error<F::Error>> {
        copy_in(job, updater, buffer).await
    }
}

#[dual(AFIT)]
impl Scheme for StagedBoot {
    fn code(&self) -> u8 {
        4
    }

    fn suits(&self, kind: PartitionKind) -> bool {
        match kind {
            PartitionKind::BootLoader => true,
            // There is no second table that a chip would look at.
            PartitionKind::PartitionTable => matches!(self.risk, BootRisk::Bricks(_)),
            _ => false,
        }
    }

    fn room(&self) -> Option<Room> {
        Some(self.room)
    }

    fn first_phase(&self) -> Phase {
        Phase::Staging
    }

    async fn prepare<F: NorFlash, B: BootControl>(
        &self,
        job: &mut Job,
        updater: &mut Updater<'_, F, B>,
        _buffer: &mut [u8],
    ) -> Result<(), Error<F::Error>> {
        self.check_recovery(job, updater).await
    }

    async fn complete<F: NorFlash, B: BootControl>(
        &self,
        job: &mut Job,
        updater: &mut Updater<'_, F, B>,
        buffer: &mut [u8],
    ) -> Result<(), Error<F::Error>> {
        self.check_recovery(job, updater).await?;
        // A boot loader that is not whole must not take the place of the one that starts the chip now.
        if let BootRisk::RecoveryBootLoader(recovery) = self.risk
            && !job.damaged
        {
            updater.vacate(recovery, job.subject).await?;
            // The boot loader that works, before it is touched. A cut in here leaves it in its place, and the staged one too.
            let (flash, from) = (&mut updater.flash, job.region);
            let saved = copy(flash, from, from.len, recovery, false, buffer)
                .await
                .map_err(Error::Flash)?;
            let found = digest_of(flash, recovery, from.len, buffer)
                .await
                .map_err(Error::Flash)?;
            if found != saved {
                return Err(Refusal::ReadBack.into());
            }
        }
        copy_in(job, updater, buffer).await
    }
}

#[dual(AFIT)]
impl StagedBoot {
    /// Refuses a region that is no room for the boot loader that works.
    async fn check_recovery<F: NorFlash, B: BootControl>(
        &self,
        job: &Job,
        updater: &mut Updater<'_, F, B>,
    ) -> Result<(), Error<F::Error>> {
        if let BootRisk::RecoveryBootLoader(recovery) = self.risk {
            if recovery.overlaps(job.copy.place) {
                return Err(Refusal::CopyInPartition.into());
            }
            updater
                .check_room(Room::At(recovery), job.region, job.region.len, job.subject)
                .await?;
        }
        Ok(())
    }
}

/// The content is whole in its place: from here on it is rolled forward.
#[dual(AFIT)]
async fn copy_in<F: NorFlash, B: BootControl>(
    job: &mut Job,
    updater: &mut Updater<'_, F, B>,
    buffer: &mut [u8],
) -> Result<(), Error<F::Error>> {
    job.copy.length = job.offer.length;
    job.copy.sha256 = job.offer.sha256;
    job.enter(updater, Phase::Copying, 0).await?;
    restore_now(job, updater, buffer).await
}
