//! What must be true after every boot, and at every step: judged on the flash itself.

use super::*;

impl<M: Machine, const W: usize, const S: usize> PartitionWorld<'_, M, W, S> {
    /// The boot loader of the chip starts its second-stage boot loader, or the one that is kept for the worst.
    pub(super) fn judge_loader(&self) -> Result<(), Loss> {
        let cells = self.flash.flash();
        let known = self.loader.holds.iter();
        let known = known.chain(self.contents.iter().map(|(content, _)| content));
        let starts = |region: Region| {
            known.clone().any(|loader| {
                !loader.bytes.is_empty()
                    && holds(cells, region, &loader.bytes)
                    && readable(cells, region, &loader.bytes)
            })
        };
        if starts(self.loader.partition.region) || starts(self.recovery) {
            return Ok(());
        }
        loss("no boot loader is whole: the device is bricked")
    }

    /// Compares what the device says of everything but its app with the flash.
    pub(super) fn judge(&mut self, updater: &mut Engine<'_, M, W, S>) -> Result<(), Loss> {
        let cells = self.flash.flash().clone();
        for guard in self.guards {
            if !holds(&cells, guard, &vec![GUARD; guard.len as usize]) {
                return loss("bytes beside the partition have changed");
            }
        }
        let mut how = None;
        if let Some(Change::Data(by, _) | Change::Damaged(by, _)) = self.present() {
            how = Some(by);
        }
        // After it was replaced, the partition may still be in the hands of the step before.
        let before = self.step.checked_sub(1).filter(|_| self.scenario.replaced);
        let mut hows: Vec<How> = how.into_iter().collect();
        if let Some(Change::Data(by, _)) = before.map(|step| self.scenario.steps[step]) {
            hows.push(by);
        }
        let contents = self.contents.clone();
        let passive = updater.passive().zip(updater.passive_region());
        let mut data = std::mem::replace(
            &mut self.data,
            Target {
                partition: self.loader.partition,
                holds: None,
            },
        );
        let mut copied_to_slot = false;
        let state = block_on(updater.partition_state(&data.partition)).map_err(unreadable)?;
        let judged = judge_target(
            &cells,
            &mut data,
            state,
            &contents,
            |offer, durable, copy| {
                // The copy may be that of the step before.
                let goes_on = |how: &&How| copy && matches!(how, How::Backup { resumes: true, .. });
                let Some(how) = hows.iter().find(goes_on).or_else(|| {
                    let mut hows = hows.iter();
                    hows.find(|how| !matches!(how, How::BootLoader { .. }))
                }) else {
                    return loss("the partition is not whole, and nobody writes to it");
                };
                let _ = (offer, durable);
                match how {
                    // What a direct update left in pieces stays that until the next one is whole.
                    How::Staged(room) if !copy && hows.contains(&How::Direct) => Ok(match room {
                        Where::Slot => passive.map(|(_, region)| region),
                        Where::Apart => Some(self.apart),
                    }),
                    _ if !copy && hows.contains(&How::Direct) => Ok(None),
                    How::Direct => Ok(None),
                    How::Backup {
                        room,
                        resumes: true,
                        ..
                    } if copy => {
                        copied_to_slot = *room == Where::Slot;
                        match room {
                            Where::Slot => Ok(passive.map(|(_, region)| region)),
                            Where::Apart => Ok(Some(self.apart)),
                        }
                    }
                    how => loss(format!(
                        "after recovery under {how:?} the partition is not whole"
                    )),
                }
            },
        );
        self.data = data;
        judged.map_err(|loss| Loss(format!("partition: {loss}")))?;
        let state =
            block_on(updater.partition_state(&self.loader.partition)).map_err(unreadable)?;
        judge_target(&cells, &mut self.loader, state, &contents, |_, _, _| {
            loss("after recovery it is not whole")
        })
        .map_err(|loss| Loss(format!("boot loader: {loss}")))?;
        if copied_to_slot {
            self.judge_unnamed(passive.map(|(slot, _)| slot), "a backup")?;
        }
        self.judge_app_data(updater)
    }

    fn judge_unnamed(&self, slot: Option<u8>, what: &str) -> Result<(), Loss> {
        let Some(slot) = slot else { return Ok(()) };
        let mut control = self.machine.control();
        match block_on(control.slot_state(&mut self.flash.clone(), slot)) {
            Ok(SlotState::Unnamed) => Ok(()),
            state => loss(format!(
                "slot {slot} holds {what}, and the boot selection says {state:?} of it"
            )),
        }
    }

    /// Data in a slot are there when the device says so, and never look like an app.
    fn judge_app_data(&self, updater: &mut Engine<'_, M, W, S>) -> Result<(), Loss> {
        let cells = self.flash.flash();
        let mut text = [0; TAIL_LEN];
        let (description, region, length) =
            match block_on(updater.data_state(&mut text)).map_err(unreadable)? {
                DataState::Present(description, region) => (description, region, region.len),
                DataState::Fetching(description, durable) => {
                    let Some(slot) = updater.passive_region() else {
                        return loss("data are fetched into no slot");
                    };
                    let region = Region::new(slot.offset + 64, slot.len - 64);
                    (description, region, durable)
                }
                DataState::Unknown | DataState::Missing(_) => return Ok(()),
                state => return loss(format!("an unknown state: {state:?}")),
            };
        let known = self.contents.iter().map(|(content, _)| content);
        let Some(content) = known
            .chain(&self.app_data)
            .find(|content| content.sha256 == description.offer.sha256)
        else {
            return loss("the device speaks of data that do not exist");
        };
        let part = &content.bytes[..length as usize];
        if !holds(cells, region, part) || !readable(cells, region, part) {
            return loss(format!(
                "the device says that {length} bytes of the data are there, and they are not"
            ));
        }
        let slots = self.machine.slots();
        let Some(slot) = slots
            .iter()
            .position(|slot| slot.offset + 64 == region.offset)
        else {
            return loss("data lie at the start of no slot");
        };
        if length == 0 {
            // The slot may still hold the old app, whole, and nobody names it.
            return self.judge_unnamed(Some(slot as u8), "data");
        }
        if cells.lock().cells()[slots[slot].offset as usize] == FIRST_BYTE_OF_AN_APP {
            return loss("data in a slot look like an app");
        }
        self.judge_unnamed(Some(slot as u8), "data")
    }

    /// At the end everything is where it should be.
    pub(super) fn judge_end(&mut self) -> Result<(), Loss> {
        let cells = self.flash.flash();
        let replaced =
            |index: usize| self.scenario.replaced && index + 1 < self.scenario.steps.len();
        let steps = self.scenario.steps;
        let mut expected = (None, None, None);
        let mut apps = 0;
        for (index, step) in steps.iter().enumerate() {
            let brings_app = matches!(step, Change::App(..) | Change::TwoStep(..));
            apps += usize::from(brings_app);
            if replaced(index) {
                continue; // It may have come to its end before the power went, or not.
            }
            match step {
                Change::App(App::Confirms, _) => expected.0 = Some(apps),
                Change::TwoStep(App::Confirms, ..) => {
                    expected.0 = Some(apps);
                    expected.2 = Some(index);
                }
                Change::Data(How::BootLoader { .. }, _) => {}
                Change::Data(..) => expected.1 = Some(index),
                Change::NewData(_) => expected.2 = Some(index),
                _ => {}
            }
        }
        if let Some(app) = expected.0
            && self.running != self.apps[app].0.sha256
        {
            return loss("at the end another app runs than should");
        }
        if let Some(index) = expected.1 {
            let content = &self.contents[index].0;
            if self.data.holds.as_ref().map(|held| held.sha256) != Some(content.sha256) {
                return loss("at the end the partition holds something else than it should");
            }
        }
        if let Some(held) = &self.data.holds
            && !holds(cells, self.data.partition.region, &held.bytes)
        {
            return loss("at the end the partition does not hold what it should");
        }
        if let Some(index) = expected.2
            && self.app_data.as_ref().map(|data| data.sha256) != Some(self.contents[index].0.sha256)
        {
            return loss("at the end the app has other data than it should");
        }
        Ok(())
    }
}

