//! The life of a device whose app, partitions and a part in another flash are updated as one: all of them or none.

mod faults;
mod judge;
mod life;

use std::collections::HashSet;

use airlift_device::flash::Region;
use airlift_device::partition::Partition;
use airlift_device::set::{Destination, Part, TwoPlaces};
use airlift_device::{Error, Offer, Updater};
use airlift_formats::matter::image::ImageBuilder;
use airlift_formats::nxp::{Descriptor, PartRule, PayloadBuilder};
use sha2::{Digest as _, Sha256};

use super::judge::Loss;
use super::machine::Machine;
use super::run::{App, noise};
use crate::flash::{Flash, FlashError, Geometry, Model, Nor, SimFlash, Window};

pub use faults::{FaultTally, fault_sweep, live_with};

/// One set that the server offers.
#[derive(Debug, Clone, Copy)]
pub struct SetStep {
    /// The app in it, and its length.
    pub app: Option<(App, usize)>,
    /// Lengths of the new contents of the partitions, from the first. [`SAME`]: what the partition held before.
    pub parts: &'static [usize],
    /// Length of the new content of the part in another flash; or [`SAME`].
    pub custom: Option<usize>,
    /// How it comes.
    pub comes: Comes,
}

/// A part that the device has already when it comes.
pub const SAME: usize = usize::MAX;

/// How a set comes to the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comes {
    /// Part by part, without a container; one that is interrupted starts anew.
    Parts,
    /// In a Matter OTA image, from a source that can start anywhere.
    Image,
    /// The same, with a manifest: what the device holds is not fetched. The last partition is applied first.
    Manifest,
}

/// A line of the table: sets, one after the other.
#[derive(Debug, Clone, Copy)]
pub struct SetScenario {
    /// Its name, in a printed case.
    pub name: &'static str,
    /// The sets.
    pub steps: &'static [SetStep],
}

impl SetStep {
    /// With a part in another flash, of this length.
    #[must_use]
    pub const fn custom(mut self, length: usize) -> Self {
        self.custom = Some(length);
        self
    }

    /// It comes like this.
    #[must_use]
    pub const fn comes(mut self, how: Comes) -> Self {
        self.comes = how;
        self
    }

    fn is_good(&self) -> bool {
        self.app.is_none_or(|(app, _)| app == App::Confirms)
    }
}

impl SetScenario {
    /// Whether the scenario can come to its end on this board.
    #[must_use]
    pub fn suits<M: Machine>(&self, machine: &M) -> bool {
        machine.slots().len() > 1
            && (machine.rolls_back() || self.steps.iter().all(SetStep::is_good))
    }
}

const PARTITIONS: usize = 3;
const CHUNK: usize = 700;
const BUFFER: usize = 512;
const MAX_BOOTS: u32 = 60;

/// Tags of the partitions start here.
const FIRST: u32 = 4;
/// Tag of the part in another flash.
const CUSTOM: u32 = 100;

/// Everything that an app relies on: its own image, what the partitions hold, and the other flash.
#[derive(Debug, Clone)]
struct World {
    app: Vec<u8>,
    behaves: App,
    parts: Vec<Vec<u8>>,
    custom: Vec<u8>,
    /// The set that brings it: what names it, and its bytes as the server has them.
    set: Offer,
    image: Vec<u8>,
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
    /// Where the other flash is.
    other: Region,
    /// Bytes fetched since a set was settled or undone, and power cuts since then.
    fetched: u64,
    cuts: u64,
    /// Flash fails that has power, and how.
    faulty: Faulty,
}

