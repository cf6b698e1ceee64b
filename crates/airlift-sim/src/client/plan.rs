//! Which partitions of a device are updated, and how: its configuration.

use std::fmt;

use airlift_device::flash::Region;
use airlift_device::install::EspLayout;
use airlift_device::notify::esp_http::is_partition_name;
use airlift_device::partition::{
    AfterCut, Backup, BootRisk, BrickRisk, Direct, Partition, PartitionKind, Room, Scheme as _,
    Staged, StagedBoot,
};

/// A partition that is updated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionPlan {
    /// Its name in the partition table.
    pub name: String,
    /// How it is rewritten.
    pub scheme: SchemePlan,
}

/// How a partition is rewritten: see [`airlift_device::partition`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemePlan {
    /// In place.
    Direct,
    /// In place, after the old content was copied away.
    Backup {
        /// Where the copy is kept.
        room: RoomPlan,
        /// Bytes of the partition that are in use; `None`: all.
        used: Option<u32>,
        /// What is done at boot when the update was interrupted.
        after_cut: AfterCut,
    },
    /// By way of another place.
    Staged {
        /// Where the new content is fetched to.
        room: RoomPlan,
    },
    /// The same for boot loader and partition table.
    StagedBoot {
        /// Where the new content is fetched to.
        room: RoomPlan,
        /// What keeps the device alive.
        risk: RiskPlan,
    },
}

impl SchemePlan {
    /// The word for it in configuration files and on command lines.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Backup { .. } => "backup",
            Self::Staged { .. } => "staged",
            Self::StagedBoot { .. } => "staged-boot",
        }
    }
}

/// Where copies are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RoomPlan {
    /// In the app slot that does not run.
    #[default]
    PassiveSlot,
    /// In the partition of this name.
    Partition(String),
}

/// What keeps a device alive whose boot loader is rewritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RiskPlan {
    /// Nothing does, and that is accepted.
    Accepted,
    /// The recovery boot loader in the partition of this name.
    Recovery(String),
}

/// Why a partition cannot be updated like that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanError {
    /// The partition.
    pub partition: String,
    /// What is wrong.
    pub problem: PlanProblem,
}

/// What is wrong with the plan for a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanProblem {
    /// There is no partition of that name; these there are.
    Unknown(Vec<String>),
    /// It is planned twice.
    Twice,
    /// Its name cannot be said in a request.
    Name,
    /// It holds an app.
    App,
    /// It is the engine's journal, or the boot selection.
    Engine,
    /// It is marked as readonly.
    ReadOnly,
    /// The scheme is for partitions of other types.
    Scheme {
        /// Its word.
        scheme: &'static str,
        /// Words of those that suit the partition.
        suits: &'static str,
    },
    /// There is no partition with the name of the room; these there are.
    NoRoom(String, Vec<String>),
    /// The room is no place for copies: an app slot, the journal, the boot selection, the partition itself.
    Room(String),
    /// The room is smaller than what is copied.
    SmallRoom {
        /// Its name.
        room: String,
        /// Its size.
        size: u32,
        /// Bytes that are copied.
        needed: u32,
    },
    /// More is in use than there is.
    Used {
        /// Size of the partition.
        size: u32,
    },
    /// The passive slot holds the data of a two-step device.
    HoldsData,
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.partition;
        match &self.problem {
            PlanProblem::Unknown(known) => write!(
                f,
                "name: the flash has no partition {name:?}; it has {}",
                known.join(", ")
            ),
            PlanProblem::Twice => write!(f, "name: {name:?} is there twice; remove one"),
            PlanProblem::Name => write!(
                f,
                "name: {name:?} cannot be asked for at a server: 1 to 16 of A-Z a-z 0-9 - _ . + :"
            ),
            PlanProblem::App => write!(
                f,
                "name: {name:?} holds an app; apps are updated without being named here"
            ),
            PlanProblem::Engine => write!(
                f,
                "name: {name:?} belongs to the engine itself; only other partitions can be updated"
            ),
            PlanProblem::ReadOnly => write!(
                f,
                "name: {name:?} is readonly in the partition table; remove that flag there"
            ),
            PlanProblem::Scheme { scheme, suits } => write!(
                f,
                "scheme: {scheme:?} is not for a partition of the type of {name:?}; use {suits}"
            ),
            PlanProblem::NoRoom(room, known) => write!(
                f,
                "room: the flash has no partition {room:?}; it has {}",
                known.join(", ")
            ),
            PlanProblem::Room(room) => write!(
                f,
                "room: {room:?} cannot hold copies: name a data partition that nobody else uses, or use \"passive-slot\""
            ),
            PlanProblem::SmallRoom { room, size, needed } => write!(
                f,
                "room: {room:?} has {size} bytes, and {needed} must fit; use a larger one, or say with `used` how much is in use"
            ),
            PlanProblem::Used { size } => write!(
                f,
                "used: more than the {size} bytes that {name:?} has; use less, or leave it out"
            ),
            PlanProblem::HoldsData => f.write_str(
                "room: the passive slot holds the data of the app (two_step); use \"partition:NAME\"",
            ),
        }
    }
}

impl std::error::Error for PlanError {}

/// A plan that suits the flash.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub(super) name: String,
    pub(super) partition: Partition,
    pub(super) way: Way,
}

/// The schemes, ready for the engine.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way {
    Direct(Direct),
    Backup(Backup),
    Staged(Staged),
    StagedBoot(StagedBoot),
}

