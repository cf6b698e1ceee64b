//! The words for schemes, in configuration files and as flags.

use airlift_device::partition::AfterCut;
use airlift_sim::client::{RiskPlan, RoomPlan, SchemePlan};

/// A scheme as somebody wrote it down.
#[derive(Debug, Clone, Default)]
pub(super) struct Words<'w> {
    pub(super) scheme: &'w str,
    pub(super) room: Option<&'w str>,
    pub(super) used: Option<u64>,
    pub(super) after_cut: Option<&'w str>,
    pub(super) accept_brick_risk: bool,
    pub(super) recovery: Option<&'w str>,
}

/// Which key is wrong, and what to do.
pub(super) type Wrong = (&'static str, String);

impl Words<'_> {
    /// What they mean.
    pub(super) fn plan(&self) -> Result<SchemePlan, Wrong> {
        let plan = match self.scheme {
            "direct" => SchemePlan::Direct,
            "backup" => SchemePlan::Backup {
                room: self.room()?,
                used: self.used()?,
                after_cut: self.after_cut()?,
            },
            "staged" => SchemePlan::Staged { room: self.room()? },
            "staged-boot" => SchemePlan::StagedBoot {
                room: self.room()?,
                risk: self.risk()?,
            },
            other => {
                let message = format!(
                    "{other:?} is no scheme: use \"direct\", \"backup\", \"staged\", or for boot loader and partition table \"staged-boot\""
                );
                return Err(("scheme", message));
            }
        };
        let boots = matches!(plan, SchemePlan::StagedBoot { .. });
        let backs_up = matches!(plan, SchemePlan::Backup { .. });
        for (key, is_there, belongs) in [
            ("room", self.room.is_some(), plan != SchemePlan::Direct),
            ("used", self.used.is_some(), backs_up),
            ("after_cut", self.after_cut.is_some(), backs_up),
            ("accept_brick_risk", self.accept_brick_risk, boots),
            ("recovery", self.recovery.is_some(), boots),
        ] {
            if is_there && !belongs {
                let scheme = self.scheme;
                return Err((
                    key,
                    format!("the scheme {scheme:?} has no use for it; remove it"),
                ));
            }
        }
        Ok(plan)
    }

    fn room(&self) -> Result<RoomPlan, Wrong> {
        match self.room {
            None | Some("passive-slot") => Ok(RoomPlan::PassiveSlot),
            Some(room) => match room.strip_prefix("partition:") {
                Some(name) if !name.is_empty() => Ok(RoomPlan::Partition(name.to_owned())),
                _ => Err((
                    "room",
                    format!("{room:?} is no room: use \"passive-slot\" or \"partition:NAME\""),
                )),
            },
        }
    }

    fn used(&self) -> Result<Option<u32>, Wrong> {
        self.used
            .map(|used| match u32::try_from(used) {
                Ok(used) if used > 0 => Ok(used),
                _ => Err(("used", format!("{used} bytes cannot be in use"))),
            })
            .transpose()
    }

    fn after_cut(&self) -> Result<AfterCut, Wrong> {
        match self.after_cut {
            None | Some("restore") => Ok(AfterCut::Restore),
            Some("resume") => Ok(AfterCut::Resume),
            Some(other) => Err((
                "after_cut",
                format!("{other:?} is none of \"restore\", \"resume\""),
            )),
        }
    }

    fn risk(&self) -> Result<RiskPlan, Wrong> {
        match (self.recovery, self.accept_brick_risk) {
            (Some(_), true) => Err((
                "recovery",
                "a recovery boot loader and accept_brick_risk exclude each other; keep one".to_owned(),
            )),
            (Some(name), false) => {
                let name = name.strip_prefix("partition:").unwrap_or(name);
                Ok(RiskPlan::Recovery(name.to_owned()))
            }
            (None, true) => Ok(RiskPlan::Accepted),
            (None, false) => Err((
                "accept_brick_risk",
                "a power cut at the wrong moment leaves a device that does not start any more: accept that, or name the partition of a recovery boot loader as `recovery`".to_owned(),
            )),
        }
    }
}
