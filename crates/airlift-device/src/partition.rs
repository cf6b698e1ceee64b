//! Partitions other than the app: data of any kind, the boot loader, the partition table.
//!
//! Which [`Scheme`] rewrites a partition is its configuration. Each one is a type of its own, so that a device pays for those that it uses.
//!
//! | scheme | what it does | a power cut leaves |
//! |---|---|---|
//! | [`Direct`] | erases and writes in place | a partition that is not whole, and is known to be; the update goes on |
//! | [`Backup`] | copies the old content away, verifies the copy, then writes in place | the whole old or the whole new content |
//! | [`Staged`] | fetches to another place, verifies, then copies it in | the whole old or the whole new content |
//! | [`StagedBoot`] | the same for boot loader and partition table | the same, if the chip still boots: see [`BootRisk`] |
//! | two steps | data of the app go to the slot that the old app leaves: [`Updater::want_data`] | no data, and an app that knows which ones are missing |
//!
//! ```text
//!             write             finish
//! Direct  ------------> Writing --------------------------------> Updated
//!                         |  ^ resumes
//!                         +--+
//! Backup  -> Saving ----> Writing --------------------------------> Updated
//!            copies to      | cut, bad image, given up
//!            the place      +-----> Restoring ----------------------> Restored
//!
//! Staged  -> Staging ---> Ready ------> Copying -------------------> Updated
//!            resumes                      rolled forward at boot
//! ```
//!
//! Every arrow is a record of the journal, written before the flash is changed.

mod backup;
mod data;
mod direct;
mod download;
mod restore;
mod staged;

pub use backup::Backup;
pub use data::{DATA_OFFSET, DataDownload};
pub use direct::Direct;
pub use download::PartitionDownload;
pub use restore::{Content, JournalRestore, RestoreMechanism};
pub use staged::{Staged, StagedBoot};

pub use crate::target::{
    AfterCut, BootRisk, BrickRisk, Damaged, DataDescription, DataState, GoodCopy, MAX_SOURCE,
    MAX_VERSION, Partition, PartitionKind, PartitionOutcome, PartitionState, Room,
};

use super::install::BootControl;
use super::journal::{Phase, Record, Subject};
use super::updater::{Updater, digest_flash, read_part};
use super::{NorFlash, dual};
use crate::flash::{ERASED, Region, is_blank};
use crate::record::CopyTail;
use crate::verify::ImageCheck;
use crate::{Error, Offer, Refusal};
use sha2::{Digest as _, Sha256};

/// How a partition is rewritten. The shipped ones are all that there are: what they promise is proved.
#[dual(AFIT)]
#[allow(async_fn_in_trait)] // As in `BootControl`.
pub trait Scheme: Copy + sealed::Sealed {
    /// The number that the journal keeps of it.
    #[doc(hidden)]
    fn code(&self) -> u8;

    /// Whether it may rewrite partitions of this kind.
    fn suits(&self, kind: PartitionKind) -> bool {
        kind == PartitionKind::Data
    }

    /// Where it keeps copies, if it does.
    #[doc(hidden)]
    fn room(&self) -> Option<Room> {
        None
    }

    /// Bytes that this room must have.
    #[doc(hidden)]
    fn needs(&self, _partition: &Partition, offer: &Offer) -> u32 {
        offer.length
    }

    /// The phase in which new bytes are written, and whether they go to the room.
    #[doc(hidden)]
    fn first_phase(&self) -> Phase;

    /// Before the first new byte is written.
    #[doc(hidden)]
    async fn prepare<F: NorFlash, B: BootControl>(
        &self,
        _job: &mut Job,
        _updater: &mut Updater<'_, F, B>,
        _buffer: &mut [u8],
    ) -> Result<(), Error<F::Error>> {
        Ok(())
    }

    /// All new bytes are written, and verified.
    #[doc(hidden)]
    async fn complete<F: NorFlash, B: BootControl>(
        &self,
        job: &mut Job,
        updater: &mut Updater<'_, F, B>,
        _buffer: &mut [u8],
    ) -> Result<(), Error<F::Error>> {
        job.enter(updater, Phase::Updated, 0).await
    }

    /// Some of the new bytes were written, and they are no good.
    #[doc(hidden)]
    async fn give_up<F: NorFlash, B: BootControl>(
        &self,
        job: &mut Job,
        updater: &mut Updater<'_, F, B>,
        _buffer: &mut [u8],
        refusal: Refusal,
    ) -> Result<(), Error<F::Error>> {
        // It was not whole before, and is not now.
        job.enter(updater, Phase::Restoring, refusal.code()).await
    }
}

mod sealed {
    pub trait Sealed {}
}

