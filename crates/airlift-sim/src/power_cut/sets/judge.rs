//! What the device says, against what is in its flash.

use airlift_device::flash::Region;
use airlift_device::partition::{PartitionOutcome, PartitionState};
use airlift_device::set::{Holds, SetState};

use super::super::judge::Loss;
use super::super::machine::Machine;
use super::super::run::{holds, readable};
use super::{CUSTOM, Engine, FIRST, Faulty, SetWorld, Stop, World, offer};
use crate::flash::block_on;

impl<M: Machine, const W: usize, const S: usize> SetWorld<'_, M, W, S> {
    /// The worlds that everything in the flash belongs to.
    pub(super) fn held(&self, running: &[usize]) -> Vec<usize> {
        let holds_all = |world: &usize| {
            let world = &self.worlds[*world];
            let tags = (FIRST..).take(self.partitions.len()).chain([CUSTOM]);
            { tags }.all(|tag| self.has(world, tag))
        };
        running.iter().copied().filter(holds_all).collect()
    }

    /// Whether a part other than the app is what it is in this world.
    fn has(&self, world: &World, tag: u32) -> bool {
        let cells = self.flash.flash();
        let is_in = |region: Region, bytes: &[u8]| {
            holds(cells, region, bytes) && readable(cells, region, bytes)
        };
        if tag != CUSTOM {
            let index = (tag - FIRST) as usize;
            return is_in(self.partitions[index].0.region, &world.parts[index]);
        }
        // What an app would find that asks for it: before the first part came, there is nothing.
        match block_on(self.custom().used()) {
            Ok((place, Some(content))) => {
                let region = Region::new(self.other.offset + place.offset, place.len);
                content == offer(&world.custom) && is_in(region, &world.custom)
            }
            Ok((_, None)) => world.custom.is_empty(),
            Err(_) => false,
        }
    }

    /// What is said of the set as a whole, by an app that goes on.
    pub(super) fn judge_state(&self, state: SetState, held: &[usize]) -> Result<(), Loss> {
        let lost = |text: &str| Err(Loss(text.into()));
        match state {
            SetState::Done { sha256, .. } => {
                let Some(world) = self.world_of(sha256) else {
                    return lost("a set that does not exist is done");
                };
                if !held.contains(&world) {
                    return lost("a set is said to be done, and it is not there");
                }
                let has_app = self.scenario.steps[world - 1].app.is_some();
                if has_app && !self.approved.contains(&world) {
                    return lost("a set is done whose app was never confirmed");
                }
            }
            SetState::Reverted { sha256, .. } => {
                if self.world_of(sha256).is_none() {
                    return lost("a set that does not exist was undone");
                }
                if !held.contains(&self.confirmed) {
                    return lost("a set is said to be undone, and the old is not there");
                }
            }
            SetState::None if !held.contains(&0) => {
                return lost("nothing was updated, and something has changed");
            }
            SetState::Stuck => return lost("the set is stuck, and the flash is good"),
            SetState::Partly { .. } => return lost("nobody has asked for half a set"),
            _ => {}
        }
        Ok(())
    }

    /// What is said of each part of the set is so.
    pub(super) fn judge_report(
        &self,
        updater: &mut Engine<'_, M, W, S>,
        running: &[usize],
        state: SetState,
    ) -> Result<(), Stop> {
        let mut index = 0;
        // The set that is pending is the one on offer; one that has ended says its name.
        let new = match state {
            SetState::None => return Ok(()),
            SetState::Done { sha256, .. } | SetState::Reverted { sha256, .. } => {
                self.world_of(sha256).unwrap_or(0)
            }
            _ => self.step + 1,
        };
        let old = match state {
            SetState::Done { .. } => new,
            _ => self.confirmed,
        };
        loop {
            let part = block_on(updater.set_part(index)).map_err(|error| self.stop(&error))?;
            let Some(part) = part else {
                return Ok(());
            };
            index += 1;
            let world = match part.holds {
                Holds::Old => old,
                Holds::New => new,
                Holds::Neither | Holds::Unknown if self.faulty == Faulty::Worn => continue,
                vague => {
                    return Err(Loss(format!(
                        "the flash is good, and tag {} is said to be {vague:?} ({state:?})",
                        part.tag
                    ))
                    .into());
                }
            };
            let is_so = match part.tag {
                1 => running.contains(&world),
                tag => self.has(&self.worlds[world], tag),
            };
            if !is_so {
                return Err(Loss(format!(
                    "tag {} is said to be {:?} ({state:?}), and is not",
                    part.tag, part.holds
                ))
                .into());
            }
        }
    }

    /// Nothing is left in pieces, whatever the set says, and what is called updated is there.
    pub(super) fn judge_partitions(&self, updater: &mut Engine<'_, M, W, S>) -> Result<(), Stop> {
        for (index, (partition, ..)) in self.partitions.iter().enumerate() {
            let state =
                block_on(updater.partition_state(partition)).map_err(|error| self.stop(&error))?;
            match state {
                PartitionState::Whole {
                    last: Some((PartitionOutcome::Updated, sha256, _)),
                } => {
                    let is_there = self.worlds.iter().any(|world| {
                        let content = &world.parts[index];
                        offer(content).sha256 == sha256 && self.has(world, FIRST + index as u32)
                    });
                    if !is_there {
                        return Err(Loss("a part is updated, and does not hold it".into()).into());
                    }
                }
                PartitionState::Whole { .. } | PartitionState::Pending { .. } => {}
                state => {
                    return Err(Loss(format!("no set is pending, and a part is {state:?}")).into());
                }
            }
        }
        Ok(())
    }
}
