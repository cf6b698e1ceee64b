//! The life of a device whose data, boot loader and app are updated, one after the other, over the same slots.
//!
//! ```text
//! | what the machine has: boot selection, journal, slots | guard | partition | guard | room apart | loader | recovery |
//! ```

mod judge;

use std::collections::HashSet;

use airlift_device::flash::Region;
use airlift_device::install::{BootControl as _, SlotState};
use airlift_device::journal::{Journal, TAIL_LEN};
use airlift_device::partition::{
    AfterCut, Backup, BootRisk, BrickRisk, DataDescription, DataState, Direct, JournalRestore,
    Partition, PartitionKind, PartitionOutcome, PartitionState, Room, Scheme, Staged, StagedBoot,
};
use airlift_device::verify::AnyImage;
use airlift_device::{Error, Layout, Offer, Outcome, Refusal, Status, Updater};
use sha2::{Digest as _, Sha256};

use super::judge::Loss;
use super::machine::{Machine, Power, Started};
use super::run::{App, holds, noise, readable};
use super::sweep::Life;
use crate::flash::{Flash, FlashError, Geometry, Model, Nor, SimFlash, block_on};

/// Where a scheme keeps its copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// In the passive app slot.
    Slot,
    /// In a partition of its own.
    Apart,
}

/// How a partition is rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// [`Direct`]
    Direct,
    /// [`Backup`]
    Backup {
        /// Where the old content is kept.
        room: Where,
        /// The update goes on after a cut, instead of being undone.
        resumes: bool,
        /// Only half of the partition is in use.
        half: bool,
    },
    /// [`Staged`]
    Staged(Where),
    /// [`StagedBoot`], over the boot loader.
    BootLoader {
        /// The chip has a second one.
        recovery: bool,
    },
}

/// One thing that changes.
#[derive(Debug, Clone, Copy)]
pub enum Change {
    /// Another app, of this length.
    App(App, usize),
    /// Other content for the partition, of this length.
    Data(How, usize),
    /// Content that is damaged on the way.
    Damaged(How, usize),
    /// Another app of the first length, and data of the second one for it.
    TwoStep(App, usize, usize),
    /// Other data for the app that runs, of this length.
    NewData(usize),
}

/// A line of the table: what changes, one after the other.
#[derive(Debug, Clone, Copy)]
pub struct PartitionScenario {
    /// Its name, in a printed case.
    pub name: &'static str,
    /// The changes.
    pub steps: &'static [Change],
    /// When the power has gone, the server has something else on offer: the next step.
    pub replaced: bool,
}

impl PartitionScenario {
    /// Whether the scenario can come to its end on this board.
    #[must_use]
    pub fn suits<M: Machine>(&self, machine: &M) -> bool {
        // A slot for the copy or the data beside the one that runs.
        machine.slots().len() > 1
            && (machine.rolls_back()
                || !self.steps.iter().any(|step| {
                    matches!(
                        step,
                        Change::App(App::Rejects, _) | Change::TwoStep(App::Rejects, ..)
                    )
                }))
    }
}

/// Bytes the driver of the device gives to the engine at once, and the engine's buffer.
const CHUNK: usize = 700;
const BUFFER: usize = 512;
/// More boots than this without an end: the device is stuck.
const MAX_BOOTS: u32 = 60;
/// What lies where nobody has any business.
const GUARD: u8 = 0xA5;
const FIRST_BYTE_OF_AN_APP: u8 = 0xE9;

#[derive(Debug, Clone)]
struct Content {
    bytes: Vec<u8>,
    sha256: [u8; 32],
}

impl Content {
    fn new(bytes: Vec<u8>) -> Self {
        Self {
            sha256: Sha256::digest(&bytes).into(),
            bytes,
        }
    }

    fn offer(&self) -> Offer {
        Offer {
            length: self.bytes.len() as u32,
            sha256: self.sha256,
        }
    }
}

/// A partition, and what is known to be in it.
#[derive(Debug, Clone)]
struct Target {
    partition: Partition,
    /// What it held last; `None`: nothing that anybody relies on.
    holds: Option<Content>,
}

/// A device with its flash, and the server that it talks to.
pub struct PartitionWorld<'m, M, const W: usize, const S: usize> {
    machine: &'m M,
    flash: SimFlash<W, S>,
    scenario: PartitionScenario,
    apps: Vec<(Content, App)>,
    /// What each step brings, and the bytes as they arrive.
    contents: Vec<(Content, Vec<u8>)>,
    step: usize,
    data: Target,
    loader: Target,
    apart: Region,
    recovery: Region,
    guards: [Region; 2],
    /// The data of the confirmed app.
    app_data: Option<Content>,
    running: [u8; 32],
    confirmed: HashSet<[u8; 32]>,
    /// Bytes fetched for the present step, and how often the power went during it.
    fetched: u64,
    cuts: u32,
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