fn unreadable(error: Error<FlashError>) -> Loss {
    Loss(format!("the device cannot say: {error}"))
}

/// A partition is whole, old or new, unless `excuse` says where its old content is kept.
fn judge_target(
    cells: &Flash,
    target: &mut Target,
    state: PartitionState,
    contents: &[(Content, Vec<u8>)],
    mut excuse: impl FnMut(Offer, u32, bool) -> Result<Option<Region>, Loss>,
) -> Result<(), Loss> {
    let region = target.partition.region;
    let whole = |content: &Content, region: Region| {
        holds(cells, region, &content.bytes) && readable(cells, region, &content.bytes)
    };
    let mut all = contents.iter();
    let mut known = |sha256: [u8; 32]| all.find(|(content, _)| content.sha256 == sha256);
    match state {
        PartitionState::Whole {
            last: Some((PartitionOutcome::Updated, sha256, _)),
        } => {
            let Some((content, _)) = known(sha256) else {
                return loss("the device speaks of content that does not exist");
            };
            let len = content.bytes.len();
            let rest = Region::new(region.offset + len as u32, region.len - len as u32);
            if !whole(content, region) || !holds(cells, rest, &vec![0xFF; rest.len as usize]) {
                return loss("the device says that it is updated, and it does not hold that");
            }
            target.holds = Some(content.clone());
        }
        PartitionState::Whole { .. } | PartitionState::Pending { .. } => {
            if let PartitionState::Pending { offer, .. } = state
                && known(offer.sha256).is_none()
            {
                return loss("the device speaks of content that does not exist");
            }
            let Some(old) = &target.holds else {
                return loss(format!(
                    "the partition was not whole, and the device says {state:?}"
                ));
            };
            if !whole(old, region) {
                return loss(format!(
                    "the old content is lost, and the device says {state:?}"
                ));
            }
        }
        PartitionState::Damaged {
            offer,
            durable,
            copy,
        } => {
            let place = excuse(offer, durable, copy)?;
            if !copy {
                target.holds = None;
            }
            if let (Some(place), Some(old)) = (place, &target.holds)
                && !whole(old, place)
            {
                return loss("the backup is not what the partition held");
            }
            let Some((_, sent)) = known(offer.sha256) else {
                return loss("the device speaks of content that does not exist");
            };
            let part = &sent[..durable as usize];
            if !holds(cells, region, part) && !place.is_some_and(|place| holds(cells, place, part))
            {
                return loss(format!(
                    "{durable} bytes are said to be durable, and are not there"
                ));
            }
        }
        state => return loss(format!("an unknown state: {state:?}")),
    }
    Ok(())
}
