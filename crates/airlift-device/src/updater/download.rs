//! One image on its way from the network into a slot.

use super::super::install::BootControl;
use super::super::journal::{Phase, Record, Subject};
use super::super::{NorFlash, dual};
use super::{Transfer, Updater};
use crate::verify::ImageCheck;
use crate::{Error, Offer, Refusal};

/// An image on its way: feed it with the bytes from [`offset`](Self::offset) on, then [`finish`](Self::finish) it.
///
/// Dropping it loses nothing: [`Updater::begin`] with the same offer goes on where the last whole stretch ended.
pub struct Download<'u, 'l, 'b, F, B, C> {
    updater: &'u mut Updater<'l, F, B>,
    transfer: Transfer<'b>,
    check: C,
    slot: u8,
    /// The first bytes have been looked at, and the journal says what is being done.
    begun: bool,
}

#[dual(AFIT)]
impl<'u, 'l, 'b, F: NorFlash, B: BootControl, C: ImageCheck> Download<'u, 'l, 'b, F, B, C> {
    pub(super) async fn begin(
        updater: &'u mut Updater<'l, F, B>,
        offer: Offer,
        check: C,
        buffer: &'b mut [u8],
    ) -> Result<Self, Error<F::Error>> {
        let slot = updater.passive().ok_or(Refusal::NoSlot)?;
        let region = updater.passive_region().ok_or(Refusal::NoSlot)?;
        offer.check_fits(region.len)?;
        check_buffer::<F, C>(buffer)?;
        let mut marked = None;
        let mut durable = 0;
        if let Some(record) = updater.journal.current().copied() {
            if record.phase.is_trial() || record.phase == Phase::Rejecting {
                return Err(Refusal::TrialPending.into());
            }
            // What is there of this very image, in this very slot?
            if record.slot == slot && !record.gone && offer.is_of(&record) {
                match record.phase {
                    Phase::Downloading if record.is_sound(F::ERASE_SIZE as u32) => {
                        durable = updater
                            .journal
                            .marked(&mut updater.flash, Subject::APP)
                            .await;
                        marked = Some(record);
                    }
                    // The bytes are there, and are verified again before anything is done with them.
                    Phase::Staged | Phase::Armed | Phase::RolledBack => durable = offer.length,
                    _ => {}
                }
            }
        }
        updater.check_no_set().await?;
        updater.check_unclaimed(region, Subject::APP).await?;
        let transfer = Transfer::new(
            &mut updater.flash,
            Subject::APP,
            region,
            0,
            offer,
            durable,
            buffer,
        )
        .await;
        let mut download = Self {
            transfer,
            updater,
            check,
            slot,
            begun: false,
        };
        if download.offset() > 0 {
            download.begun = true;
            match marked {
                Some(record) if record.stride > 0 => download.transfer.go_on(&record),
                Some(_) => download.enter(Phase::Downloading, 0).await?,
                None => {}
            }
        }
        Ok(download)
    }

    /// The next byte of the image that is wanted: 0 for a new download, more for one that was interrupted.
    pub fn offset(&self) -> u32 {
        self.transfer.offset()
    }

    /// Takes the next bytes of the image, any number of them.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the first bytes show that it is no image for this device (nothing has been erased then), or if
    /// there are more bytes than were offered. The refusal is in the journal afterwards.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error<F::Error>> {
        if !self.transfer.has_room_for(bytes) {
            return self.refuse(Refusal::TooLong).await;
        }
        while !bytes.is_empty() {
            bytes = self.transfer.gather(bytes);
            if !bytes.is_empty() {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// All bytes were given: verifies the image as it lies in the flash, and stages it.
    ///
    /// # Errors
    ///
    /// [`Error::Incomplete`] if bytes are missing: the download can go on. [`Error::Refused`] if the image is not what was
    /// offered or not good: it will not be resumed.
    pub async fn finish(mut self) -> Result<(), Error<F::Error>> {
        self.transfer.check_complete()?;
        self.flush().await?;
        let Updater { flash, .. } = &mut *self.updater;
        match self.transfer.verify(flash, &self.check, C::VOUCHES).await {
            Ok(()) => {}
            Err(Error::Refused(refusal)) => return self.refuse(refusal).await,
            Err(error) => return Err(error),
        }
        // Nothing may still name the slot from an earlier life: a record left over would be taken for the fate of this image.
        self.updater.release(self.slot).await?;
        self.updater.note(Phase::Staged, 0).await
    }

    async fn flush(&mut self) -> Result<(), Error<F::Error>> {
        if self.transfer.gathered().is_empty() {
            return Ok(());
        }
        if !self.begun {
            self.commit_to_it().await?;
        }
        let Updater {
            journal,
            flash,
            durable,
            ..
        } = &mut *self.updater;
        *durable = self.transfer.flush(flash, journal).await?;
        Ok(())
    }

    /// The last moment before anything is destroyed.
    async fn commit_to_it(&mut self) -> Result<(), Error<F::Error>> {
        let Offer { length, sha256 } = self.transfer.offer;
        let prefix = self.transfer.gathered();
        if let Err(refusal) = self.check.check_prefix(prefix, length) {
            return self.refuse(refusal).await;
        }
        // In this order: with the journal first, a cut in between would start an image that the journal calls unfinished.
        self.updater.release(self.slot).await?;
        let region = self.transfer.region;
        self.updater.displace(region, Subject::APP, &sha256).await?;
        self.enter(Phase::Downloading, 0).await?;
        self.begun = true;
        Ok(())
    }

    async fn refuse(&mut self, refusal: Refusal) -> Result<(), Error<F::Error>> {
        self.transfer.stride = 0;
        self.enter(Phase::Refused, refusal.code()).await?;
        Err(refusal.into())
    }

    /// Makes this image the one that the journal speaks of.
    async fn enter(&mut self, phase: Phase, reason: u8) -> Result<(), Error<F::Error>> {
        let Offer { length, sha256 } = self.transfer.offer;
        let mut record = Record::new(Subject::APP, phase, length, sha256);
        record.slot = self.slot;
        record.reason = reason;
        let Updater {
            journal,
            flash,
            durable,
            ..
        } = &mut *self.updater;
        *durable = 0;
        journal
            .append(flash, self.transfer.record(record), &[])
            .await
    }
}

/// Whether a buffer holds what the check wants to see, and a word.
pub(crate) fn check_buffer<F: NorFlash, C: ImageCheck>(
    buffer: &[u8],
) -> Result<(), Error<F::Error>> {
    if buffer.len() < C::PREFIX.max(F::WRITE_SIZE).next_multiple_of(F::WRITE_SIZE) {
        return Err(Error::BufferTooSmall);
    }
    Ok(())
}