/// What a plan is held against.
pub(super) struct Ground<'g> {
    pub(super) named: &'g [(String, Partition)],
    pub(super) layout: &'g EspLayout,
    pub(super) two_step: bool,
}

impl Ground<'_> {
    fn names(&self) -> Vec<String> {
        self.named.iter().map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn find(&self, name: &str) -> Option<Partition> {
        let mut named = self.named.iter();
        Some(named.find(|(of, _)| of == name)?.1)
    }

    pub(super) fn is_engines(&self, region: Region) -> bool {
        region.overlaps(self.layout.journal) || region.overlaps(self.layout.otadata)
    }

    /// The plan, if it suits the flash.
    pub(super) fn resolve(&self, plan: &PartitionPlan) -> Result<Planned, PlanError> {
        let wrong = |problem| PlanError {
            partition: plan.name.clone(),
            problem,
        };
        let partition = self.known(&plan.name).map_err(wrong)?;
        let way = self.way(&partition, &plan.scheme).map_err(wrong)?;
        Ok(Planned {
            name: plan.name.clone(),
            partition,
            way,
        })
    }

    /// The partition of this name, if it may be written.
    pub(super) fn known(&self, name: &str) -> Result<Partition, PlanProblem> {
        let partition = self.find(name);
        let partition = partition.ok_or_else(|| PlanProblem::Unknown(self.names()))?;
        if partition.kind == PartitionKind::App {
            return Err(PlanProblem::App);
        }
        if self.is_engines(partition.region) {
            return Err(PlanProblem::Engine);
        }
        if partition.readonly {
            return Err(PlanProblem::ReadOnly);
        }
        Ok(partition)
    }

    fn way(&self, partition: &Partition, scheme: &SchemePlan) -> Result<Way, PlanProblem> {
        let size = partition.region.len;
        let way = match scheme {
            SchemePlan::Direct => Way::Direct(Direct),
            SchemePlan::Backup {
                room,
                used,
                after_cut,
            } => {
                if used.is_some_and(|used| used > size) {
                    return Err(PlanProblem::Used { size });
                }
                let needed = used.unwrap_or(size);
                Way::Backup(Backup {
                    room: self.room(room, partition, needed)?,
                    used: *used,
                    after_cut: *after_cut,
                })
            }
            SchemePlan::Staged { room } => Way::Staged(Staged {
                room: self.room(room, partition, 0)?,
            }),
            SchemePlan::StagedBoot { room, risk } => Way::StagedBoot(StagedBoot {
                room: self.room(room, partition, 0)?,
                risk: match risk {
                    RiskPlan::Accepted => BootRisk::Bricks(BrickRisk::accepted()),
                    RiskPlan::Recovery(name) => {
                        BootRisk::RecoveryBootLoader(self.apart(name, partition, size)?)
                    }
                },
            }),
        };
        if !way.suits(partition.kind) {
            return Err(PlanProblem::Scheme {
                scheme: scheme.word(),
                suits: match partition.kind {
                    PartitionKind::Data => "\"direct\", \"backup\" or \"staged\"",
                    PartitionKind::BootLoader => "\"staged-boot\"",
                    PartitionKind::PartitionTable => "\"staged-boot\" with accept_brick_risk",
                    _ => "none: such a partition is never written",
                },
            });
        }
        Ok(way)
    }

    fn room(
        &self,
        room: &RoomPlan,
        partition: &Partition,
        needed: u32,
    ) -> Result<Room, PlanProblem> {
        match room {
            RoomPlan::PassiveSlot if self.two_step => Err(PlanProblem::HoldsData),
            RoomPlan::PassiveSlot => Ok(Room::PassiveSlot),
            RoomPlan::Partition(name) => Ok(Room::At(self.apart(name, partition, needed)?)),
        }
    }

    pub(super) fn apart(
        &self,
        name: &str,
        of: &Partition,
        needed: u32,
    ) -> Result<Region, PlanProblem> {
        let room = self.find(name);
        let room = room.ok_or_else(|| PlanProblem::NoRoom(name.to_owned(), self.names()))?;
        let region = room.region;
        if room.kind == PartitionKind::App
            || room.readonly
            || region.overlaps(of.region)
            || self.is_engines(region)
        {
            return Err(PlanProblem::Room(name.to_owned()));
        }
        if needed > region.len {
            return Err(PlanProblem::SmallRoom {
                room: name.to_owned(),
                size: region.len,
                needed,
            });
        }
        Ok(region)
    }

    /// All plans of a device.
    pub(super) fn resolve_all(&self, plans: &[PartitionPlan]) -> Result<Vec<Planned>, PlanError> {
        let mut planned: Vec<Planned> = Vec::new();
        for plan in plans {
            let wrong = |problem| PlanError {
                partition: plan.name.clone(),
                problem,
            };
            if !is_partition_name(&plan.name) {
                return Err(wrong(PlanProblem::Name));
            }
            if planned.iter().any(|other| other.name == plan.name) {
                return Err(wrong(PlanProblem::Twice));
            }
            planned.push(self.resolve(plan)?);
        }
        Ok(planned)
    }
}

impl Way {
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Direct(_) => "direct",
            Self::Backup(_) => "backup",
            Self::Staged(_) => "staged",
            Self::StagedBoot(_) => "staged-boot",
        }
    }

    fn suits(&self, kind: PartitionKind) -> bool {
        match self {
            Self::Direct(scheme) => scheme.suits(kind),
            Self::Backup(scheme) => scheme.suits(kind),
            Self::Staged(scheme) => scheme.suits(kind),
            Self::StagedBoot(scheme) => scheme.suits(kind),
        }
    }
}
