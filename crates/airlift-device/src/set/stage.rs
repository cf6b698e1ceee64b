//! One part of a set on its way to where it is staged.

use super::super::install::BootControl;
use super::super::journal::{Phase, Record, Subject};
use super::super::partition::{PartitionKind, Room};
use super::super::updater::{Transfer, Updater, check_buffer, read_part};
use super::super::{NorFlash, dual};
use super::{Destination, Part};
use crate::flash::{Region, is_blank};
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
                (Phase::Held, self.passive_region().filter(|_| there))
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
        let staging = Staging::begin(updater, part, length, None, check, buffer).await?;
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
    /// The journal calls it whole.
    whole: bool,
}

#[dual(AFIT)]
impl<'b, C: ImageCheck> Staging<'b, C> {
    /// Goes on with what there is of the same part of the `image` with this digest; without one, it is begun anew.
    pub(super) async fn begin<F: NorFlash, B: BootControl>(
        updater: &mut Updater<'_, F, B>,
        part: &Part,
        length: u32,
        image: Option<&[u8; 32]>,
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
            sha256: image.copied().unwrap_or_default(),
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
        let mut staging = Self {
            transfer: Transfer::new(&mut updater.flash, subject, region, 0, offer, 0, buffer).await,
            check,
            slot,
            copy,
            subject,
            begun: false,
            whole: false,
        };
        if let Some(record) = record.filter(|_| image.is_some()) {
            staging.go_on(updater, &record).await?;
        }
        Ok(staging)
    }

    /// Takes over what the journal says is there already of the same part of the same image.
    async fn go_on<F: NorFlash, B: BootControl>(
        &mut self,
        updater: &mut Updater<'_, F, B>,
        record: &Record,
    ) -> Result<(), Error<F::Error>> {
        let (whole, begun) = self.phases();
        let Updater { journal, flash, .. } = &mut *updater;
        let tail = journal.tail_of(flash, self.subject).await;
        let ours = match self.slot {
            Some(slot) => {
                record.slot == slot && !record.gone && tail.bytes.starts_with(&self.copy.sha256)
            }
            None => record.slot == SET_SCHEME && CopyTail::parse(&tail) == self.copy,
        };
        let length = self.transfer.offer.length;
        if !ours || record.length != length || !record.is_sound(F::ERASE_SIZE as u32) {
            return Ok(());
        }
        let durable = match record.phase {
            phase if phase == whole => length,
            phase if phase == begun => journal.marked(flash, self.subject).await,
            _ => 0,
        };
        self.transfer.go_on_at(flash, durable).await;
        if self.transfer.offset() == 0 {
            return Ok(());
        }
        self.begun = true;
        self.whole = record.phase == whole;
        if self.whole {
            // To be verified again, as it lies there now.
            if self.transfer.so_far() != record.sha256 {
                self.start_anew();
            }
        } else if record.stride > 0 {
            self.transfer.go_on(record);
        } else {
            self.enter(updater, begun).await?;
        }
        Ok(())
    }

    /// What is there is not what it should be.
    pub(super) fn start_anew(&mut self) {
        self.transfer.start_anew();
        self.begun = false;
        self.whole = false;
    }

