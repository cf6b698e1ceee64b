//! The life of a device whose app and partitions are updated as one: all of them or none.

use std::collections::HashSet;

use airlift_device::flash::Region;
use airlift_device::partition::{JournalRestore, Partition, PartitionOutcome, PartitionState};
use airlift_device::set::{Destination, Part, SetRestore, SetState};
use airlift_device::verify::AnyImage;
use airlift_device::{Error, Layout, Offer, Status, Updater};
use sha2::{Digest as _, Sha256};

use super::judge::Loss;
use super::machine::{Machine, Power, Started};
use super::run::{App, holds, noise, readable};
use super::sweep::Life;
use crate::flash::{Flash, FlashError, Geometry, Model, Nor, SimFlash, block_on};

/// One set that the server offers.
#[derive(Debug, Clone, Copy)]
pub struct SetStep {
    /// The app in it, and its length.
    pub app: Option<(App, usize)>,
    /// Lengths of the new contents of the partitions, from the first.
    pub parts: &'static [usize],
}

/// A line of the table: sets, one after the other.
#[derive(Debug, Clone, Copy)]
pub struct SetScenario {
    /// Its name, in a printed case.
    pub name: &'static str,
    /// The sets.
    pub steps: &'static [SetStep],
}

impl SetScenario {
    /// Whether the scenario can come to its end on this board.
    #[must_use]
    pub fn suits<M: Machine>(&self, machine: &M) -> bool {
        machine.slots().len() > 1
            && (machine.rolls_back()
                || self
                    .steps
                    .iter()
                    .all(|step| step.app.is_none_or(|(app, _)| app == App::Confirms)))
    }
}

const PARTITIONS: usize = 3;
const CHUNK: usize = 700;
const BUFFER: usize = 512;
const MAX_BOOTS: u32 = 60;

/// Everything that an app relies on: its own image, and what the partitions hold.
#[derive(Debug, Clone)]
struct World {
    app: Vec<u8>,
    behaves: App,
    parts: Vec<Vec<u8>>,
}

/// A device with its flash, and the server that it talks to.
pub struct SetWorld<'m, M, const W: usize, const S: usize> {
    machine: &'m M,
    flash: SimFlash<W, S>,
    scenario: SetScenario,
    /// What the device came with, and what it holds after each set.
    worlds: Vec<World>,
    /// The set that is on offer next.
    step: usize,
    /// The world that was confirmed last.
    confirmed: usize,
    /// Worlds whose app said that it is good.
    approved: HashSet<usize>,
    partitions: [(Partition, Region, Region); PARTITIONS],
    /// How often the present set was tried.
    tries: u32,
}

enum Next {
    Reboot,
    Done,
}

enum Stop {
    Power,
    Loss(Loss),
}

impl From<Loss> for Stop {
    fn from(loss: Loss) -> Self {
        Self::Loss(loss)
    }
}

fn loss<T>(text: impl Into<String>) -> Result<T, Loss> {
    Err(Loss(text.into()))
}

fn offer(bytes: &[u8]) -> Offer {
    Offer {
        length: bytes.len() as u32,
        sha256: Sha256::digest(bytes).into(),
    }
}

type Engine<'l, M, const W: usize, const S: usize> =
    Updater<'l, SimFlash<W, S>, <M as Machine>::Control>;

