//! Boot, run, take sets, reboot, until all sets are settled.

use airlift_device::partition::JournalRestore;
use airlift_device::set::{
    Destination, Identity, Part, Processor as _, SetDownload, SetRestore, SetState, UnknownTags,
};
use airlift_device::verify::AnyImage;
use airlift_device::{Error, Layout, Status, Updater};
use airlift_formats::matter::image::MAX_HEADER_LEN;

use super::super::judge::Loss;
use super::super::machine::{Machine, Power, Started};
use super::super::run::{App, holds, readable, stride};
use super::super::sweep::Life;
use super::{
    BUFFER, CHUNK, CUSTOM, Comes, Engine, Faulty, MAX_BOOTS, SetStep, SetWorld, Stop, offer,
};
use crate::flash::{Flash, FlashError, block_on};

pub(super) enum Next {
    Reboot,
    Done,
}

/// The image is for any device, and in any order.
const IDENTITY: Identity = Identity {
    vendor: 0xFFF1,
    product: 0x8001,
    version: 0,
    allows_downgrade: true,
};

impl<M: Machine, const W: usize, const S: usize> SetWorld<'_, M, W, S> {
    pub(super) fn boot(&mut self) -> Result<Next, Stop> {
        let Self {
            machine,
            flash,
            worlds,
            ..
        } = self;
        let cells = flash.flash().clone();
        let mut whole = |region| {
            worlds.iter().any(|world| {
                holds(&cells, region, &world.app) && readable(&cells, region, &world.app)
            })
        };
        let Started { region, slot, .. } = match machine.boot(flash, &mut whole) {
            Err(Power(FlashError::PowerLost)) => return Err(Stop::Power),
            Err(Power(FlashError::Failed { .. })) => return Err(Stop::Failed),
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
            &mut (JournalRestore, SetRestore((self.custom(),))),
            &mut buffer,
        ))
        .map_err(|error| self.stop(&error))?;
        if !self.flash.flash().lock().has_power() {
            return Err(Stop::Power);
        }
        self.run(&mut updater, &running)
    }

    /// The app, from its first line to its reboot.
    fn run(&mut self, updater: &mut Engine<'_, M, W, S>, running: &[usize]) -> Result<Next, Stop> {
        for _ in 0..MAX_BOOTS {
            let state = block_on(updater.set_state()).map_err(|error| self.stop(&error))?;
            self.judge_report(updater, running, state)?;
            if state == SetState::Applied {
                // Not to go on with anything: the new parts are there, and this is the old app.
                if matches!(updater.status(), Status::Staged { .. }) {
                    block_on(updater.activate()).map_err(|error| self.stop(&error))?;
                }
                return Ok(Next::Reboot);
            }
            if state == SetState::Stuck && self.faulty != Faulty::No {
                return Err(Stop::Failed);
            }
            // An app that goes on finds one world, whole, and the engine knows which.
            let held = self.held(running);
            if held.is_empty() {
                return Err(Loss(format!(
                    "the app of {running:?} runs, and what it finds is a mixture; the device says {state:?}"
                ))
                .into());
            }
            if state == SetState::OnTrial {
                let world = *held.last().unwrap_or(&0);
                match self.worlds[world].behaves {
                    App::Confirms => {
                        self.approved.insert(world);
                        let mut buffer = [0; BUFFER];
                        let mechanism = &mut SetRestore((self.custom(),));
                        block_on(updater.confirm_set(mechanism, &mut buffer))
                            .map_err(|error| self.stop(&error))?;
                        continue;
                    }
                    App::Rejects => {
                        block_on(updater.reject(7)).map_err(|error| self.stop(&error))?;
                    }
                    _ => {}
                }
                return Ok(Next::Reboot);
            }
            self.judge_state(state, &held)?;
            self.settle(updater, state)?;
            self.judge_partitions(updater)?;
            let undone = matches!(
                state,
                SetState::Reverted {
                    reported: false,
                    ..
                }
            );
            if undone && self.faulty != Faulty::No {
                // Not again and again with a flash that is worn out.
                return Ok(Next::Reboot);
            }
            if self.step >= self.scenario.steps.len() {
                return Ok(Next::Done);
            }
            let updated = self.update(updater);
            self.judge_fetched()?;
            updated.map_err(|error| self.stop(&error))?;
        }
        Err(Loss("a set is taken again and again".into()).into())
    }

    /// The server hears of a set that has come to its end.
    fn settle(&mut self, updater: &mut Engine<'_, M, W, S>, state: SetState) -> Result<(), Stop> {
        let (sha256, reported, done) = match state {
            SetState::Done { sha256, reported } => (sha256, reported, true),
            SetState::Reverted {
                sha256, reported, ..
            } => (sha256, reported, false),
            _ => return Ok(()),
        };
        let world = self.world_of(sha256).unwrap_or(0);
        if done {
            self.confirmed = world;
        }
        if !reported {
            // A good one that a power cut rolled back is offered again.
            let ends = done || !self.scenario.steps[world - 1].is_good();
            if ends && world == self.step + 1 {
                self.step += 1;
            }
            (self.fetched, self.cuts) = (0, 0);
        }
        block_on(updater.set_reported()).map_err(|error| self.stop(&error))
    }

    /// Takes the set on offer.
    fn update(&mut self, updater: &mut Engine<'_, M, W, S>) -> Result<(), Error<FlashError>> {
        match self.scenario.steps[self.step].comes {
            Comes::Parts => self.stage(updater),
            Comes::Image | Comes::Manifest => self.download(updater),
        }
    }

    /// What is wanted of the image, and nothing else.
    fn download(&mut self, updater: &mut Engine<'_, M, W, S>) -> Result<(), Error<FlashError>> {
        let (mut header, mut buffer) = ([0; MAX_HEADER_LEN], [0; BUFFER]);
        let image = &self.worlds[self.step + 1].image;
        let parts = self.parts();
        let mut download = SetDownload::new(
            IDENTITY,
            &parts,
            AnyImage,
            (self.custom(),),
            UnknownTags::Refuse,
            &mut header,
            &mut buffer,
        )?;
        block_on(async {
            while let Some(at) = download.wanted() {
                let rest = &image[at as usize..];
                let chunk = &rest[..rest.len().min(CHUNK)];
                self.fetched += chunk.len() as u64;
                download.write_at(updater, at, chunk).await?;
            }
            download.finish(updater).await?;
            Ok(())
        })
    }

    /// Every part by itself.
    fn stage(&self, updater: &mut Engine<'_, M, W, S>) -> Result<(), Error<FlashError>> {
        let step = self.scenario.steps[self.step];
        let world = &self.worlds[self.step + 1];
        let places = self.parts();
        let partitions = places[1..].iter().zip(&world.parts).take(step.parts.len());
        let app = step.app.map(|_| (&places[0], &world.app));
        let parts: Vec<_> = app.into_iter().chain(partitions).collect();
        let mut buffer = [0; BUFFER];
        block_on(async {
            for (part, content) in &parts {
                let length = content.len() as u32;
                let begun = updater.begin_part(part, length, AnyImage, &mut buffer);
                let mut download = begun.await?;
                for chunk in content.chunks(CHUNK) {
                    download.write(chunk).await?;
                }
                if download.finish().await? != offer(content).sha256 {
                    return Err(Error::State);
                }
            }
            if step.custom.is_some() {
                let mut processor = self.custom();
                let failed = |_| Error::State;
                processor
                    .begin(world.custom.len() as u32)
                    .await
                    .map_err(failed)?;
                for chunk in world.custom.chunks(CHUNK) {
                    processor.write(chunk).await.map_err(failed)?;
                }
                processor.end().await.map_err(failed)?;
            }
            let custom = Part {
                tag: CUSTOM,
                to: Destination::Custom,
            };
            let parts = parts.iter().map(|(part, _)| **part);
            let parts: Vec<_> = parts.chain(step.custom.map(|_| custom)).collect();
            let mechanism = &mut SetRestore((self.custom(),));
            updater
                .commit_set(&world.set, &parts, mechanism, &mut buffer)
                .await?;
            Ok(())
        })
    }

    /// What is staged is not fetched again.
    fn judge_fetched(&self) -> Result<(), Loss> {
        let image = self.worlds[self.step + 1].image.len() as u64;
        // As for an app; and what is in front of the parts, headers and a manifest.
        let stretches = (2 * self.cuts).saturating_sub(1);
        let buffered = self.cuts * (CHUNK + BUFFER + 600) as u64;
        // Where sectors are small, a cut can cost the part that is on its way as a whole, and not only its last stretch.
        let whole_part = if S < 4096 { self.cuts * 2 * 4096 } else { 0 };
        let again = stretches * stride::<W, S>(image as u32) + buffered + whole_part;
        if self.faulty == Faulty::No && self.fetched > image + again {
            return Err(Loss(format!(
                "{} bytes were fetched of an image of {image}, with {} power cuts",
                self.fetched, self.cuts
            )));
        }
        Ok(())
    }

    pub(super) fn judge_end(&self) -> Result<(), Loss> {
        let last = self.scenario.steps.iter().rposition(SetStep::is_good);
        if self.confirmed != last.map_or(0, |step| step + 1) {
            return Err(Loss(
                "at the end another set is in place than should".into(),
            ));
        }
        Ok(())
    }
}

impl<M: Machine, const W: usize, const S: usize> Life for SetWorld<'_, M, W, S> {
    fn flash(&self) -> &Flash {
        self.flash.flash()
    }

    fn fork(&self) -> Self {
        self.copy()
    }

    fn live(&mut self, cut: &mut dyn FnMut(&Flash)) -> Result<(), Loss> {
        for _ in 0..MAX_BOOTS {
            match self.boot() {
                Ok(Next::Reboot) => {}
                Ok(Next::Done) => return self.judge_end(),
                Err(Stop::Loss(loss)) => return Err(loss),
                Err(Stop::Failed) => return Err(Loss("the flash failed by itself".into())),
                Err(Stop::Power) => {
                    self.flash().lock().power_on();
                    self.cuts += 1;
                    cut(self.flash.flash());
                }
            }
        }
        Err(Loss(format!(
            "after {MAX_BOOTS} boots the sets are not at their end"
        )))
    }
}
