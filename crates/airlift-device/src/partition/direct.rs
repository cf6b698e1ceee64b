//! In place: no room for a copy is needed, and a power cut costs the content until the update has gone on.

use super::super::install::BootControl;
use super::super::journal::Phase;
use super::super::updater::Updater;
use super::super::{NorFlash, dual};
use super::{Job, Scheme, sealed};
use crate::{Error, Refusal};

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

    fn first_phase(&self) -> Phase {
        Phase::Writing
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
