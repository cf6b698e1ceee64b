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
//! A part that the device holds already is not staged, and not fetched, if the image says its digest beforehand; it is a part of the set all the
//! same. What fails is tried again at once; if it fails for good, what was applied is undone, and what cannot be undone either is named:
//! [`Updater::set_part`](crate::Updater::set_part).
//!
//! A part needs room twice while the set is on its way: for its new content until that is copied in, and for its old content until the set has proved
//! itself.

mod apply;
mod commit;
mod container;
mod finish;
mod identity;
mod list;
mod payload;
mod processor;
mod report;
mod sequence;
mod stage;
mod two_places;

pub use apply::SetRestore;
pub use container::{SetDownload, UnknownTags, WholePart};
pub use finish::Sequence;
pub use identity::Identity;
pub use processor::{Copy, Failed, PartOffer, Processor, Processors, Step};
pub use report::{Holds, PartPlace, PartReport, SetFailure, SetLook, SetState};
pub use stage::PartDownload;
pub use two_places::TwoPlaces;

use list::{CUSTOM, PRESENT, Parts};

use super::journal::Subject;
use super::partition::Partition;
use crate::Refusal;
use crate::flash::Region;

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

impl Part {
    const fn subject(&self) -> Subject {
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
