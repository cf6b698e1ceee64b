//! What goes into the engine and what it says of itself: the same for both flavours.

use crate::Refusal;
use crate::flash::Region;
use crate::record::{Phase, Record};

/// How often the boot selection is told to try one image. More than once only when the image was not seen to start: a
/// power cut can tear the boot selection, or come while the boot loader is at work. An image that did start and did not
/// confirm is not tried again.
pub const MAX_ATTEMPTS: u8 = 3;

/// Where things are in the flash.
#[derive(Clone, Copy, Debug)]
pub struct Layout<'l> {
    /// The app slots; the slot number is the index.
    pub slots: &'l [Region],
    /// An app that runs when none of the slots does, and that is never updated.
    pub factory: Option<Region>,
    /// The journal's region: two sectors or more, and 4 KiB or more.
    pub journal: Region,
}

impl<'l> Layout<'l> {
    /// Slots and a journal, without a factory app.
    pub const fn new(slots: &'l [Region], journal: Region) -> Self {
        Self {
            slots,
            factory: None,
            journal,
        }
    }
}

/// An image that is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its length in bytes.
    pub length: u32,
    /// Its SHA-256; for an image that its check [vouches](crate::verify::ImageCheck::VOUCHES) for, any name that no other image has.
    pub sha256: [u8; 32],
}

impl Offer {
    /// Refuses what is empty, or too big for `room` bytes.
    pub(crate) const fn check_fits(&self, room: u32) -> Result<(), Refusal> {
        if self.length == 0 {
            return Err(Refusal::Empty);
        }
        if self.length > room {
            return Err(Refusal::TooBig {
                length: self.length,
                slot: room,
            });
        }
        Ok(())
    }

    /// Whether the record speaks of this very image.
    pub(crate) fn is_of(&self, record: &Record) -> bool {
        record.length == self.length && record.sha256 == self.sha256
    }
}

/// How the last update ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The image runs and was confirmed.
    Confirmed,
    /// The image was given up, and the one before runs. `started`: it had run on trial; otherwise the boot loader never
    /// got it to the point where this engine starts. `reason` is what the application gave to [`Updater::reject`](crate::Updater::reject), or 0.
    RolledBack {
        /// It had run on trial.
        started: bool,
        /// The application's reason.
        reason: u8,
    },
    /// The image never became bootable; the code is that of [`Refusal::code`](crate::Refusal::code).
    Refused(u8),
}

/// What the device can truthfully say of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// No update is going on.
    Idle {
        /// How the last one ended, with the digest of its image and whether that was [reported](crate::Updater::reported).
        last: Option<(Outcome, [u8; 32], bool)>,
    },
    /// A download was begun; what is durable of it need not be fetched again.
    Downloading {
        /// What is being fetched.
        offer: Offer,
        /// Bytes that are durable.
        durable: u32,
    },
    /// A whole, verified image waits for [`Updater::activate`](crate::Updater::activate).
    Staged {
        /// What was fetched.
        offer: Offer,
    },
    /// The next boot tries the image: reboot.
    Armed {
        /// What will be tried.
        offer: Offer,
    },
    /// The running app is on trial: [`Updater::confirm`](crate::Updater::confirm) or [`Updater::reject`](crate::Updater::reject) it.
    OnTrial {
        /// What is being tried.
        offer: Offer,
        /// The boot loader goes back by itself if the app does not confirm. `false`: it does not know how to (a boot
        /// loader built without rollback), and the trial is the app's own affair.
        monitored: bool,
    },
    /// The app on trial was rejected: reboot to go back.
    Rejected {
        /// What was tried.
        offer: Offer,
    },
}

/// Reason of [`Phase::RolledBack`]: the boot loader never started the image. An application's own reasons are below.
pub(crate) const NEVER_STARTED: u8 = 0xFF;

pub(crate) const fn outcome_of(record: &Record) -> Option<Outcome> {
    Some(match record.phase {
        Phase::Confirmed => Outcome::Confirmed,
        Phase::RolledBack => Outcome::RolledBack {
            started: record.reason != NEVER_STARTED,
            reason: if record.reason == NEVER_STARTED {
                0
            } else {
                record.reason
            },
        },
        Phase::Refused => Outcome::Refused(record.reason),
        _ => return None,
    })
}
