//! In place: no room for a copy is needed, and a power cut costs the content until the update has gone on.

use super::super::install::BootControl;
use super::super::journal::Phase;
use super::super::updater::Updater;
use super::super::{NorFlash, dual};
use super::{Job, Partition, PartitionKind, Room, Scheme, sealed};
use crate::{Error, Offer, Refusal};

/// Erases the partition and writes the new content in place.
///
/// For content that can be fetched again, or made again, and that the app can do without in the meantime.
#[derive(Clone, Copy, Debug, Default)]
pub struct Direct;

impl sealed::Sealed for Direct {}

#[dual(AFIT)]
impl Scheme for Direct {
    fn code(&self) -> u8 {
        1
    }

    fn suits(&self, kind: PartitionKind) -> bool {
        kind == PartitionKind::Data
    }

    fn room(&self) -> Option<Room> {
        None
    }

    fn needs(&self, _partition: &Partition, _offer: &Offer) -> u32 {
        0
    }

    fn first_phase(&self) -> Phase {
        Phase::Writing
    }

    async fn prepare<F: NorFlash, B: BootControl>(
        &self,
        _job: &mut Job,
        _updater: &mut Updater<'_, F, B>,
        _buffer: &mut [u8],
    ) -> Result<(), Error<F::Error>> {
        Ok(())
    }

    async fn complete<F: NorFlash, B: BootControl>(
        &self,
        job: &mut Job,
        updater: &mut Updater<'_, F, B>,
        _buffer: &mut [u8],
    ) -> Result<(), Error<F::Error>> {
        job.enter(updater, Phase::Updated, 0).await
    }

    /// Nothing is left to go back to. The partition is said not to be whole, and nothing of it to be durable.
    async fn give_up<F: NorFlash, B: BootControl>(
        &self,
        job: &mut Job,
        updater: &mut Updater<'_, F, B>,
        _buffer: &mut [u8],
        refusal: Refusal,
    ) -> Result<(), Error<F::Error>> {
        job.enter(updater, Phase::Writing, refusal.code()).await
    }
}
