//! One part of a set on its way to where it is staged.

use super::super::install::BootControl;
use super::super::journal::{Phase, Record, Subject};
use super::super::partition::{PartitionKind, Room};
use super::super::updater::{Transfer, Updater, check_buffer};
use super::super::{NorFlash, dual};
use super::{Destination, Part};
use crate::flash::Region;
use crate::record::CopyTail;
use crate::verify::ImageCheck;
use crate::{Error, Offer, Refusal};

#[dual(AFIT)]
impl<F: NorFlash, B: BootControl> Updater<'_, F, B> {
    /// Whether a part of `length` bytes is staged already, whole, and is what `check` takes. Only a check that [vouches](ImageCheck::VOUCHES)
    /// for a part can tell that it is the right one.
    ///
    /// # Errors
    ///
    /// Errors of the flash.
    pub async fn is_part_staged<C: ImageCheck>(
        &mut self,
        part: &Part,
        length: u32,
        check: &C,
        buffer: &mut [u8],
    ) -> Result<bool, Error<F::Error>> {
        check_buffer::<F, C>(buffer)?;
        let subject = part.subject();
        let Some(record) = self.journal.find(&mut self.flash, subject).await? else {
            return Ok(false);
        };
        let (phase, region) = match part.to {
            Destination::Custom => return Ok(false),
            Destination::App => {
                let there = Some(record.slot) == self.passive();
                (Phase::Staged, self.passive_region().filter(|_| there))
            }
            Destination::Partition {
                partition,
                room,
                save,
            } => {
                let tail = self.journal.tail_of(&mut self.flash, subject).await;
                let tail = CopyTail::parse(&tail);
                let there = tail.staged == room
                    && tail.place == save
                    && tail.target == partition.region.len;
                (Phase::Ready, there.then_some(room))
            }
        };
        let Some(region) = region.filter(|_| {
            C::VOUCHES && record.phase == phase && record.length == length && !record.gone
        }) else {
            return Ok(false);
        };
        let offer = Offer {
            length,
            sha256: record.sha256,
        };
        let flash = &mut self.flash;
        let mut transfer = Transfer::new(flash, subject, region, 0, offer, length, buffer).await;
        match transfer.verify(flash, check, true).await {
            Ok(()) => Ok(true),
            Err(Error::Refused(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// One part on its way. Nothing that is in use is touched; a part that is not finished is begun anew.
pub struct PartDownload<'u, 'l, 'b, F, B, C> {
    updater: &'u mut Updater<'l, F, B>,
    staging: Staging<'b, C>,
}

#[dual(AFIT)]
impl<'u, 'l, 'b, F: NorFlash, B: BootControl, C: ImageCheck> PartDownload<'u, 'l, 'b, F, B, C> {
    pub(super) async fn begin(
        updater: &'u mut Updater<'l, F, B>,
        part: &Part,
        length: u32,
        check: C,
        buffer: &'b mut [u8],
    ) -> Result<Self, Error<F::Error>> {
        let staging = Staging::begin(updater, part, length, check, buffer).await?;
        Ok(Self { updater, staging })
    }

    /// Takes the next bytes, any number of them.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the first bytes show that it is not for this device, or if there are more than were announced.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Error<F::Error>> {
        self.staging.write(self.updater, bytes).await
    }

    /// All bytes were given: verifies the part as it lies in the flash. Returns its digest.
    ///
    /// # Errors
    ///
    /// [`Error::Incomplete`], or [`Error::Refused`].
    pub async fn finish(mut self) -> Result<[u8; 32], Error<F::Error>> {
        self.staging.finish(self.updater).await
    }
}

/// The same without a hold on the updater.
pub(super) struct Staging<'b, C> {
    transfer: Transfer<'b>,
    check: C,
    /// The passive slot, for the app.
    slot: Option<u8>,
    copy: CopyTail,
    subject: Subject,
    begun: bool,
}

#[dual(AFIT)]
impl<'b, C: ImageCheck> Staging<'b, C> {
    pub(super) async fn begin<F: NorFlash, B: BootControl>(
        updater: &mut Updater<'_, F, B>,
        part: &Part,
        length: u32,
        check: C,
        buffer: &'b mut [u8],
    ) -> Result<Self, Error<F::Error>> {
        check_buffer::<F, C>(buffer)?;
        updater.check_no_set().await?;
        updater.check_no_trial()?;
        let offer = Offer {
            length,
            sha256: [0; 32],
        };
        let subject = part.subject();
        let mut copy = CopyTail {
            target: 0,
            place: Region::default(),
            length: 0,
            sha256: [0; 32],
            staged: Region::default(),
        };
        let (slot, region) = match part.to {
            Destination::App => {
                let region = updater.passive_region().ok_or(Refusal::NoSlot)?;
                offer.check_fits(region.len)?;
                updater.check_unclaimed(region, subject).await?;
                (updater.passive(), region)
            }
            Destination::Custom => return Err(Error::State),
            Destination::Partition {
                partition,
                room,
                save,
            } => {
                if matches!(partition.kind, PartitionKind::App | PartitionKind::Reserved) {
                    return Err(Refusal::WrongKind.into());
                }
                updater.check_target(&partition)?;
                let target = partition.region;
                offer.check_fits(target.len)?;
                for (room, needed) in [(room, length), (save, target.len)] {
                    updater
                        .check_room(Room::At(room), target, needed, subject)
                        .await?;
                }
                if room.overlaps(save) {
                    return Err(Refusal::CopyInPartition.into());
                }
                copy.target = target.len;
                copy.place = save;
                copy.staged = room;
                (None, room)
            }
        };
        let record = updater.journal.find(&mut updater.flash, subject).await?;
        if subject != Subject::APP && record.is_some_and(|record| record.is_damaged()) {
            // Its only good copy may be anywhere.
            let partition = subject.partition_offset().unwrap_or_default();
            return Err(Refusal::HoldsCopy { partition }.into());
        }
        let transfer =
            Transfer::new(&mut updater.flash, subject, region, 0, offer, 0, buffer).await;
        Ok(Self {
            transfer,
            check,
            slot,
            copy,
            subject,
            begun: false,
        })
    }

    pub(super) async fn write<F: NorFlash, B: BootControl>(
        &mut self,
        updater: &mut Updater<'_, F, B>,
        mut bytes: &[u8],
    ) -> Result<(), Error<F::Error>> {
        if !self.transfer.has_room_for(bytes) {
            return Err(Refusal::TooLong.into());
        }
        while !bytes.is_empty() {
            bytes = self.transfer.gather(bytes);
            if !bytes.is_empty() {
                self.flush(updater).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn finish<F: NorFlash, B: BootControl>(
        &mut self,
        updater: &mut Updater<'_, F, B>,
    ) -> Result<[u8; 32], Error<F::Error>> {
        self.transfer.check_complete()?;
        self.flush(updater).await?;
        self.transfer.expect_what_came();
        let flash = &mut updater.flash;
        self.transfer.verify(flash, &self.check, false).await?;
        let phase = if let Some(slot) = self.slot {
            updater.release(slot).await?;
            Phase::Staged
        } else {
            Phase::Ready
        };
        self.enter(updater, phase).await?;
        Ok(self.transfer.offer.sha256)
    }

    async fn flush<F: NorFlash, B: BootControl>(
        &mut self,
        updater: &mut Updater<'_, F, B>,
    ) -> Result<(), Error<F::Error>> {
        if self.transfer.gathered().is_empty() {
            return Ok(());
        }
        if !self.begun {
            let prefix = self.transfer.gathered();
            self.check
                .check_prefix(prefix, self.transfer.offer.length)?;
            let region = self.transfer.region;
            updater.vacate(region, self.subject).await?;
            if self.slot.is_none() {
                // Something else may have kept its bytes where the old content will go.
                updater.vacate(self.copy.place, self.subject).await?;
            }
            let phase = if self.slot.is_some() {
                Phase::Downloading
            } else {
                Phase::Staging
            };
            self.enter(updater, phase).await?;
            self.begun = true;
        }
        let Updater { journal, flash, .. } = &mut *updater;
        self.transfer.flush(flash, journal).await?;
        Ok(())
    }

    /// The buffer, for another part.
    pub(super) fn into_buffer(self) -> &'b mut [u8] {
        self.transfer.into_buffer()
    }

    async fn enter<F: NorFlash, B: BootControl>(
        &mut self,
        updater: &mut Updater<'_, F, B>,
        phase: Phase,
    ) -> Result<(), Error<F::Error>> {
        let Offer { length, sha256 } = self.transfer.offer;
        let mut record = Record::new(self.subject, phase, length, sha256);
        let Updater { journal, flash, .. } = &mut *updater;
        if let Some(slot) = self.slot {
            record.slot = slot;
            return journal.append(flash, record, &[]).await;
        }
        // A scheme of its own: no other goes on with this.
        record.slot = SET_SCHEME;
        journal.append(flash, record, &self.copy.emit()).await
    }
}

/// Number of the scheme in the records of a set's partitions.
const SET_SCHEME: u8 = 5;
