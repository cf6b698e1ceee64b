//! One image on its way from the network into a slot.

use sha2::{Digest as _, Sha256};

use super::super::install::{BootControl, SlotWriter};
use super::super::journal::{Journal, Phase, Record};
use super::super::{NorFlash, dual};
use super::Updater;
use crate::flash::Region;
use crate::verify::{Checker, ImageCheck};
use crate::{Error, Offer, Refusal};

/// An image on its way: feed it with the bytes from [`offset`](Self::offset) on, then [`finish`](Self::finish) it.
///
/// Dropping it loses nothing: [`Updater::begin`] with the same offer goes on where the last whole stretch ended.
pub struct Download<'u, 'l, 'b, F, B, C> {
    updater: &'u mut Updater<'l, F, B>,
    writer: SlotWriter<'b>,
    check: C,
    offer: Offer,
    slot: u8,
    region: Region,
    /// The digest on the way, over all bytes up to the writer's position.
    digest: Sha256,
    /// The first bytes have been looked at, and the journal says what is being done.
    begun: bool,
    stride: u32,
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
        if offer.length == 0 {
            return Err(Refusal::Empty.into());
        }
        if offer.length > region.len {
            return Err(Refusal::TooBig {
                length: offer.length,
                slot: region.len,
            }
            .into());
        }
        if buffer.len() < C::PREFIX.max(F::WRITE_SIZE).next_multiple_of(F::WRITE_SIZE) {
            return Err(Error::BufferTooSmall);
        }
        let mut stride = Journal::stride::<F>(offer.length);
        let mut durable = 0;
        if let Some(record) = updater.journal.current() {
            if record.phase.is_trial() || record.phase == Phase::Rejecting {
                return Err(Refusal::TrialPending.into());
            }
            // What is there of this very image, in this very slot?
            if record.slot == slot && record.length == offer.length && record.sha256 == offer.sha256
            {
                match record.phase {
                    Phase::Downloading
                        if record.stride > 0
                            && record.stride.is_multiple_of(F::ERASE_SIZE as u32) =>
                    {
                        stride = record.stride;
                        durable = updater.journal.marked(&mut updater.flash).await;
                    }
                    // The bytes are there, and are verified again before anything is done with them.
                    Phase::Staged | Phase::Armed | Phase::RolledBack => durable = offer.length,
                    _ => {}
                }
            }
        }
        let mut digest = Sha256::new();
        if digest_flash(&mut updater.flash, region, durable, buffer, &mut digest)
            .await
            .is_err()
        {
            // What the journal calls durable cannot be read any more: fetch it again.
            durable = 0;
            digest = Sha256::new();
        }
        Ok(Self {
            writer: SlotWriter::new::<F>(region, durable, buffer),
            updater,
            check,
            offer,
            slot,
            region,
            digest,
            begun: durable > 0,
            stride,
        })
    }

    /// The next byte of the image that is wanted: 0 for a new download, more for one that was interrupted.
    pub fn offset(&self) -> u32 {
        self.writer.position()
    }

    /// Takes the next bytes of the image, any number of them.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the first bytes show that it is no image for this device (nothing has been erased then), or if
    /// there are more bytes than were offered. The refusal is in the journal afterwards.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error<F::Error>> {
        let left = self.offer.length - self.writer.position();
        if bytes.len() > left as usize {
            return self.refuse(Refusal::TooLong).await;
        }
        while !bytes.is_empty() {
            let taken = self.writer.gather(bytes);
            let (now, later) = bytes.split_at_checked(taken).unwrap_or((bytes, &[]));
            self.digest.update(now);
            bytes = later;
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
        if self.writer.position() < self.offer.length {
            return Err(Error::Incomplete {
                have: self.writer.position(),
                want: self.offer.length,
            });
        }
        self.flush().await?;
        // On the way first: it tells a bad transmission from a bad flash.
        let digest: [u8; 32] = core::mem::take(&mut self.digest).finalize().into();
        if digest != self.offer.sha256 {
            return self.refuse(Refusal::Digest).await;
        }
        if let Err(error) = self.verify().await {
            return match error {
                Error::Refused(refusal) => self.refuse(refusal).await,
                error => Err(error),
            };
        }
        // Nothing may still name the slot from an earlier life: a record left over would be taken for the fate of this image.
        self.release().await?;
        self.updater.note(Phase::Staged, 0).await
    }

    async fn release(&mut self) -> Result<(), Error<F::Error>> {
        let Updater {
            boot,
            flash,
            running,
            ..
        } = &mut *self.updater;
        boot.release(flash, self.slot, *running).await
    }

    /// Reads the image back and checks it as a whole.
    async fn verify(&mut self) -> Result<(), Error<F::Error>> {
        let checked = self.check_slot().await;
        if let Err(Error::Refused(Refusal::Image(_))) = checked {
            // Was it sent like that, or has the flash lost it?
            let mut digest = Sha256::new();
            let buffer = self.writer.buffer();
            let flash = &mut self.updater.flash;
            digest_flash(flash, self.region, self.offer.length, buffer, &mut digest)
                .await
                .map_err(Error::Flash)?;
            if <[u8; 32]>::from(digest.finalize()) != self.offer.sha256 {
                return Err(Refusal::ReadBack.into());
            }
        }
        checked
    }

    async fn check_slot(&mut self) -> Result<(), Error<F::Error>> {
        let mut checker = self.check.checker(self.region, self.offer.length);
        let buffer = self.writer.buffer();
        let flash = &mut self.updater.flash;
        let mut at = 0;
        while at < self.offer.length {
            let bytes = read_part(flash, self.region, at, self.offer.length, buffer)
                .await
                .map_err(Error::Flash)?;
            at += bytes.len() as u32;
            checker.update(bytes)?;
        }
        if checker.finish()? != self.offer.sha256 {
            return Err(Refusal::ReadBack.into());
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Error<F::Error>> {
        if self.writer.gathered().is_empty() {
            return Ok(());
        }
        if !self.begun {
            self.commit_to_it().await?;
        }
        let before = self.writer.programmed() / self.stride;
        let Updater {
            journal,
            flash,
            durable,
            ..
        } = &mut *self.updater;
        self.writer.flush(flash).await.map_err(Error::Flash)?;
        let done = self.writer.programmed();
        // The last stretch may be a short one.
        let after = if done == self.offer.length {
            done.div_ceil(self.stride)
        } else {
            done / self.stride
        };
        for mark in before..after {
            journal.mark(flash, mark).await;
        }
        *durable = after.saturating_mul(self.stride).min(done);
        Ok(())
    }

    /// The last moment before anything is destroyed.
    async fn commit_to_it(&mut self) -> Result<(), Error<F::Error>> {
        if let Err(refusal) = self
            .check
            .check_prefix(self.writer.gathered(), self.offer.length)
        {
            return self.refuse(refusal).await;
        }
        // In this order: with the journal first, a cut in between would start an image that the journal calls unfinished.
        self.release().await?;
        self.enter(Phase::Downloading, 0, self.stride).await?;
        self.begun = true;
        Ok(())
    }

    async fn refuse(&mut self, refusal: Refusal) -> Result<(), Error<F::Error>> {
        self.enter(Phase::Refused, refusal.code(), 0).await?;
        Err(refusal.into())
    }

    /// Makes this image the one that the journal speaks of.
    async fn enter(
        &mut self,
        phase: Phase,
        reason: u8,
        stride: u32,
    ) -> Result<(), Error<F::Error>> {
        let record = Record {
            phase,
            slot: self.slot,
            attempts: 0,
            reason,
            reported: false,
            length: self.offer.length,
            stride,
            sha256: self.offer.sha256,
        };
        let Updater {
            journal,
            flash,
            durable,
            ..
        } = &mut *self.updater;
        *durable = 0;
        journal.append(flash, record).await
    }
}

/// Feeds the first `length` bytes of `region` to `digest`.
#[dual(AFIT)]
async fn digest_flash<F: NorFlash>(
    flash: &mut F,
    region: Region,
    length: u32,
    buffer: &mut [u8],
    digest: &mut Sha256,
) -> Result<(), F::Error> {
    let mut at = 0;
    while at < length {
        let bytes = read_part(flash, region, at, length, buffer).await?;
        at += bytes.len() as u32;
        digest.update(bytes);
    }
    Ok(())
}

/// Reads a buffer full at `at`, at most up to `length`; whole words, so that any driver can.
#[dual(AFIT)]
async fn read_part<'b, F: NorFlash>(
    flash: &mut F,
    region: Region,
    at: u32,
    length: u32,
    buffer: &'b mut [u8],
) -> Result<&'b [u8], F::Error> {
    let whole = buffer.len() - buffer.len() % F::WRITE_SIZE;
    let want = ((length - at) as usize).min(whole);
    let words = buffer
        .get_mut(..want.next_multiple_of(F::WRITE_SIZE))
        .unwrap_or_default();
    flash.read(region.offset + at, words).await?;
    Ok(words.get(..want).unwrap_or_default())
}