/// One update of one partition, as the journal knows it.
#[derive(Debug)]
#[doc(hidden)]
pub struct Job {
    pub(crate) subject: Subject,
    pub(crate) region: Region,
    pub(crate) offer: Offer,
    pub(crate) scheme: u8,
    pub(crate) copy: CopyTail,
    /// The partition was not whole before: there is nothing in it to be saved, and to say otherwise would be a lie.
    pub(crate) damaged: bool,
}

#[dual(AFIT)]
impl Job {
    /// Records the next phase, without progress.
    pub(crate) async fn enter<F: NorFlash, B: BootControl>(
        &self,
        updater: &mut Updater<'_, F, B>,
        phase: Phase,
        reason: u8,
    ) -> Result<(), Error<F::Error>> {
        let mut record = self.record(phase);
        record.reason = reason;
        self.append(updater, record).await
    }

    fn record(&self, phase: Phase) -> Record {
        let mut record = Record::new(self.subject, phase, self.offer.length, self.offer.sha256);
        record.slot = self.scheme;
        record.gone = self.damaged;
        record
    }

    async fn append<F: NorFlash, B: BootControl>(
        &self,
        updater: &mut Updater<'_, F, B>,
        record: Record,
    ) -> Result<(), Error<F::Error>> {
        let Updater { journal, flash, .. } = updater;
        journal.append(flash, record, &self.copy.emit()).await
    }
}

/// A mark in the record's scheme number: the update is to go on after a cut.
const RESUMES: u8 = 0x80;

#[dual(AFIT)]
impl<'l, F: NorFlash, B: BootControl> Updater<'l, F, B> {
    /// Starts the engine, once at every boot, as [`start`](Self::start) does, and makes whole what a power cut left in pieces: for each such
    /// partition the mechanisms are tried in order, and the first success ends it. [`JournalRestore`] is the one that knows the engine's
    /// own copies; an application adds its own before or behind it, or has none of it.
    ///
    /// A partition that none of them could restore stays as it is; [`partition_state`](Self::partition_state) says so. Recovery is idempotent,
    /// and survives power cuts itself. `buffer` is for copying: one word or more.
    ///
    /// # Errors
    ///
    /// As `start`.
    pub async fn recover<M: RestoreMechanism>(
        flash: F,
        boot: B,
        layout: crate::Layout<'l>,
        running: Option<u8>,
        mechanisms: &mut M,
        buffer: &mut [u8],
    ) -> Result<Self, Error<F::Error>> {
        if buffer.len() < F::WRITE_SIZE {
            return Err(Error::BufferTooSmall);
        }
        let mut updater = Self::start_app(flash, boot, layout, running).await?;
        let mut number = 0;
        while let Some(subject) = updater.journal.subject(number) {
            number += 1;
            updater
                .make_whole(subject, mechanisms, buffer, false)
                .await?;
        }
        if M::KNOWS_SETS {
            updater.drive_set(mechanisms, buffer).await?;
        } else {
            updater.check_no_set().await?;
        }
        Ok(updater)
    }

