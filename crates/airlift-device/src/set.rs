//! Several parts as one: an app, boot loaders, data, all of them or none.
//!
//! ```text
//!  stage each part   every part whole and verified        apply: old content saved,       confirm
//!  ------------> (nothing in use is touched) -> Committed -> new content copied in -> app on trial -> Done
//!                                                  |  a part cannot be applied            | app does not stay
//!                                                  +-------------> Reverting <------------+
//!                                                                     | old content put back
//!                                                                     +--> Reverted
//! ```
//!
//! One record commits the set. From there on it is rolled forward at every boot until all parts are in place, and the app, if there is one, is
//! tried last: the new app finds the new parts. If it does not confirm itself, the parts go back with it. What is in place is never a
//! mixture, seen from an app that runs: [`SetState`] tells it when it has to restart instead of going on.
//!
//! A part needs room twice while the set is on its way: for its new content until that is copied in, and for its old content until the set has proved
//! itself.

mod apply;
mod container;
mod processor;
mod stage;

pub use apply::SetRestore;
pub use container::{Identity, Sequence, SetDownload, UnknownTags};
pub use processor::{Failed, Processor, Processors, Step};
pub use stage::PartDownload;

use super::install::BootControl;
use super::journal::{Phase, Record, Subject};
use super::partition::{Partition, RestoreMechanism};
use super::updater::Updater;
use super::{NorFlash, dual};
use crate::flash::Region;
use crate::record::Tail;
use crate::{Error, Offer, Refusal};

/// Parts of one set at most, the app included.
pub const MAX_PARTS: usize = 11;

/// Where one part of a set goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The app: the passive slot, and a trial.
    App,
    /// Wherever its [`Processor`] puts it: another flash, another chip.
    Custom,
    /// A partition.
    Partition {
        /// Which one.
        partition: Partition,
        /// Where its new content is staged: whole sectors, as large as the new content.
        room: Region,
        /// Where its old content is kept: whole sectors, as large as the partition.
        save: Region,
    },
}

/// One part of a set: its tag in the container, and where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The tag.
    pub tag: u32,
    /// Where it goes.
    pub to: Destination,
}

/// What the device can truthfully say of the last set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetState {
    /// There was none.
    None,
    /// All parts are in place, and the app of the set waits to be tried: [`Updater::activate`](crate::Updater::activate) and restart, before anything else is done.
    Applied,
    /// The app of the set runs, on trial: confirm or reject it; a reset undoes the set.
    OnTrial,
    /// It could not be finished or undone yet: the flash failed. What is where, [`Updater::partition_state`](crate::Updater::partition_state) says; the
    /// next boot goes on.
    Stuck,
    /// Every part is what the set brought.
    Done {
        /// Digest of the set, and whether that was [reported](crate::Updater::set_reported).
        sha256: [u8; 32],
        /// See there.
        reported: bool,
    },
    /// Every part is what it was before.
    Reverted {
        /// Digest of the set.
        sha256: [u8; 32],
        /// Tag of the part that could not be applied; 0: the app did not stay.
        tag: u32,
        /// Whether it was [reported](crate::Updater::set_reported).
        reported: bool,
    },
}

/// The parts of a set, as the record keeps them: the app's name, then tag and subject of each.
struct Parts {
    tail: Tail,
}

const APP_ID: usize = 8;
const ENTRY: usize = 8;

impl Parts {
    const fn empty() -> Self {
        Self { tail: Tail::EMPTY }
    }

    fn get(&self, index: usize) -> Option<(u32, Subject)> {
        let bytes = self.tail.bytes.get(APP_ID + index * ENTRY..)?;
        let ([tag, subject], _) = bytes.as_chunks::<4>().0.split_first_chunk::<2>()?;
        let subject = u32::from_le_bytes(*subject);
        // Behind the last one there are zeros; the app has the subject 0, and is noted as 1 more than any other could be.
        match subject {
            0 => None,
            APP_MARK => Some((u32::from_le_bytes(*tag), Subject::APP)),
            subject => Some((u32::from_le_bytes(*tag), Subject(subject))),
        }
    }

    fn put(&mut self, index: usize, tag: u32, subject: Subject) {
        let subject = if subject == Subject::APP {
            APP_MARK
        } else {
            subject.0
        };
        let bytes = self.tail.bytes.iter_mut().skip(APP_ID + index * ENTRY);
        let fields = [tag.to_le_bytes(), subject.to_le_bytes()];
        for (to, from) in bytes.zip(fields.as_flattened()) {
            *to = *from;
        }
    }

    fn app_id(&self) -> Option<&[u8; APP_ID]> {
        self.tail.bytes.first_chunk()
    }

    fn set_app_id(&mut self, sha256: &[u8; 32]) {
        for (to, from) in self.tail.bytes.iter_mut().zip(sha256).take(APP_ID) {
            *to = *from;
        }
    }
}

const APP_MARK: u32 = u32::MAX;

/// Stands for all that the engine does not keep itself.
pub(crate) const CUSTOM: Subject = Subject(u32::MAX - 1);