impl<'m, M: Machine, const W: usize, const S: usize> SetWorld<'m, M, W, S> {
    /// A device with three full partitions, on a new flash.
    ///
    /// # Panics
    ///
    /// If the geometry of the type is none.
    #[must_use]
    pub fn new(machine: &'m M, model: Model, scenario: SetScenario) -> Self {
        let sector = S as u32;
        let mut at = machine.capacity() as u32;
        let mut next = || {
            let region = Region::new(at, sector);
            at += region.len;
            region
        };
        let partitions = [(); PARTITIONS].map(|()| (Partition::data(next()), next(), next()));
        let geometry = Geometry::new(W, S, at as usize).expect("a geometry of the table");
        let mut nor = Nor::new(geometry, model);
        let mut worlds = vec![World {
            app: noise(1, machine.first().len as usize / 2 + 5),
            behaves: App::Confirms,
            parts: (2..).take(PARTITIONS).map(|seed| noise(seed, S)).collect(),
        }];
        let mut last = worlds[0].clone();
        for (seed, step) in (10..).step_by(10).zip(scenario.steps) {
            let mut world = last.clone();
            if let Some((behaves, length)) = step.app {
                world.app = noise(seed, length);
                world.behaves = behaves;
            }
            for (index, length) in step.parts.iter().enumerate() {
                world.parts[index] = noise(seed + 1 + index as u64, *length);
            }
            if step.app.is_none_or(|(app, _)| app == App::Confirms) {
                last = world.clone();
            }
            worlds.push(world);
        }
        let mut put = |region: Region, bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes.resize(bytes.len().next_multiple_of(W), 0xFF);
            nor.overwrite(region.offset, &bytes)
                .expect("a place in the flash");
        };
        put(machine.first(), &worlds[0].app);
        for ((partition, ..), bytes) in partitions.iter().zip(&worlds[0].parts) {
            put(partition.region, bytes);
        }
        Self {
            machine,
            flash: Flash::new(nor)
                .typed()
                .expect("the geometry is that of the type"),
            scenario,
            worlds,
            step: 0,
            confirmed: 0,
            approved: HashSet::new(),
            partitions,
            tries: 0,
        }
    }

    fn boot(&mut self) -> Result<Next, Stop> {
        let Self {
            machine,
            flash,
            worlds,
            ..
        } = self;
        let cells = flash.flash().clone();
        let mut whole = |region: Region| {
            worlds.iter().any(|world| {
                holds(&cells, region, &world.app) && readable(&cells, region, &world.app)
            })
        };
        let Started { region, slot, .. } = match machine.boot(flash, &mut whole) {
            Err(Power(FlashError::PowerLost)) => return Err(Stop::Power),
            Err(Power(error)) => {
                return Err(Loss(format!("the boot loader's flash failed: {error}")).into());
            }
            Ok(None) => return Err(Loss("nothing boots".into()).into()),
            Ok(Some(started)) => started,
        };
        let running: Vec<usize> = (0..self.worlds.len())
            .filter(|world| holds(&cells, region, &self.worlds[*world].app))
            .collect();
        let Some(&newest) = running.last() else {
            return Err(Loss(format!("slot {slot:?} boots and holds no app")).into());
        };
        if self.worlds[newest].behaves == App::Crashes {
            return Ok(Next::Reboot);
        }
        let mut layout = Layout::new(self.machine.slots(), self.machine.journal());
        if slot.is_none() {
            layout.factory = Some(region);
        }
        let mut buffer = [0; BUFFER];
        let mut updater = block_on(Updater::recover(
            self.flash.clone(),
            self.machine.control(),
            layout,
            slot,
            &mut (JournalRestore, SetRestore(())),
            &mut buffer,
        ))
        .map_err(|error| self.stop(&error))?;
        if !self.flash().lock().has_power() {
            return Err(Stop::Power);
        }
        self.run(&mut updater, &running)
    }

    /// The worlds that everything in the flash belongs to.
    fn held(&self, running: &[usize]) -> Vec<usize> {
        let cells = self.flash.flash();
        let holds_all = |world: &usize| {
            let parts = &self.worlds[*world].parts;
            self.partitions.iter().zip(parts).all(|((at, ..), bytes)| {
                holds(cells, at.region, bytes) && readable(cells, at.region, bytes)
            })
        };
        running.iter().copied().filter(holds_all).collect()
    }

    /// The app, from its first line to its reboot.
    fn run(&mut self, updater: &mut Engine<'_, M, W, S>, running: &[usize]) -> Result<Next, Stop> {
        loop {
            let state = block_on(updater.set_state()).map_err(|error| self.stop(&error))?;
            if state == SetState::Applied {
                // Not to go on with anything: the new parts are there, and this is the old app.
                if matches!(updater.status(), Status::Staged { .. }) {
                    block_on(updater.activate()).map_err(|error| self.stop(&error))?;
                }
                return Ok(Next::Reboot);
            }
            // An app that goes on finds one world, whole, and the engine knows which.
            let held = self.held(running);
            if held.is_empty() {
                return Err(Loss(format!(
                    "the app of {running:?} runs, and what it finds is a mixture; the device says {state:?}"
                ))
                .into());
            }
            match state {
                SetState::OnTrial => {
                    let world = *held.last().unwrap_or(&0);
                    match self.worlds[world].behaves {
                        App::Confirms => {
                            self.approved.insert(world);
                            let mut buffer = [0; BUFFER];
                            block_on(updater.confirm_set(&mut SetRestore(()), &mut buffer))
                                .map_err(|error| self.stop(&error))?;
                        }
                        App::Rejects => {
                            block_on(updater.reject(7)).map_err(|error| self.stop(&error))?;
                            return Ok(Next::Reboot);
                        }
                        _ => return Ok(Next::Reboot),
                    }
                    continue;
                }
                SetState::Stuck => {
                    return Err(Loss("the set is stuck, and the flash is good".into()).into());
                }
                SetState::Done { sha256, reported } => {
                    let Some(world) = self.world_of(sha256) else {
                        return Err(Loss("a set that does not exist is done".into()).into());
                    };
                    if !held.contains(&world) {
                        return Err(
                            Loss("a set is said to be done, and it is not there".into()).into()
                        );
                    }
                    let has_app = self.scenario.steps[world - 1].app.is_some();
                    if has_app && !self.approved.contains(&world) {
                        return Err(
                            Loss("a set is done whose app was never confirmed".into()).into()
                        );
                    }
                    self.confirmed = world;
                    self.settle(updater, world, reported)?;
                }
                SetState::Reverted {
                    sha256, reported, ..
                } => {
                    let Some(world) = self.world_of(sha256) else {
                        return Err(Loss("a set that does not exist was undone".into()).into());
                    };
                    if !held.contains(&self.confirmed) {
                        return Err(Loss(
                            "a set is said to be undone, and the old is not there".into(),
                        )
                        .into());
                    }
                    let good = self.scenario.steps[world - 1]
                        .app
                        .is_none_or(|(app, _)| app == App::Confirms);
                    // A good one that a power cut rolled back is offered again.
                    if good {
                        self.tries += u32::from(!reported);
                        block_on(updater.set_reported()).map_err(|error| self.stop(&error))?;
                    } else {
                        self.settle(updater, world, reported)?;
                    }
                }
                SetState::None if !held.contains(&0) => {
                    return Err(
                        Loss("nothing was updated, and something has changed".into()).into(),
                    );
                }
                _ => {}
            }
            self.judge_partitions(updater)?;
            if self.step >= self.scenario.steps.len() {
                return Ok(Next::Done);
            }
            self.update(updater).map_err(|error| self.stop(&error))?;
        }
    }

    /// The set that is on offer has come to its end.
    fn settle(
        &mut self,
        updater: &mut Engine<'_, M, W, S>,
        world: usize,
        reported: bool,
    ) -> Result<(), Stop> {
        if world == self.step + 1 && !reported {
            self.step += 1;
            self.tries = 0;
        }
        block_on(updater.set_reported()).map_err(|error| self.stop(&error))?;
        Ok(())
    }

    fn world_of(&self, sha256: [u8; 32]) -> Option<usize> {
        (1..self.worlds.len()).find(|world| set_offer(*world).sha256 == sha256)
    }

    /// Nothing is left in pieces, whatever the set says.
    fn judge_partitions(&self, updater: &mut Engine<'_, M, W, S>) -> Result<(), Stop> {
        for (partition, ..) in &self.partitions {
            let state =
                block_on(updater.partition_state(partition)).map_err(|error| self.stop(&error))?;
            match state {
                PartitionState::Whole { last } => {
                    let outcome = last.map(|(outcome, ..)| outcome);
                    if let Some(PartitionOutcome::Updated) = outcome
                        && self.confirmed == 0
                    {
                        return Err(Loss("a part is updated, and no set is done".into()).into());
                    }
                }
                PartitionState::Pending { .. } => {}
                state => {
                    return Err(Loss(format!("no set is pending, and a part is {state:?}")).into());
                }
            }
        }
        Ok(())
    }

    /// Stages the set on offer, part by part, and commits it.
    fn update(&self, updater: &mut Engine<'_, M, W, S>) -> Result<(), Error<FlashError>> {
        let step = self.scenario.steps[self.step];
        let world = &self.worlds[self.step + 1];
        let mut parts = Vec::new();
        let mut contents = Vec::new();
        if step.app.is_some() {
            parts.push(Part {
                tag: 1,
                to: Destination::App,
            });
            contents.push(&world.app);
        }
        for (index, _) in step.parts.iter().enumerate() {
            let (partition, room, save) = self.partitions[index];
            parts.push(Part {
                tag: 4 + index as u32,
                to: Destination::Partition {
                    partition,
                    room,
                    save,
                },
            });
            contents.push(&world.parts[index]);
        }
        let mut buffer = [0; BUFFER];
        block_on(async {
            for (part, content) in parts.iter().zip(contents) {
                let length = content.len() as u32;
                let mut download = updater
                    .begin_part(part, length, AnyImage, &mut buffer)
                    .await?;
                for chunk in content.chunks(CHUNK) {
                    download.write(chunk).await?;
                }
                if download.finish().await? != offer(content).sha256 {
                    return Err(Error::State);
                }
            }
            let set = set_offer(self.step + 1);
            updater
                .commit_set(&set, &parts, &mut SetRestore(()), &mut buffer)
                .await?;
            Ok(())
        })
    }

    fn stop(&self, error: &Error<FlashError>) -> Stop {
        match error {
            _ if !self.flash().lock().has_power() => Stop::Power,
            error => Stop::Loss(Loss(format!("the engine failed: {error}"))),
        }
    }
}