    /// Begins the update of a partition, or goes on with one that was interrupted, if it is the same image.
    ///
    /// Nothing is touched yet. `check` looks at the image ([`AnyImage`](crate::verify::AnyImage): at nothing but its digest);
    /// `buffer` is as for [`begin`](Self::begin).
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], before anything was touched; each reason has its own [`Refusal`].
    pub async fn begin_partition<'u, 'b, C: ImageCheck, S: Scheme>(
        &'u mut self,
        partition: &Partition,
        scheme: S,
        offer: Offer,
        check: C,
        buffer: &'b mut [u8],
    ) -> Result<PartitionDownload<'u, 'l, 'b, F, B, C, S>, Error<F::Error>> {
        PartitionDownload::begin(self, partition, scheme, offer, check, buffer).await
    }

    /// What the device can truthfully say of a partition.
    ///
    /// # Errors
    ///
    /// [`Error::Journal`] if the journal cannot be read any more.
    pub async fn partition_state(
        &mut self,
        partition: &Partition,
    ) -> Result<PartitionState, Error<F::Error>> {
        let subject = Subject::partition(partition.region.offset);
        let Some(record) = self.journal.find(&mut self.flash, subject).await? else {
            return Ok(PartitionState::Whole { last: None });
        };
        let offer = Offer {
            length: record.length,
            sha256: record.sha256,
        };
        let durable = match record.phase {
            Phase::Ready => record.length,
            Phase::Staging | Phase::Writing => {
                let marked = self.journal.marked(&mut self.flash, subject).await;
                marked.min(record.length)
            }
            _ => 0,
        };
        let last = match record.phase {
            Phase::Updated => PartitionOutcome::Updated,
            Phase::Restored => PartitionOutcome::Restored(record.reason),
            Phase::Declined => PartitionOutcome::Refused(record.reason),
            Phase::Replaced => return Ok(PartitionState::OnTrial { offer }),
            _ if record.is_damaged() => {
                let tail = self.journal.tail_of(&mut self.flash, subject).await;
                return Ok(PartitionState::Damaged {
                    offer,
                    durable,
                    copy: CopyTail::parse(&tail).length > 0,
                });
            }
            _ => return Ok(PartitionState::Pending { offer, durable }),
        };
        Ok(PartitionState::Whole {
            last: Some((last, record.sha256, record.reported)),
        })
    }

    /// The outcome of the partition's last update has reached the server.
    pub async fn partition_reported(
        &mut self,
        partition: &Partition,
    ) -> Result<(), Error<F::Error>> {
        let subject = Subject::partition(partition.region.offset);
        match self.journal.find(&mut self.flash, subject).await? {
            Some(mut record) if record.phase.is_ended() && !record.reported => {
                record.reported = true;
                self.journal.amend(&mut self.flash, record).await
            }
            _ => Ok(()),
        }
    }

    /// Gives up an interrupted update of a partition that is not whole, and puts the copy of its old content back (of [`Staged`]: the new
    /// content, which is whole in its place). `false`: there is no good copy.
    ///
    /// # Errors
    ///
    /// [`Error::BufferTooSmall`], an error of the flash or the journal.
    pub async fn restore_partition(
        &mut self,
        partition: &Partition,
        buffer: &mut [u8],
    ) -> Result<bool, Error<F::Error>> {
        if buffer.len() < F::WRITE_SIZE {
            return Err(Error::BufferTooSmall);
        }
        let subject = Subject::partition(partition.region.offset);
        self.make_whole(subject, &mut JournalRestore, buffer, true)
            .await
    }

    /// Runs the mechanisms over one partition, if it is not whole.
    pub(crate) async fn make_whole<M: RestoreMechanism>(
        &mut self,
        subject: Subject,
        mechanisms: &mut M,
        buffer: &mut [u8],
        asked: bool,
    ) -> Result<bool, Error<F::Error>> {
        let Some(offset) = subject.partition_offset() else {
            return Ok(false);
        };
        let mut record = match self.journal.find(&mut self.flash, subject).await? {
            // Of a set, it is not for one partition to go its own way.
            Some(record) if record.is_damaged() && !record.phase.is_of_set() => record,
            _ => return Ok(false),
        };
        let copy = CopyTail::parse(&self.journal.tail_of(&mut self.flash, subject).await);
        let damaged = Damaged {
            region: Region::new(offset, copy.target),
            offer: Offer {
                length: record.length,
                sha256: record.sha256,
            },
            copy: (copy.length > 0).then_some(GoodCopy {
                place: copy.place,
                content: Offer {
                    length: copy.length,
                    sha256: copy.sha256,
                },
                is_new: record.phase == Phase::Copying,
            }),
            resumes: record.phase == Phase::Writing && record.slot & RESUMES != 0 && !asked,
        };
        // The journal can speak of a layout that was, and an app can lie there now.
        if self.check_place(damaged.region).is_err() || !mechanisms.can_restore(&damaged) {
            return Ok(false);
        }
        record.progress = 0;
        record.stride = 0;
        record.reported = false;
        if record.phase == Phase::Writing {
            // What was written of the update is about to be overwritten, and no mark may speak of it.
            record.phase = Phase::Restoring;
            self.journal.amend(&mut self.flash, record).await?;
        }
        let Some(content) = mechanisms.restore(&mut self.flash, &damaged, buffer).await else {
            return Ok(false);
        };
        record.phase = match content {
            Content::New => Phase::Updated,
            Content::Old => Phase::Restored,
        };
        self.journal.amend(&mut self.flash, record).await?;
        Ok(true)
    }

    /// Refuses a partition that must not be written.
    pub(crate) fn check_target(&self, partition: &Partition) -> Result<(), Refusal> {
        if partition.readonly {
            return Err(Refusal::ReadOnly);
        }
        self.check_no_trial()?;
        self.check_place(partition.region)
    }

    /// Refuses a region that is no partition's: the engine's, or that of any app.
    pub(crate) fn check_place(&self, region: Region) -> Result<(), Refusal> {
        self.check_region(region)?;
        if self.layout.slots.iter().any(|slot| slot.overlaps(region)) {
            return Err(Refusal::AppSlot);
        }
        Ok(())
    }

    /// Refuses everything while the way back is still needed.
    pub(crate) fn check_no_trial(&self) -> Result<(), Refusal> {
        let pending = self.journal.current().is_some_and(|record| {
            record.phase.is_trial() || matches!(record.phase, Phase::Armed | Phase::Rejecting)
        });
        if pending {
            return Err(Refusal::TrialPending);
        }
        Ok(())
    }

    /// Refuses a region that is the engine's, the boot loader's, or the running app's.
    fn check_region(&self, region: Region) -> Result<(), Refusal> {
        let capacity = self.flash.capacity() as u32;
        if !region.is_whole_sectors(F::ERASE_SIZE as u32, capacity) {
            return Err(Refusal::Alignment);
        }
        let running = match self.running {
            Some(slot) => self.layout.slots.get(usize::from(slot)).copied(),
            None => self.layout.factory,
        };
        if running.is_some_and(|app| app.overlaps(region)) {
            return Err(Refusal::RunningApp);
        }
        if self.layout.factory.is_some_and(|app| app.overlaps(region)) {
            return Err(Refusal::AppSlot);
        }
        if self.layout.journal.overlaps(region) {
            return Err(Refusal::Journal);
        }
        if self.boot_region().overlaps(region) {
            return Err(Refusal::BootSelection);
        }
        Ok(())
    }

    /// The place that a scheme keeps its copies in, if they may be kept there.
    pub(crate) async fn check_room(
        &mut self,
        room: Room,
        partition: Region,
        needed: u32,
        by: Subject,
    ) -> Result<Region, Error<F::Error>> {
        let place = match room {
            Room::At(place) => place,
            Room::PassiveSlot => self.passive_region().ok_or(Refusal::NoSlot)?,
        };
        if place.overlaps(partition) {
            return Err(Refusal::CopyInPartition.into());
        }
        self.check_region(place)?;
        if needed > place.len {
            return Err(Refusal::CopyTooBig {
                length: needed,
                place: place.len,
            }
            .into());
        }
        self.check_unclaimed(place, by).await?;
        Ok(place)
    }

    /// Makes sure that nothing boots from `place`, and that nothing believes to find its bytes there.
    pub(crate) async fn vacate(
        &mut self,
        place: Region,
        by: Subject,
    ) -> Result<(), Error<F::Error>> {
        for slot in (0_u8..).zip(self.layout.slots) {
            if slot.1.overlaps(place) {
                self.release(slot.0).await?;
            }
        }
        self.displace(place, by, &[0; 32]).await
    }
}

