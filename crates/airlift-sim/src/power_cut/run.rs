//! One device's life: boot, run, be offered images, reboot, until it is where it should be.

use airlift_device::flash::Region;
use airlift_device::journal::Journal;
use airlift_device::verify::AnyImage;
use airlift_device::{Error, Layout, Offer, Outcome, Status, Updater};
use sha2::{Digest as _, Sha256};

use super::judge::{Judge, Loss};
use super::machine::{Machine, Power, Started};
use super::sweep::Life;
use crate::flash::{Flash, FlashError, Geometry, Model, Nor, SimFlash, block_on};

/// How an app behaves when it is on trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum App {
    /// It finds itself good.
    Confirms,
    /// It finds itself bad.
    Rejects,
    /// It resets without a word.
    Hangs,
    /// It resets before its engine comes up.
    Crashes,
    /// It never starts: a word of it is lost from the flash between its verification and its first boot.
    Rots,
}

/// One image that the server offers, until the device has installed it or given it up.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// What the app in it does.
    pub app: App,
    /// Its length in bytes.
    pub length: usize,
    /// A bit of it flips on the way, every time.
    pub corrupt: bool,
    /// After the first cut the server offers the next step's image instead.
    pub replaced: bool,
    /// When the image is to be tried at the next boot, the server offers the next step's image, and the device takes it
    /// before it reboots.
    pub superseded: bool,
}

impl Step {
    /// A good image of `length` bytes.
    #[must_use]
    pub const fn good(length: usize) -> Self {
        Self::of(App::Confirms, length)
    }

    /// An image of `length` bytes with this app.
    #[must_use]
    pub const fn of(app: App, length: usize) -> Self {
        Self {
            app,
            length,
            corrupt: false,
            replaced: false,
            superseded: false,
        }
    }

    /// Its bytes are damaged on the way.
    #[must_use]
    pub const fn corrupted(self) -> Self {
        Self {
            corrupt: true,
            ..self
        }
    }

    /// It is replaced by the next step just before the reboot that would have tried it.
    #[must_use]
    pub const fn superseded(self) -> Self {
        Self {
            superseded: true,
            ..self
        }
    }

    /// It is replaced by the next step when the power has been cut.
    #[must_use]
    pub const fn replaced(self) -> Self {
        Self {
            replaced: true,
            ..self
        }
    }
}

/// A line of the table: what the server offers, one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Its name, in a printed case.
    pub name: &'static str,
    /// The offers.
    pub steps: &'static [Step],
}

impl Scenario {
    /// Whether the scenario can come to its end on this board.
    #[must_use]
    pub fn suits<M: Machine>(&self, machine: &M) -> bool {
        // With a single slot there is nowhere to go after the first update; without rollback a dead app stays dead.
        let (one, mute) = (machine.slots().len() == 1, !machine.rolls_back());
        !(one && self.steps.len() > 1
            || mute
                && self
                    .steps
                    .iter()
                    .any(|step| matches!(step.app, App::Hangs | App::Crashes | App::Rots)))
    }
}

/// Bytes the driver of the device gives to the engine at once, and the engine's buffer.
const CHUNK: usize = 700;
const BUFFER: usize = 512;
/// More boots than this without an end: the device is stuck.
const MAX_BOOTS: u32 = 60;

#[derive(Debug, Clone)]
struct Image {
    bytes: Vec<u8>,
    /// The bytes as they arrive.
    sent: Vec<u8>,
    sha256: [u8; 32],
    app: App,
}

/// A device with its flash, and the server that it talks to.
pub struct World<'m, M, const W: usize, const S: usize> {
    machine: &'m M,
    flash: SimFlash<W, S>,
    scenario: Scenario,
    /// The image the device came with, then one for each step.
    images: Vec<Image>,
    step: usize,
    judge: Judge,
    /// Bytes fetched for the present step, and how often the power went during it.
    fetched: u64,
    cuts: u32,
    /// What ran last.
    running: [u8; 32],
    /// What is armed has lost a word since it was verified.
    rotten: bool,
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

pub(super) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    (0..length)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect()
}

impl<'m, M: Machine, const W: usize, const S: usize> World<'m, M, W, S> {
    /// A device that runs its first image, on a new flash.
    ///
    /// # Panics
    ///
    /// If the geometry of the type is none.
    #[must_use]
    pub fn new(machine: &'m M, model: Model, scenario: Scenario) -> Self {
        let geometry = Geometry::new(W, S, machine.capacity()).expect("a geometry of the table");
        let flash = Flash::new(Nor::new(geometry, model));
        let first = [Step::good(machine.first().len as usize / 2 + 5)];
        let images: Vec<Image> = (1..)
            .zip(first.iter().chain(scenario.steps))
            .map(|(seed, step)| {
                let bytes = noise(seed, step.length);
                let mut sent = bytes.clone();
                if step.corrupt {
                    sent[step.length / 2] ^= 0x10;
                }
                Image {
                    sha256: Sha256::digest(&bytes).into(),
                    bytes,
                    sent,
                    app: step.app,
                }
            })
            .collect();
        let mut padded = images[0].bytes.clone();
        padded.resize(padded.len().next_multiple_of(W), 0xFF);
        flash
            .lock()
            .overwrite(machine.first().offset, &padded)
            .expect("the first image fits");
        Self {
            machine,
            flash: flash.typed().expect("the geometry is that of the type"),
            scenario,
            images,
            step: 0,
            judge: Judge {
                rolls_back: machine.rolls_back(),
                ..Judge::default()
            },
            fetched: 0,
            cuts: 0,
            running: [0; 32],
            rotten: false,
        }
    }

