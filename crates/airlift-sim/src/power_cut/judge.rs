//! What must be true after every boot, whatever happened before: judged on the flash and on what was really done.

use std::collections::{HashMap, HashSet};
use std::fmt;

use airlift_device::flash::Region;
use airlift_device::{MAX_ATTEMPTS, Offer, Outcome, Status};

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss(pub String);

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What really happened to the images so far, as nobody but the test can know.
#[derive(Debug, Clone, Default)]
pub struct Judge {
    /// The boot loader goes back by itself when a trial is not confirmed.
    pub(crate) rolls_back: bool,
    /// Images whose engine came up, so that they know of being on trial.
    pub(crate) started: HashSet<[u8; 32]>,
    /// Images that said that they are good.
    pub(crate) approved: HashSet<[u8; 32]>,
    /// Images that said so, and were told that it is done.
    pub(crate) settled: HashSet<[u8; 32]>,
    /// Images that come damaged.
    pub(crate) may_refuse: HashSet<[u8; 32]>,
    /// How often the boot loader was asked to try an image.
    pub(crate) attempts: HashMap<[u8; 32], u32>,
}

impl Judge {
    /// Compares what the device says of itself with the flash and with what was done.
    pub(crate) fn status<'i>(
        &self,
        status: Status,
        running: [u8; 32],
        slot: Option<Region>,
        content: impl Fn(Region, &[u8]) -> bool,
        image: impl Fn(&[u8; 32]) -> Option<&'i [u8]>,
    ) -> Result<(), Loss> {
        let holds = |offer: Offer, length: u32| -> Result<(), Loss> {
            let (Some(slot), Some(image)) = (slot, image(&offer.sha256)) else {
                return Err(Loss(format!(
                    "the device speaks of an image or a slot that does not exist: {status:?}"
                )));
            };
            let part = image.get(..length as usize);
            if !part.is_some_and(|part| content(slot, part)) {
                return Err(Loss(format!(
                    "the device says that the slot holds {length} bytes of the image, and it does not"
                )));
            }
            Ok(())
        };
        match status {
            Status::Downloading { offer, durable } => holds(offer, durable),
            Status::Staged { offer } | Status::Armed { offer } => holds(offer, offer.length),
            Status::OnTrial {
                monitored: false, ..
            } if self.rolls_back => Err(Loss(
                "an image runs that was not confirmed, and the boot loader does not watch over it"
                    .into(),
            )),
            Status::OnTrial { offer, .. } | Status::Rejected { offer } => {
                if offer.sha256 != running {
                    return Err(Loss(
                        "the device says that it runs on trial, and runs something else".into(),
                    ));
                }
                if self.settled.contains(&running) {
                    return Err(Loss(
                        "a confirmed image is said to be on trial again".into(),
                    ));
                }
                Ok(())
            }
            Status::Idle { last: None } => Ok(()),
            Status::Idle {
                last: Some((outcome, sha256, _)),
            } => self.outcome(outcome, sha256, running),
            other => Err(Loss(format!("an unknown status: {other:?}"))),
        }
    }

    fn outcome(&self, outcome: Outcome, sha256: [u8; 32], running: [u8; 32]) -> Result<(), Loss> {
        match outcome {
            Outcome::Confirmed if !self.approved.contains(&sha256) => Err(Loss(
                "an image is said to be confirmed that never said it is good".into(),
            )),
            Outcome::Confirmed if sha256 != running => Err(Loss(
                "an image is said to be confirmed, and another one runs".into(),
            )),
            Outcome::RolledBack { .. } if sha256 == running => Err(Loss(
                "an image is said to be rolled back, and it runs".into(),
            )),
            Outcome::RolledBack { .. } if self.settled.contains(&sha256) => {
                Err(Loss("a confirmed image is said to be rolled back".into()))
            }
            Outcome::RolledBack { started: true, .. } if !self.started.contains(&sha256) => Err(
                Loss("an image is said to have run and been rolled back that never ran".into()),
            ),
            Outcome::RolledBack { started: false, .. }
                if self.attempts.get(&sha256) < Some(&MAX_ATTEMPTS.into()) =>
            {
                Err(Loss(format!(
                    "an image was given up after {:?} attempts to start it",
                    self.attempts.get(&sha256)
                )))
            }
            Outcome::Refused(code) if !self.may_refuse.contains(&sha256) => Err(Loss(format!(
                "a good image is said to be refused (code {code})"
            ))),
            _ => Ok(()),
        }
    }
}