/// Copies the good copy in. If that fails, the record makes the next boot try again.
#[dual(AFIT)]
async fn restore_now<F: NorFlash, B: BootControl>(
    job: &Job,
    updater: &mut Updater<'_, F, B>,
    buffer: &mut [u8],
) -> Result<(), Error<F::Error>> {
    let whole = updater
        .make_whole(job.subject, &mut JournalRestore, buffer, true)
        .await?;
    if whole {
        Ok(())
    } else {
        Err(Error::NotRecovered {
            partition: job.region.offset,
        })
    }
}

/// Copies the content of `length` bytes at the start of `from` to the start of `to`, erasing as it goes; `whole`: all of `to` is erased.
/// Returns the digest of what was read.
#[dual(AFIT)]
pub(super) async fn copy<F: NorFlash>(
    flash: &mut F,
    from: Region,
    length: u32,
    to: Region,
    whole: bool,
    buffer: &mut [u8],
) -> Result<[u8; 32], F::Error> {
    let sector = F::ERASE_SIZE as u32;
    let mut digest = Sha256::new();
    let mut at = 0;
    while at < length || (whole && at < to.len) {
        if at.is_multiple_of(sector) {
            let start = to.offset + at;
            flash.erase(start, start + sector).await?;
        }
        let end = at - at % sector + sector;
        if at >= length {
            at = end;
            continue;
        }
        let part = Region::new(from.offset, length.min(end));
        let read = read_part(flash, part, at, buffer).await?;
        digest.update(read);
        let (len, blank) = (read.len(), is_blank(read));
        if !blank && let Some(words) = buffer.get_mut(..len.next_multiple_of(F::WRITE_SIZE)) {
            for byte in words.iter_mut().skip(len) {
                *byte = ERASED;
            }
            flash.write(to.offset + at, words).await?;
        }
        at += len as u32;
        if at >= length {
            at = at.next_multiple_of(sector);
        }
    }
    Ok(digest.finalize().into())
}

/// The digest of the first `length` bytes of a region.
#[dual(AFIT)]
pub(super) async fn digest_of<F: NorFlash>(
    flash: &mut F,
    region: Region,
    length: u32,
    buffer: &mut [u8],
) -> Result<[u8; 32], F::Error> {
    let mut digest = Sha256::new();
    let content = Region::new(region.offset, length);
    digest_flash(flash, content, buffer, &mut digest).await?;
    Ok(digest.finalize().into())
}
