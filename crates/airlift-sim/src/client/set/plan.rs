//! What a device updates as one, and where each part goes: its configuration.

use std::fmt;
use std::path::{Path, PathBuf};

use airlift_device::flash::Region;
use airlift_device::partition::{Partition, PartitionKind};
use airlift_device::set::{Destination, Identity, MAX_PARTS, Part, UnknownTags};

use super::super::plan::{Ground, PlanError, Planned};
use super::super::provision::SECTOR;
use super::external::External;
use super::notes::Notes;
use super::{Policy, Unit};
use crate::flash::{Flash, FlashFileError};

/// The parts of a device that are updated as one, by a Matter OTA image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetPlan {
    /// Who the device is: its vendor.
    pub vendor: u16,
    /// Its product.
    pub product: u16,
    /// The version of the software that it came with. An image that is installed brings its own.
    pub software_version: u32,
    /// An image may bring a lower version, or the same.
    pub allows_downgrade: bool,
    /// What happens to parts that are not listed here.
    pub unknown: UnknownTags,
    /// What happens when a part cannot be applied.
    pub policy: Policy,
    /// Name of the partition in which the app keeps its notes about images: two sectors or more, which are overwritten.
    pub notes: String,
    /// Name of the partition from which parts get room that name no other.
    pub spare: String,
    /// The parts.
    pub parts: Vec<SetPartPlan>,
}

/// One part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetPartPlan {
    /// Its tag in the image.
    pub tag: u32,
    /// Where it goes.
    pub to: PartPlan,
}

/// Where a part goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartPlan {
    /// The passive slot, and a trial.
    App,
    /// A data partition.
    Partition {
        /// Its name.
        name: String,
        /// The partition in which the new content waits; `None`: some of the spare one.
        room: Option<String>,
        /// The partition in which the old content is kept; `None`: some of the spare one.
        save: Option<String>,
    },
    /// Another flash.
    External {
        /// The file that stands for it; it is made if it does not exist.
        file: PathBuf,
        /// Bytes of the largest content.
        size: u32,
        /// Bytes in front of the content, which are not kept.
        descriptor: usize,
    },
}

/// Why a device cannot update its parts like that.
#[derive(Debug)]
pub struct SetPlanError {
    /// The part that is wrong; `None`: it is something else.
    pub tag: Option<u32>,
    /// What is wrong.
    pub problem: SetPlanProblem,
}

/// What is wrong with the plan for a set.
#[derive(Debug)]
#[non_exhaustive]
pub enum SetPlanProblem {
    /// There is no part.
    Empty,
    /// There are more than the engine takes.
    TooMany,
    /// The tag is there twice.
    Twice,
    /// A second app.
    SecondApp,
    /// There is only one slot.
    NoSlot,
    /// The partition, or one of its places, is none.
    Partition(PlanError),
    /// No data partition.
    Kind(String),
    /// It is updated on its own as well.
    OnItsOwn(String),
    /// Two parts, places or notes have bytes in common.
    Shared(String),
    /// An app with data in the other slot.
    TwoStep,
    /// There is no spare partition.
    NoSpare {
        /// Its name.
        name: String,
        /// Bytes that are needed of it.
        needed: u32,
    },
    /// The spare partition is too small.
    SmallSpare {
        /// Its name.
        name: String,
        /// Bytes that it has.
        size: u32,
        /// Bytes that are needed of it.
        needed: u32,
    },
    /// There is no partition for the notes, or it cannot be one.
    Notes(String),
    /// The size of another flash.
    Size,
    /// Two parts with one file.
    SameFile,
    /// The file of another flash.
    File(FlashFileError),
    /// The notes cannot be read.
    Unreadable(String),
}