    fn present(&self) -> Option<&Step> {
        self.scenario.steps.get(self.step)
    }

    fn next_step(&mut self) {
        self.step += 1;
        self.fetched = 0;
        self.cuts = 0;
    }

    /// One boot, and what the app does until it reboots.
    fn boot(&mut self) -> Result<Next, Stop> {
        let Self {
            machine,
            flash,
            images,
            ..
        } = self;
        let cells = flash.flash().clone();
        let mut whole = |region: Region| {
            images.iter().any(|image| {
                holds(&cells, region, &image.bytes) && readable(&cells, region, &image.bytes)
            })
        };
        let Started {
            region,
            slot,
            selected,
        } = match machine.boot(flash, &mut whole) {
            Err(Power(FlashError::PowerLost)) => return Err(Stop::Power),
            Err(Power(error)) => {
                return Err(Loss(format!("the boot loader's flash failed: {error}")).into());
            }
            Ok(None) => return Err(Loss("nothing boots".into()).into()),
            Ok(Some(started)) => started,
        };
        // The longest that matches: one image may be the beginning of another.
        let Some(image) = images
            .iter()
            .filter(|image| holds(&cells, region, &image.bytes))
            .max_by_key(|image| image.bytes.len())
            .cloned()
        else {
            return Err(Loss(format!("slot {slot:?} boots and holds no image")).into());
        };
        self.running = image.sha256;
        if !selected && !self.rotten {
            let loss = "the boot selection names something that cannot be started";
            return Err(Loss(loss.into()).into());
        }
        self.rotten = false;
        if image.app == App::Crashes {
            return Ok(Next::Reboot);
        }
        self.run(&image, slot)
    }

    /// The application, from its first line to its reboot.
    fn run(&mut self, image: &Image, slot: Option<u8>) -> Result<Next, Stop> {
        self.judge.started.insert(image.sha256);
        let layout = Layout::new(self.machine.slots(), self.machine.journal());
        let control = self.machine.control();
        let flash = self.flash.clone();
        let mut updater = match block_on(Updater::start(flash, control, layout, slot)) {
            Ok(updater) => updater,
            Err(error) => return Err(self.stop(&error)),
        };
        let cells = self.flash.flash().clone();
        let rots = self.present().is_some_and(|step| step.app == App::Rots);
        self.judge.status(
            updater.status(),
            image.sha256,
            updater.passive_region(),
            // What has rotted since it was verified is not held against the engine.
            |region, bytes| rots || holds(&cells, region, bytes),
            |sha256| Some(self.image(sha256)?.sent.as_slice()),
        )?;
        match updater.status() {
            Status::OnTrial { .. } => match image.app {
                App::Confirms => {
                    self.judge.approved.insert(image.sha256);
                    block_on(updater.confirm()).map_err(|error| self.stop(&error))?;
                    self.judge.settled.insert(image.sha256);
                }
                App::Rejects => {
                    block_on(updater.reject(7)).map_err(|error| self.stop(&error))?;
                    return Ok(Next::Reboot);
                }
                App::Hangs | App::Crashes | App::Rots => return Ok(Next::Reboot),
            },
            Status::Rejected { .. } => return Ok(Next::Reboot),
            _ => {}
        }
        if let Status::Idle {
            last: Some((outcome, sha256, reported)),
        } = updater.status()
        {
            if outcome == Outcome::Confirmed {
                self.judge.settled.insert(sha256);
            }
            // The server hears of it: what was offered is settled, or has proved bad. A good image that a power cut rolled
            // back is offered again.
            if self.images.get(self.step + 1).is_some_and(|offered| {
                offered.sha256 == sha256
                    && (outcome == Outcome::Confirmed
                        || !reported && (offered.app != App::Confirms || self.corrupt()))
            }) {
                self.next_step();
            }
            block_on(updater.reported()).map_err(|error| self.stop(&error))?;
        }
        if self.step >= self.scenario.steps.len() {
            return Ok(Next::Done);
        }
        if let Status::Staged { offer } = updater.status()
            && offer.sha256 == self.images[self.step + 1].sha256
        {
            return self.activate(&mut updater);
        }
        self.fetch(&mut updater)
    }

    fn corrupt(&self) -> bool {
        self.present().is_some_and(|step| step.corrupt)
    }

    fn image(&self, sha256: &[u8; 32]) -> Option<&Image> {
        self.images.iter().find(|image| image.sha256 == *sha256)
    }