#[dual(AFIT)]
impl<'l, F: NorFlash, B: BootControl> Updater<'l, F, B> {
    /// Begins to stage one part: `length` bytes, whose digest the container vouches for as a whole.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], before anything is touched: what [`begin`](Self::begin) or [`begin_partition`](Self::begin_partition) would refuse.
    pub async fn begin_part<'u, 'b, C: crate::verify::ImageCheck>(
        &'u mut self,
        part: &Part,
        length: u32,
        check: C,
        buffer: &'b mut [u8],
    ) -> Result<PartDownload<'u, 'l, 'b, F, B, C>, Error<F::Error>> {
        PartDownload::begin(self, part, length, check, buffer).await
    }

    /// Every part is staged, and the container's digest and identity are what they should be: from here on it is all or nothing.
    ///
    /// The parts are applied in the order of `parts`, the app last. Returns when they are in place, or when the set was undone; a power cut in between is
    /// taken up by [`SetRestore`].
    ///
    /// # Errors
    ///
    /// [`Error::State`] if a part is not staged; [`Refusal::Duplicate`], [`Refusal::TooManyParts`]; errors of the flash, after which the next boot goes on.
    pub async fn commit_set<M: RestoreMechanism>(
        &mut self,
        set: &Offer,
        parts: &[Part],
        mechanisms: &mut M,
        buffer: &mut [u8],
    ) -> Result<SetState, Error<F::Error>> {
        if buffer.len() < F::WRITE_SIZE {
            return Err(Error::BufferTooSmall);
        }
        self.check_no_set().await?;
        check_parts(parts)?;
        let mut list = Parts::empty();
        let mut count = 0;
        for app in [false, true] {
            for part in parts {
                let subject = part.subject();
                if (subject == Subject::APP) != app {
                    continue;
                }
                if subject == CUSTOM {
                    list.put(count, part.tag, subject);
                    count += 1;
                    continue;
                }
                let record = self.journal.find(&mut self.flash, subject).await?;
                let staged = if app { Phase::Staged } else { Phase::Ready };
                let Some(record) = record.filter(|record| record.phase == staged) else {
                    return Err(Error::State);
                };
                if app {
                    list.set_app_id(&record.sha256);
                }
                list.put(count, part.tag, subject);
                count += 1;
            }
        }
        let record = Record::new(Subject::SET, Phase::Committed, set.length, set.sha256);
        let tail = list.tail.bytes.get(..APP_ID + count * ENTRY);
        let tail = tail.unwrap_or_default();
        self.journal.append(&mut self.flash, record, tail).await?;
        self.drive_set(mechanisms, buffer).await?;
        self.set_state().await
    }

    /// The digest of the last set.
    pub(crate) async fn set_name(&mut self) -> Result<Option<[u8; 32]>, Error<F::Error>> {
        let set = self.journal.find(&mut self.flash, Subject::SET).await?;
        Ok(set.map(|set| set.sha256))
    }

    /// What the device can truthfully say of the last set.
    ///
    /// # Errors
    ///
    /// [`Error::Journal`] if the journal cannot be read any more.
    pub async fn set_state(&mut self) -> Result<SetState, Error<F::Error>> {
        let Some(set) = self.journal.find(&mut self.flash, Subject::SET).await? else {
            return Ok(SetState::None);
        };
        let (sha256, reported) = (set.sha256, set.reported);
        Ok(match set.phase {
            Phase::Done => SetState::Done { sha256, reported },
            Phase::Reverted => SetState::Reverted {
                sha256,
                tag: set.progress,
                reported,
            },
            Phase::Committed => match self.journal.current().map(|app| app.phase) {
                Some(Phase::Staged | Phase::Armed) => SetState::Applied,
                Some(Phase::OnTrial | Phase::Confirming | Phase::Rejecting) => SetState::OnTrial,
                _ => SetState::Stuck,
            },
            _ => SetState::Stuck,
        })
    }

    /// [`confirm`](Self::confirm), for an app that came in a set: the whole set stays.
    ///
    /// # Errors
    ///
    /// As `confirm`.
    pub async fn confirm_set<M: RestoreMechanism>(
        &mut self,
        mechanisms: &mut M,
        buffer: &mut [u8],
    ) -> Result<(), Error<F::Error>> {
        self.confirm().await?;
        self.drive_set(mechanisms, buffer).await
    }

    /// The outcome of the last set has reached the server.
    pub async fn set_reported(&mut self) -> Result<(), Error<F::Error>> {
        match self.journal.find(&mut self.flash, Subject::SET).await? {
            Some(mut set) if !set.phase.is_set_pending() && !set.reported => {
                set.reported = true;
                self.journal.amend(&mut self.flash, set).await
            }
            _ => Ok(()),
        }
    }
}

impl Part {
    fn subject(&self) -> Subject {
        match &self.to {
            Destination::App => Subject::APP,
            Destination::Custom => CUSTOM,
            Destination::Partition { partition, .. } => Subject::partition(partition.region.offset),
        }
    }

    fn regions(&self) -> [Region; 3] {
        match self.to {
            Destination::App | Destination::Custom => [Region::default(); 3],
            Destination::Partition {
                partition,
                room,
                save,
            } => [partition.region, room, save],
        }
    }
}

/// No two parts may have anything in common.
pub(crate) fn check_parts(parts: &[Part]) -> Result<(), Refusal> {
    if parts.len() > MAX_PARTS {
        return Err(Refusal::TooManyParts);
    }
    for (index, part) in parts.iter().enumerate() {
        for other in parts.iter().skip(index + 1) {
            let overlap = part
                .regions()
                .iter()
                .any(|region| other.regions().iter().any(|other| region.overlaps(*other)));
            let same = part.subject() == other.subject() && part.subject() != CUSTOM;
            if part.tag == other.tag || same || overlap {
                return Err(Refusal::Duplicate);
            }
        }
    }
    Ok(())
}