impl fmt::Display for SetPlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            SetPlanProblem::Empty => {
                f.write_str("there is no [[set.part]]; write one for each tag of the image")
            }
            SetPlanProblem::TooMany => {
                write!(f, "more than {MAX_PARTS} parts; the journal keeps no more")
            }
            SetPlanProblem::Twice => f.write_str("tag: it is there twice; remove one"),
            SetPlanProblem::SecondApp => {
                f.write_str("app: another part is the app already; a device has one")
            }
            SetPlanProblem::NoSlot => {
                f.write_str("app: the partition table has only one slot; an app needs two")
            }
            SetPlanProblem::Partition(error) => error.fmt(f),
            SetPlanProblem::Kind(name) => write!(
                f,
                "partition: {name:?} is no data partition; a set takes the app and data partitions"
            ),
            SetPlanProblem::OnItsOwn(name) => write!(
                f,
                "partition: {name:?} is a [[partition]] as well; what belongs to a set is updated with it only"
            ),
            SetPlanProblem::Shared(name) => write!(
                f,
                "{name:?} is needed for something else in this set; each content needs a place of its own"
            ),
            SetPlanProblem::TwoStep => f.write_str(
                "app: with two_step the other slot holds data; such an app cannot be part of a set",
            ),
            SetPlanProblem::NoSpare { name, needed } => write!(
                f,
                "the flash has no partition {name:?}, of which {needed} bytes are needed; make one, or say `room` and `save` for each part, or another `spare`"
            ),
            SetPlanProblem::SmallSpare { name, size, needed } => write!(
                f,
                "the partition {name:?} has {size} bytes, and the parts need {needed} of it (room and save for each); make it larger, or say `room` and `save`"
            ),
            SetPlanProblem::Notes(name) => write!(
                f,
                "notes: {name:?} is no data partition of 8 KiB or more that nobody else uses; name another one"
            ),
            SetPlanProblem::Size => f.write_str("size: 1 byte to 16 MiB"),
            SetPlanProblem::SameFile => {
                f.write_str("external: another part has this file; use another one")
            }
            SetPlanProblem::File(error) => write!(f, "external: {error}"),
            SetPlanProblem::Unreadable(error) => write!(f, "notes: {error}"),
        }
    }
}

impl std::error::Error for SetPlanError {}

/// Bytes of the largest content of another flash.
const MAX_EXTERNAL: u32 = 16 << 20;

/// How another flash is got hold of: tag, file, size of its content, length of the descriptor, and the flash on whose power it hangs.
type Open = fn(u32, &Path, u32, usize, &Flash) -> Result<External, FlashFileError>;

/// Hands out the spare partition, sector by sector.
struct Spare {
    region: Option<Region>,
    used: u32,
}

impl Spare {
    /// The next sectors; outside of the partition if there are none, which shows in the end.
    fn take(&mut self, len: u32) -> Region {
        let start = self.region.map_or(0, |region| region.offset);
        let region = Region::new(start.saturating_add(self.used), len);
        self.used = self.used.saturating_add(len);
        region
    }
}

impl SetPlan {
    /// Makes the parts ready, if they suit the flash: files of other flashes are opened, or made.
    pub(in super::super) fn resolve(
        &self,
        ground: &Ground<'_>,
        planned: &[Planned],
        board: &Flash,
    ) -> Result<Unit, SetPlanError> {
        self.resolve_with(ground, planned, board, External::open)
    }

    /// The same for somebody who only looks: at copies of other flashes.
    pub(in super::super) fn look(
        &self,
        ground: &Ground<'_>,
        board: &Flash,
    ) -> Result<Unit, SetPlanError> {
        self.resolve_with(ground, &[], board, External::copy)
    }

    fn resolve_with(
        &self,
        ground: &Ground<'_>,
        planned: &[Planned],
        board: &Flash,
        open: Open,
    ) -> Result<Unit, SetPlanError> {
        let wrong = |tag| move |problem| SetPlanError { tag, problem };
        let general = wrong(None);
        if self.parts.is_empty() {
            return Err(general(SetPlanProblem::Empty));
        }
        if self.parts.len() > MAX_PARTS {
            return Err(general(SetPlanProblem::TooMany));
        }
        let notes = self.notes(ground).map_err(general)?;
        let mut taken = vec![(self.notes.clone(), notes)];
        let spare = ground.find(&self.spare).map(|spare| spare.region);
        let mut spare = Spare {
            region: spare,
            used: 0,
        };
        let mut parts: Vec<Part> = Vec::new();
        let mut places = Vec::new();
        for (index, plan) in self.parts.iter().enumerate() {
            let wrong = wrong(Some(plan.tag));
            let before = self.parts.get(..index).unwrap_or_default();
            if before.iter().any(|other| other.tag == plan.tag) {
                return Err(wrong(SetPlanProblem::Twice));
            }
            let place = match &plan.to {
                PartPlan::App => {
                    self.check_app(ground, before).map_err(wrong)?;
                    parts.push(Part {
                        tag: plan.tag,
                        to: Destination::App,
                    });
                    "app".to_owned()
                }
                PartPlan::Partition { name, room, save } => {
                    let partition = data(ground, planned, name).map_err(wrong)?;
                    let size = partition.region.len.next_multiple_of(SECTOR as u32);
                    let mut apart = |of: &Option<String>, needed| match of {
                        Some(of) => {
                            let region = ground.apart(of, &partition, needed);
                            let region = region.map_err(|problem| PlanError {
                                partition: name.clone(),
                                problem,
                            });
                            Ok((of.clone(), region.map_err(SetPlanProblem::Partition)?))
                        }
                        None => Ok((self.spare.clone(), spare.take(size))),
                    };
                    let room = apart(room, 0).map_err(wrong)?;
                    let save = apart(save, size).map_err(wrong)?;
                    parts.push(Part {
                        tag: plan.tag,
                        to: Destination::Partition {
                            partition,
                            room: room.1,
                            save: save.1,
                        },
                    });
                    taken.extend([(name.clone(), partition.region), room, save]);
                    format!("partition {name}")
                }
                PartPlan::External { file, size, .. } => {
                    if *size == 0 || *size > MAX_EXTERNAL {
                        return Err(wrong(SetPlanProblem::Size));
                    }
                    let same = before.iter().any(|other| {
                        matches!(&other.to, PartPlan::External { file: other, .. } if other == file)
                    });
                    if same {
                        return Err(wrong(SetPlanProblem::SameFile));
                    }
                    let name = file.file_name().unwrap_or(file.as_os_str());
                    format!("external {}", name.display())
                }
            };
            places.push((plan.tag, place));
        }
        self.check_spare(&spare).map_err(general)?;
        check_apart(&taken).map_err(general)?;
        let notes = board.typed().map_err(|error| error.to_string());
        let notes = notes.map_err(|error| general(SetPlanProblem::Unreadable(error)))?;
        let notes = Notes::read(notes, taken[0].1)
            .map_err(|error| general(SetPlanProblem::Unreadable(error.to_string())))?;
        // Nothing is made before everything else is known to be well.
        let externals = self.open_externals(board, open)?;
        Ok(Unit {
            identity: Identity {
                vendor: self.vendor,
                product: self.product,
                version: self.software_version,
                allows_downgrade: self.allows_downgrade,
            },
            unknown: self.unknown,
            policy: self.policy,
            parts,
            places,
            externals,
            notes,
            told: None,
        })
    }