type Engine<'l, M, const W: usize, const S: usize> =
    Updater<'l, SimFlash<W, S>, <M as Machine>::Control>;

impl<'m, M: Machine, const W: usize, const S: usize> PartitionWorld<'m, M, W, S> {
    /// A device that runs its first image, with a full partition and a boot loader, on a new flash.
    ///
    /// # Panics
    ///
    /// If the geometry of the type is none.
    #[must_use]
    pub fn new(machine: &'m M, model: Model, scenario: PartitionScenario) -> Self {
        let sector = S as u32;
        let sectors = if sector > 8192 { 1 } else { 2 };
        let mut at = machine.capacity() as u32;
        let mut next = |sectors: u32| {
            let region = Region::new(at, sectors * sector);
            at += region.len;
            region
        };
        let guard = next(1);
        let data = next(sectors);
        let guards = [guard, next(1)];
        let (apart, loader, recovery) = (next(sectors), next(1), next(1));
        let geometry = Geometry::new(W, S, at as usize).expect("a geometry of the table");
        let mut nor = Nor::new(geometry, model);

        let first = Content::new(app_image(1, machine.first().len as usize / 2 + 5));
        let held = |seed, region: Region| Content::new(noise(seed, region.len as usize));
        let (in_data, in_loader) = (held(2, data), held(3, loader));
        let mut put = |region: Region, bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes.resize(bytes.len().next_multiple_of(W), 0xFF);
            nor.overwrite(region.offset, &bytes)
                .expect("a place in the flash");
        };
        put(machine.first(), &first.bytes);
        put(data, &in_data.bytes);
        put(loader, &in_loader.bytes);
        for guard in guards {
            put(guard, &vec![GUARD; guard.len as usize]);
        }