/// Stands for the container.
fn set_offer(world: usize) -> Offer {
    offer(&[world as u8; 100])
}

impl<M: Machine, const W: usize, const S: usize> Life for SetWorld<'_, M, W, S> {
    fn flash(&self) -> &Flash {
        self.flash.flash()
    }

    fn fork(&self) -> Self {
        let nor = self.flash.flash().lock().fork();
        Self {
            flash: Flash::new(nor).typed().expect("the geometry stays"),
            worlds: self.worlds.clone(),
            approved: self.approved.clone(),
            ..*self
        }
    }

    fn live(&mut self, cut: &mut dyn FnMut(&Flash)) -> Result<(), Loss> {
        for _ in 0..MAX_BOOTS {
            match self.boot() {
                Ok(Next::Reboot) => {}
                Ok(Next::Done) => {
                    let good =
                        |step: &SetStep| step.app.is_none_or(|(app, _)| app == App::Confirms);
                    let last = self.scenario.steps.iter().rposition(good);
                    if self.confirmed != last.map_or(0, |step| step + 1) {
                        return loss("at the end another set is in place than should");
                    }
                    return Ok(());
                }
                Err(Stop::Loss(loss)) => return Err(loss),
                Err(Stop::Power) => {
                    self.flash().lock().power_on();
                    cut(self.flash.flash());
                }
            }
        }
        loss(format!(
            "after {MAX_BOOTS} boots the sets are not at their end"
        ))
    }
}