    /// What the flash holds already, with its digest, and a buffer to read it with.
    pub(super) fn there(&mut self) -> (Region, [u8; 32], &mut [u8]) {
        let there = Region::new(self.transfer.region.offset, self.transfer.offset());
        (there, self.transfer.so_far(), self.transfer.buffer())
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
        if !self.whole {
            if let Some(slot) = self.slot {
                updater.release(slot).await?;
            }
            let (whole, _) = self.phases();
            self.enter(updater, whole).await?;
        }
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
            let (_, begun) = self.phases();
            self.enter(updater, begun).await?;
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

    /// When it is whole, and while it is on its way.
    const fn phases(&self) -> (Phase, Phase) {
        match self.slot {
            Some(_) => (Phase::Held, Phase::Downloading),
            None => (Phase::Ready, Phase::Staging),
        }
    }

    async fn enter<F: NorFlash, B: BootControl>(
        &mut self,
        updater: &mut Updater<'_, F, B>,
        phase: Phase,
    ) -> Result<(), Error<F::Error>> {
        let Offer { length, sha256 } = self.transfer.offer;
        let mut record = Record::new(self.subject, phase, length, sha256);
        let Updater { journal, flash, .. } = &mut *updater;
        // A scheme of its own: no other goes on with this.
        record.slot = self.slot.unwrap_or(SET_SCHEME);
        if phase != Phase::Held && phase != Phase::Ready {
            record = self.transfer.record(record);
        }
        let tail = self.copy.emit();
        let tail = match self.slot {
            Some(_) => self.copy.sha256.as_slice(),
            None => &tail,
        };
        journal.append(flash, record, tail).await
    }
}

#[dual(AFIT)]
impl<F: NorFlash, B: BootControl> Updater<'_, F, B> {
    /// Where the content of `length` bytes would lie that `part` is to bring, if it is what is used there now. `None`: something else is.
    pub(super) async fn content(
        &mut self,
        part: &Part,
        length: u32,
        buffer: &mut [u8],
    ) -> Result<Option<Region>, Error<F::Error>> {
        let region = match part.to {
            Destination::Custom => return Ok(None),
            Destination::App => match self.running {
                Some(slot) => self.layout.slots.get(usize::from(slot)).copied(),
                None => self.layout.factory,
            },
            Destination::Partition { partition, .. } => {
                let record = self.journal.find(&mut self.flash, part.subject()).await?;
                let whole = !record.is_some_and(|record| record.is_damaged());
                Some(partition.region).filter(|_| whole)
            }
        };
        let Some(region) = region.filter(|region| length <= region.len) else {
            return Ok(None);
        };
        // Behind the content of a partition there is nothing.
        let only = part.to == Destination::App
            || is_erased_from(&mut self.flash, region, length, buffer).await;
        Ok(only.then_some(Region::new(region.offset, length)))
    }

    /// What is staged of the image with this digest was refused with it, and nothing goes on with it.
    pub(super) async fn give_up(
        &mut self,
        part: &Part,
        image: &[u8; 32],
        refusal: &Refusal,
    ) -> Result<(), Error<F::Error>> {
        let subject = part.subject();
        let Some(mut record) = self.journal.find(&mut self.flash, subject).await? else {
            return Ok(());
        };
        let tail = self.journal.tail_of(&mut self.flash, subject).await;
        let (ours, ended) = match record.phase {
            Phase::Downloading | Phase::Held => (tail.bytes.starts_with(image), Phase::Refused),
            Phase::Staging | Phase::Ready => {
                let copy = CopyTail::parse(&tail);
                let ours = record.slot == SET_SCHEME && copy.sha256 == *image;
                (ours, Phase::Declined)
            }
            _ => return Ok(()),
        };
        if !ours {
            return Ok(());
        }
        record.phase = ended;
        record.reason = refusal.code();
        // Whoever fetched it has been told.
        record.reported = true;
        record.progress = 0;
        record.stride = 0;
        self.journal.amend(&mut self.flash, record).await
    }
}

/// Whether everything behind the first `length` bytes of a region is erased.
#[dual(AFIT)]
pub(super) async fn is_erased_from<F: NorFlash>(
    flash: &mut F,
    region: Region,
    length: u32,
    buffer: &mut [u8],
) -> bool {
    let within = length % F::WRITE_SIZE as u32;
    let mut skipped = within as usize;
    let mut at = length - within;
    while at < region.len {
        let Ok(bytes) = read_part(flash, region, at, buffer).await else {
            return false;
        };
        at += bytes.len() as u32;
        if !is_blank(bytes.get(skipped..).unwrap_or_default()) {
            return false;
        }
        skipped = 0;
    }
    true
}

/// Number of the scheme in the records of a set's partitions.
pub(super) const SET_SCHEME: u8 = 5;