/// What the flash may do that is no power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Faulty {
    No,
    /// Until the next boot.
    Passing,
    /// For good.
    Worn,
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
    /// A device with three full partitions and nothing in its other flash, on a new flash.
    ///
    /// # Panics
    ///
    /// If the geometry of the type is none.
    #[must_use]
    pub fn new(machine: &'m M, model: Model, scenario: SetScenario) -> Self {
        let sector = S as u32;
        let mut at = machine.capacity() as u32;
        let mut next = |sectors| {
            let region = Region::new(at, sectors * sector);
            at += region.len;
            region
        };
        let partitions = [(); PARTITIONS].map(|()| (Partition::data(next(1)), next(1), next(1)));
        let other = next(4);
        let geometry = Geometry::new(W, S, at as usize).expect("a geometry of the table");
        let mut nor = Nor::new(geometry, model);
        let mut worlds = vec![World {
            app: noise(1, machine.first().len as usize / 2 + 5),
            behaves: App::Confirms,
            parts: (2..).take(PARTITIONS).map(|seed| noise(seed, S)).collect(),
            custom: Vec::new(),
            set: offer(&[]),
            image: Vec::new(),
        }];
        let mut last = worlds[0].clone();
        for (seed, step) in (10..).step_by(10).zip(scenario.steps) {
            let mut world = last.clone();
            if let Some((behaves, length)) = step.app {
                world.app = noise(seed, length);
                world.behaves = behaves;
            }
            let contents = world.parts.iter_mut().chain([&mut world.custom]);
            let lengths = (0..PARTITIONS).map(|part| step.parts.get(part).copied());
            let lengths = lengths.chain([step.custom]);
            for ((content, length), seed) in contents.zip(lengths).zip(seed + 1..) {
                if let Some(length) = length.filter(|length| *length != SAME) {
                    *content = noise(seed, length);
                }
            }
            world.image = image(step, &world, seed as u32);
            world.set = match step.comes {
                // Stands for the container.
                Comes::Parts => offer(&[seed as u8; 100]),
                _ => offer(&payload(step, &world)),
            };
            if step.is_good() {
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
            other,
            fetched: 0,
            cuts: 0,
            faulty: Faulty::No,
        }
    }

    /// The part in the other flash: two sectors of journal, and two places.
    fn custom(&self) -> TwoPlaces<Window<W, S>> {
        let sector = S as u32;
        let window = self.flash.window(self.other.offset, self.other.len);
        let places = [
            Region::new(2 * sector, sector),
            Region::new(3 * sector, sector),
        ];
        TwoPlaces::new(CUSTOM, window, Region::new(0, 2 * sector), places)
            .expect("regions of the window")
    }

    /// Where the parts go.
    fn parts(&self) -> Vec<Part> {
        let app = Part {
            tag: 1,
            to: Destination::App,
        };
        let partitions = (FIRST..).zip(&self.partitions).map(|(tag, place)| {
            let (partition, room, save) = *place;
            Part {
                tag,
                to: Destination::Partition {
                    partition,
                    room,
                    save,
                },
            }
        });
        [app].into_iter().chain(partitions).collect()
    }

    fn world_of(&self, sha256: [u8; 32]) -> Option<usize> {
        (1..self.worlds.len()).find(|world| self.worlds[*world].set.sha256 == sha256)
    }

    fn copy(&self) -> Self {
        let nor = self.flash.flash().lock().fork();
        Self {
            flash: Flash::new(nor).typed().expect("the geometry stays"),
            worlds: self.worlds.clone(),
            approved: self.approved.clone(),
            ..*self
        }
    }
}

/// The parts of a set in a container.
fn payload(step: &SetStep, world: &World) -> Vec<u8> {
    let mut builder = PayloadBuilder::default();
    let built = (|| {
        for (tag, content) in (FIRST..).zip(&world.parts).take(step.parts.len()) {
            builder.custom(tag, &[], content)?;
        }
        if step.custom.is_some() {
            builder.custom(CUSTOM, &[], &world.custom)?;
        }
        if step.app.is_some() {
            let descriptor = Descriptor::new(1, "1", "2026-11-26").expect("short texts");
            builder.application(&descriptor, &world.app)?;
        }
        if step.comes != Comes::Manifest {
            return Ok(builder.build());
        }
        let last = FIRST + (step.parts.len() as u32).saturating_sub(1);
        let rule = PartRule {
            tag: FIRST,
            order: 0,
            requires: &[last],
        };
        let rules = [rule];
        builder.build_with_manifest(if last > FIRST { &rules } else { &[] })
    })();
    built.unwrap_or_else(|error: airlift_formats::nxp::BuildError| {
        panic!("parts of a line: {error}")
    })
}

fn image(step: &SetStep, world: &World, version: u32) -> Vec<u8> {
    ImageBuilder::new(0xFFF1, 0x8001, version, "1")
        .build(&payload(step, world))
        .expect("a header that is good")
}

/// Why a life does not go on.
enum Stop {
    Power,
    /// The flash reported an error, as it was told to.
    Failed,
    Loss(Loss),
}

impl From<Loss> for Stop {
    fn from(loss: Loss) -> Self {
        Self::Loss(loss)
    }
}

impl<M, const W: usize, const S: usize> SetWorld<'_, M, W, S> {
    fn stop(&self, error: &Error<FlashError>) -> Stop {
        match error {
            _ if !self.flash.flash().lock().has_power() => Stop::Power,
            _ if self.faulty != Faulty::No => Stop::Failed,
            error => Stop::Loss(Loss(format!("the engine failed: {error}"))),
        }
    }
}