    /// Fetches the offered image, installs it and reboots.
    fn fetch(
        &mut self,
        updater: &mut Updater<'_, SimFlash<W, S>, M::Control>,
    ) -> Result<Next, Stop> {
        let corrupt = self.corrupt();
        let image = self.images[self.step + 1].clone();
        if corrupt {
            self.judge.may_refuse.insert(image.sha256);
        }
        let offer = Offer {
            length: image.bytes.len() as u32,
            sha256: image.sha256,
        };
        let mut buffer = [0; BUFFER];
        let done = block_on(async {
            let mut download = updater.begin(offer, AnyImage, &mut buffer).await?;
            let rest = &image.sent[download.offset() as usize..];
            for chunk in rest.chunks(CHUNK) {
                self.fetched += chunk.len() as u64;
                download.write(chunk).await?;
            }
            download.finish().await
        });
        // Power that goes costs at most the stretch that was not yet marked, and what was in the buffers. Where the cut tore the
        // mark itself without a trace, the mark stays missing, and the next cut costs one stretch more.
        let cuts = u64::from(self.cuts);
        let stretches = (2 * cuts).saturating_sub(1);
        let again = stretches * stride::<W, S>(offer.length) + cuts * (CHUNK + BUFFER) as u64;
        if self.fetched > u64::from(offer.length) + again {
            return Err(Loss(format!(
                "{} bytes were fetched of an image of {}, with {} power cuts",
                self.fetched, offer.length, self.cuts
            ))
            .into());
        }
        match done {
            Ok(()) => self.activate(updater),
            Err(Error::Refused(_)) if corrupt => Ok(Next::Reboot),
            Err(error) => Err(self.stop(&error)),
        }
    }

    fn activate(
        &mut self,
        updater: &mut Updater<'_, SimFlash<W, S>, M::Control>,
    ) -> Result<Next, Stop> {
        let sha256 = self.images[self.step + 1].sha256;
        *self.judge.attempts.entry(sha256).or_default() += 1;
        let rots = self.present().is_some_and(|step| step.app == App::Rots);
        if let Some(region) = updater.passive_region().filter(|_| rots) {
            let mut nor = self.flash().lock();
            // Every bit that a program could still clear, and some more: the cell is worn out.
            let _ = nor.overwrite(region.offset, &[0; W]);
            drop(nor);
            self.rotten = true;
        }
        block_on(updater.activate()).map_err(|error| self.stop(&error))?;
        if self.present().is_some_and(|step| step.superseded) {
            self.next_step();
            return self.fetch(updater);
        }
        Ok(Next::Reboot)
    }

    /// At the end the last good image runs.
    fn end(&self) -> Result<(), Loss> {
        let good = |step: &Step| {
            step.app == App::Confirms && !(step.corrupt || step.replaced || step.superseded)
        };
        let expected = self.scenario.steps.iter().rposition(good);
        let expected = &self.images[expected.map_or(0, |step| step + 1)];
        if self.running != expected.sha256 {
            return Err(Loss("at the end something else runs than should".into()));
        }
        Ok(())
    }

    fn stop(&self, error: &Error<FlashError>) -> Stop {
        match error {
            _ if !self.flash().lock().has_power() => Stop::Power,
            error => Stop::Loss(Loss(format!("the engine failed: {error}"))),
        }
    }
}

impl<M: Machine, const W: usize, const S: usize> Life for World<'_, M, W, S> {
    fn flash(&self) -> &Flash {
        self.flash.flash()
    }

    fn fork(&self) -> Self {
        let nor = self.flash.flash().lock().fork();
        Self {
            flash: Flash::new(nor).typed().expect("the geometry stays"),
            images: self.images.clone(),
            judge: self.judge.clone(),
            ..*self
        }
    }

    fn live(&mut self, cut: &mut dyn FnMut(&Flash)) -> Result<(), Loss> {
        for _ in 0..MAX_BOOTS {
            match self.boot() {
                Ok(Next::Reboot) => {}
                Ok(Next::Done) => return self.end(),
                Err(Stop::Loss(loss)) => return Err(loss),
                Err(Stop::Power) => {
                    self.flash().lock().power_on();
                    self.cuts += 1;
                    if self.present().is_some_and(|step| step.replaced) {
                        self.next_step();
                    }
                    cut(self.flash.flash());
                }
            }
        }
        Err(Loss(format!(
            "after {MAX_BOOTS} boots the update is not at its end"
        )))
    }
}

/// The stretch that a cut can cost: see `docs/journal.md`.
pub(super) fn stride<const W: usize, const S: usize>(length: u32) -> u64 {
    Journal::stride::<SimFlash<W, S>>(length).into()
}

/// Whether all words that hold `bytes` can be read.
pub(super) fn readable(flash: &Flash, region: Region, bytes: &[u8]) -> bool {
    let mut bytes = vec![0; bytes.len()];
    flash.lock().read(region.offset, &mut bytes).is_ok()
}

/// Whether the cells begin with `bytes`, past any error correction: the truth that no driver can read.
pub(super) fn holds(flash: &Flash, region: Region, bytes: &[u8]) -> bool {
    let nor = flash.lock();
    let start = region.offset as usize;
    bytes.len() <= region.len as usize && nor.cells().get(start..start + bytes.len()) == Some(bytes)
}