        let mut apps = vec![(first.clone(), App::Confirms)];
        let mut contents = Vec::new();
        for (seed, step) in (10..).zip(scenario.steps) {
            let length = match *step {
                Change::App(app, length) | Change::TwoStep(app, length, _) => {
                    apps.push((Content::new(app_image(100 + seed, length)), app));
                    if let Change::TwoStep(_, _, data) = *step {
                        data
                    } else {
                        0
                    }
                }
                Change::Data(_, length) | Change::Damaged(_, length) | Change::NewData(length) => {
                    length
                }
            };
            let mut bytes = noise(seed, length);
            if let Some(byte) = bytes.first_mut() {
                // Data may begin like an app: they must not boot for all that.
                *byte = FIRST_BYTE_OF_AN_APP;
            }
            let content = Content::new(bytes);
            let mut sent = content.bytes.clone();
            if matches!(step, Change::Damaged(..)) {
                sent[length / 2] ^= 0x10;
            }
            contents.push((content, sent));
        }
        Self {
            machine,
            flash: Flash::new(nor)
                .typed()
                .expect("the geometry is that of the type"),
            scenario,
            contents,
            step: 0,
            data: Target {
                partition: Partition::data(data),
                holds: Some(in_data),
            },
            loader: Target {
                partition: Partition {
                    region: loader,
                    kind: PartitionKind::BootLoader,
                    readonly: false,
                },
                holds: Some(in_loader),
            },
            apart,
            recovery,
            guards,
            app_data: None,
            running: first.sha256,
            confirmed: HashSet::from([first.sha256]),
            apps,
            fetched: 0,
            cuts: 0,
        }
    }

    fn present(&self) -> Option<Change> {
        self.scenario.steps.get(self.step).copied()
    }

    fn next_step(&mut self) {
        self.step += 1;
        self.fetched = 0;
        self.cuts = 0;
    }

    /// The app that the present step brings.
    fn offered_app(&self) -> Option<&(Content, App)> {
        let brings = |step: &&Change| matches!(step, Change::App(..) | Change::TwoStep(..));
        let before = self.scenario.steps.iter().take(self.step + 1);
        self.apps.get(before.filter(brings).count())
    }

    /// One boot, and what the app does until it reboots.
    fn boot(&mut self) -> Result<Next, Stop> {
        self.judge_loader()?;
        let Self {
            machine,
            flash,
            apps,
            ..
        } = self;
        let cells = flash.flash().clone();
        let mut whole = |region: Region| {
            apps.iter().any(|(app, _)| {
                holds(&cells, region, &app.bytes) && readable(&cells, region, &app.bytes)
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
        let Some((image, app)) = apps
            .iter()
            .find(|(app, _)| holds(&cells, region, &app.bytes))
            .cloned()
        else {
            return Err(Loss(format!("slot {slot:?} boots and holds no app")).into());
        };
        self.running = image.sha256;
        let mut layout = Layout::new(self.machine.slots(), self.machine.journal());
        if slot.is_none() {
            layout.factory = Some(region);
        }
        let control = self.machine.control();
        let mut buffer = [0; BUFFER];
        let mut updater = block_on(Updater::recover(
            self.flash.clone(),
            control,
            layout,
            slot,
            &mut JournalRestore,
            &mut buffer,
        ))
        .map_err(|error| self.stop(&error))?;
        if !self.flash().lock().has_power() {
            return Err(Stop::Power);
        }
        self.judge(&mut updater)?;
        self.run(&mut updater, app)
    }

    /// The application, from its first line to its reboot.
    fn run(&mut self, updater: &mut Engine<'_, M, W, S>, app: App) -> Result<Next, Stop> {
        match updater.status() {
            Status::OnTrial { .. } if app == App::Rejects => {
                block_on(updater.reject(7)).map_err(|error| self.stop(&error))?;
                return Ok(Next::Reboot);
            }
            Status::OnTrial { .. } => {
                block_on(updater.confirm()).map_err(|error| self.stop(&error))?;
                self.confirmed.insert(self.running);
            }
            Status::Rejected { .. } => return Ok(Next::Reboot),
            _ => {
                if !self.confirmed.contains(&self.running) {
                    // Confirmed just before the power went, or nobody ever did.
                    match updater.status() {
                        Status::Idle {
                            last: Some((Outcome::Confirmed, sha256, _)),
                        } if sha256 == self.running => {
                            self.confirmed.insert(sha256);
                        }
                        status => {
                            return Err(Loss(format!(
                                "an app runs that was never confirmed, and the device says {status:?}"
                            ))
                            .into());
                        }
                    }
                }
            }
        }
        while let Some(step) = self.present() {
            let rebooting = match step {
                Change::App(..) => {
                    let rebooting = self.update_app(updater, None)?;
                    if !rebooting {
                        self.next_step();
                    }
                    rebooting
                }
                Change::Data(how, _) | Change::Damaged(how, _) => {
                    self.update_partition(updater, how)?;
                    false
                }
                Change::TwoStep(..) => self.two_steps(updater)?,
                Change::NewData(_) => {
                    let wanted = self.contents[self.step].0.clone();
                    self.fetch_data(updater, &wanted)?;
                    self.next_step();
                    false
                }
            };
            if rebooting {
                return Ok(Next::Reboot);
            }
            self.judge(updater)?;
        }
        Ok(Next::Done)
    }

    /// Fetches and installs the step's app. `true`: reboot. `false`: it runs, or was given up, and the next step follows.
    fn update_app(
        &mut self,
        updater: &mut Engine<'_, M, W, S>,
        plan: Option<&Content>,
    ) -> Result<bool, Stop> {
        let Some((image, app)) = self.offered_app().cloned() else {
            return Err(Loss("a step without an app".into()).into());
        };
        match updater.status() {
            Status::Idle {
                last: Some((Outcome::Confirmed, sha256, _)),
            } if sha256 == image.sha256 => return Ok(false),
            Status::Idle {
                last: Some((Outcome::RolledBack { .. }, sha256, _)),
            } if sha256 == image.sha256 && app == App::Rejects => return Ok(false),
            Status::Staged { offer } if offer == image.offer() => {}
            _ => {
                let (mut tries, mut done) = (0, Err(Error::State));
                while tries < 2 {
                    done = block_on(self.fetch_app(updater, &image, plan));
                    if !matches!(done, Err(Error::Refused(Refusal::HoldsCopy { .. }))) {
                        break;
                    }
                    // The slot holds what the partition needs. An app may not take that away.
                    tries += 1;
                    let mut buffer = [0; BUFFER];
                    let partition = self.data.partition;
                    block_on(updater.restore_partition(&partition, &mut buffer))
                        .map_err(|error| self.stop(&error))?;
                }
                done.map_err(|error| self.stop(&error))?;
            }
        }
        block_on(updater.activate()).map_err(|error| self.stop(&error))?;
        Ok(true)
    }

    async fn fetch_app(
        &mut self,
        updater: &mut Engine<'_, M, W, S>,
        image: &Content,
        plan: Option<&Content>,
    ) -> Result<(), Error<FlashError>> {
        if let Some(data) = plan {
            updater
                .plan_data(&image.offer(), &description(data))
                .await?;
        }
        let mut buffer = [0; BUFFER];
        let mut download = updater.begin(image.offer(), AnyImage, &mut buffer).await?;
        for chunk in image.bytes[download.offset() as usize..].chunks(CHUNK) {
            self.fetched += chunk.len() as u64;
            download.write(chunk).await?;
        }
        download.finish().await
    }

    /// Brings the step's content into its partition.
    fn update_partition(
        &mut self,
        updater: &mut Engine<'_, M, W, S>,
        how: How,
    ) -> Result<(), Stop> {
        let damaged = matches!(self.present(), Some(Change::Damaged(..)));
        let (content, sent) = self.contents[self.step].clone();
        let partition = self.target(how).partition;
        let state =
            block_on(updater.partition_state(&partition)).map_err(|error| self.stop(&error))?;
        if let PartitionState::Whole {
            last: Some((outcome, sha256, reported)),
        } = state
            && sha256 == content.sha256
            && (outcome == PartitionOutcome::Updated || (damaged && !reported && self.fetched > 0))
        {
            block_on(updater.partition_reported(&partition)).map_err(|error| self.stop(&error))?;
            self.next_step();
            return Ok(());
        }
        let (apart, recovery) = (self.apart, self.recovery);
        let room = |room| match room {
            Where::Slot => Room::PassiveSlot,
            Where::Apart => Room::At(apart),
        };
        let done = match how {
            How::Direct => self.feed(updater, &partition, Direct, &content, &sent),
            How::Backup {
                room: place,
                resumes,
                half,
            } => {
                let scheme = Backup {
                    room: room(place),
                    used: half.then_some(partition.region.len / 2),
                    after_cut: if resumes {
                        AfterCut::Resume
                    } else {
                        AfterCut::Restore
                    },
                };
                if half {
                    // Nobody relies on the other half any more.
                    let used = partition.region.len as usize / 2;
                    if let Some(held) = &mut self.data.holds {
                        held.bytes.truncate(used);
                        *held = Content::new(std::mem::take(&mut held.bytes));
                    }
                }
                self.feed(updater, &partition, scheme, &content, &sent)
            }
            How::Staged(place) => {
                let scheme = Staged { room: room(place) };
                self.feed(updater, &partition, scheme, &content, &sent)
            }
            How::BootLoader { recovery: has } => {
                let scheme = StagedBoot {
                    room: Room::PassiveSlot,
                    risk: if has {
                        BootRisk::RecoveryBootLoader(recovery)
                    } else {
                        BootRisk::Bricks(BrickRisk::accepted())
                    },
                };
                self.feed(updater, &partition, scheme, &content, &sent)
            }
        };
        self.check_fetched(how, content.bytes.len())?;
        match done {
            Ok(()) if damaged => return Err(Loss("damaged content was accepted".into()).into()),
            Err(Error::Refused(Refusal::Digest)) if damaged => {
                if how == How::Direct {
                    self.data.holds = None;
                }
            }
            Err(error) => return Err(self.stop(&error)),
            Ok(()) => {}
        }
        self.judge(updater)?;
        self.next_step();
        Ok(())
    }

    fn feed<T: Scheme>(
        &mut self,
        updater: &mut Engine<'_, M, W, S>,
        partition: &Partition,
        scheme: T,
        content: &Content,
        sent: &[u8],
    ) -> Result<(), Error<FlashError>> {
        let mut buffer = [0; BUFFER];
        let offer = content.offer();
        block_on(async {
            let mut download = updater
                .begin_partition(partition, scheme, offer, AnyImage, &mut buffer)
                .await?;
            for chunk in sent[download.offset() as usize..].chunks(CHUNK) {
                self.fetched += chunk.len() as u64;
                download.write(chunk).await?;
            }
            download.finish().await
        })
    }

    /// What was durable is not fetched again, except where the update was undone.
    fn check_fetched(&self, how: How, length: usize) -> Result<(), Loss> {
        let undone = matches!(how, How::Backup { resumes: false, .. });
        if undone || matches!(self.present(), Some(Change::Damaged(..))) {
            return Ok(());
        }
        let cuts = u64::from(self.cuts);
        let stride = u64::from(Journal::stride::<SimFlash<W, S>>(length as u32));
        let again = (2 * cuts).saturating_sub(1) * stride + cuts * (CHUNK + BUFFER) as u64;
        if self.fetched > length as u64 + again {
            return loss(format!(
                "{} bytes were fetched of a content of {length}, with {} power cuts",
                self.fetched, self.cuts
            ));
        }
        Ok(())
    }

    /// App into the other slot, then data into the slot that the old app left. `true`: reboot.
    fn two_steps(&mut self, updater: &mut Engine<'_, M, W, S>) -> Result<bool, Stop> {
        let wanted = self.contents[self.step].0.clone();
        let Some((image, app)) = self.offered_app().cloned() else {
            return Err(Loss("a step without an app".into()).into());
        };
        if self.running != image.sha256 {
            if self.update_app(updater, Some(&wanted))? {
                return Ok(true);
            }
            if app != App::Rejects {
                return Err(Loss("the new app is confirmed, and does not run".into()).into());
            }
            // The old app runs again, and knows what it has lost.
            if let Some(old) = self.app_data.clone() {
                self.fetch_data(updater, &old)?;
            }
            self.next_step();
            return Ok(false);
        }
        let mut text = [0; TAIL_LEN];
        match block_on(updater.data_state(&mut text)).map_err(|error| self.stop(&error))? {
            DataState::Missing(missing)
            | DataState::Fetching(missing, _)
            | DataState::Present(missing, _)
                if missing == description(&wanted) => {}
            state => {
                return Err(Loss(format!(
                    "the new app does not know what it needs: {state:?}"
                ))
                .into());
            }
        }
        self.fetch_data(updater, &wanted)?;
        self.next_step();
        Ok(false)
    }

    fn fetch_data(
        &mut self,
        updater: &mut Engine<'_, M, W, S>,
        wanted: &Content,
    ) -> Result<(), Stop> {
        let mut buffer = [0; BUFFER];
        let done = block_on(async {
            let mut text = [0; TAIL_LEN];
            let known = match updater.data_state(&mut text).await? {
                DataState::Missing(known)
                | DataState::Fetching(known, _)
                | DataState::Present(known, _) => known == description(wanted),
                _ => false,
            };
            if !known {
                updater.want_data(&description(wanted)).await?;
            }
            if matches!(updater.data_state(&mut text).await?, DataState::Present(..)) {
                return Ok(());
            }
            let mut download = updater.begin_data(AnyImage, &mut buffer).await?;
            for chunk in wanted.bytes[download.offset() as usize..].chunks(CHUNK) {
                self.fetched += chunk.len() as u64;
                download.write(chunk).await?;
            }
            download.finish().await
        });
        done.map_err(|error| self.stop(&error))?;
        self.app_data = Some(wanted.clone());
        Ok(())
    }

    fn target(&self, how: How) -> &Target {
        match how {
            How::BootLoader { .. } => &self.loader,
            _ => &self.data,
        }
    }

    fn stop(&self, error: &Error<FlashError>) -> Stop {
        match error {
            _ if !self.flash().lock().has_power() => Stop::Power,
            error => Stop::Loss(Loss(format!("the engine failed: {error}"))),
        }
    }
}

impl<M: Machine, const W: usize, const S: usize> Life for PartitionWorld<'_, M, W, S> {
    fn flash(&self) -> &Flash {
        self.flash.flash()
    }

    fn fork(&self) -> Self {
        let nor = self.flash.flash().lock().fork();
        Self {
            flash: Flash::new(nor).typed().expect("the geometry stays"),
            apps: self.apps.clone(),
            contents: self.contents.clone(),
            data: self.data.clone(),
            loader: self.loader.clone(),
            app_data: self.app_data.clone(),
            confirmed: self.confirmed.clone(),
            ..*self
        }
    }

    fn live(&mut self, cut: &mut dyn FnMut(&Flash)) -> Result<(), Loss> {
        for _ in 0..MAX_BOOTS {
            match self.boot() {
                Ok(Next::Reboot) => {}
                Ok(Next::Done) => return self.judge_end(),
                Err(Stop::Loss(loss)) => return Err(loss),
                Err(Stop::Power) => {
                    self.flash().lock().power_on();
                    self.cuts += 1;
                    // The last step stays: something must be on offer.
                    if self.scenario.replaced && self.step + 1 < self.scenario.steps.len() {
                        self.next_step();
                        self.cuts = 1;
                    }
                    cut(self.flash.flash());
                }
            }
        }
        loss(format!(
            "after {MAX_BOOTS} boots the updates are not at their end"
        ))
    }
}

fn app_image(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = noise(seed, length);
    if let Some(byte) = bytes.first_mut() {
        *byte = FIRST_BYTE_OF_AN_APP;
    }
    bytes
}

fn description(data: &Content) -> DataDescription<'static> {
    DataDescription {
        offer: data.offer(),
        version: "2.1.0",
        source: "http://updates.example/ota_update/dev/lotus/esp32-85ea2b/model",
    }
}