    fn notes(&self, ground: &Ground<'_>) -> Result<Region, SetPlanProblem> {
        let found = ground.find(&self.notes).filter(|partition| {
            partition.kind == PartitionKind::Data
                && !partition.readonly
                && !ground.is_engines(partition.region)
                && partition.region.len >= 2 * SECTOR as u32
                && partition.region.len.is_multiple_of(SECTOR as u32)
        });
        match found {
            Some(partition) => Ok(partition.region),
            None => Err(SetPlanProblem::Notes(self.notes.clone())),
        }
    }

    fn check_app(&self, ground: &Ground<'_>, before: &[SetPartPlan]) -> Result<(), SetPlanProblem> {
        if before.iter().any(|other| other.to == PartPlan::App) {
            return Err(SetPlanProblem::SecondApp);
        }
        if ground.two_step {
            return Err(SetPlanProblem::TwoStep);
        }
        if ground.layout.slots().len() < 2 {
            return Err(SetPlanProblem::NoSlot);
        }
        Ok(())
    }

    fn check_spare(&self, spare: &Spare) -> Result<(), SetPlanProblem> {
        let (name, needed) = (self.spare.clone(), spare.used);
        match spare.region {
            _ if needed == 0 => Ok(()),
            None => Err(SetPlanProblem::NoSpare { name, needed }),
            Some(region) if region.len < needed => Err(SetPlanProblem::SmallSpare {
                name,
                size: region.len,
                needed,
            }),
            Some(_) => Ok(()),
        }
    }

    fn open_externals(&self, board: &Flash, open: Open) -> Result<Vec<External>, SetPlanError> {
        let mut externals = Vec::new();
        for plan in &self.parts {
            if let PartPlan::External {
                file,
                size,
                descriptor,
            } = &plan.to
            {
                let external = open(plan.tag, file, *size, *descriptor, board);
                externals.push(external.map_err(|error| SetPlanError {
                    tag: Some(plan.tag),
                    problem: SetPlanProblem::File(error),
                })?);
            }
        }
        Ok(externals)
    }
}

/// A data partition that is not updated on its own.
fn data(ground: &Ground<'_>, planned: &[Planned], name: &str) -> Result<Partition, SetPlanProblem> {
    let partition = ground.known(name).map_err(|problem| {
        SetPlanProblem::Partition(PlanError {
            partition: name.to_owned(),
            problem,
        })
    })?;
    if partition.kind != PartitionKind::Data {
        return Err(SetPlanProblem::Kind(name.to_owned()));
    }
    if planned.iter().any(|other| other.name == name) {
        return Err(SetPlanProblem::OnItsOwn(name.to_owned()));
    }
    Ok(partition)
}

/// No two of them may have anything in common.
fn check_apart(taken: &[(String, Region)]) -> Result<(), SetPlanProblem> {
    for (index, (name, region)) in taken.iter().enumerate() {
        let mut before = taken.iter().take(index);
        if before.any(|(_, other)| other.overlaps(*region)) {
            return Err(SetPlanProblem::Shared(name.clone()));
        }
    }
    Ok(())
}
