//! A harness that cannot fail proves nothing: here it runs over the algorithm that Airlift's backup scheme replaces, and finds what that loses.
//!
//! The algorithm is that of `esp_custom_part_ota`: a copy in another partition, and one number that says how long it is. Nothing says whether
//! the copy is whole, whose it is, or which update it belongs to; nothing runs at boot unless the application calls it.

#[allow(dead_code)] // Of the table, only its constants.
mod sweep_table;

use airlift_device::flash::Region;
use airlift_formats::esp::otadata::Build;
use airlift_sim::flash::{CutGrain, Flash, FlashError, Geometry, Model, Nor};
use airlift_sim::power_cut::{
    Change, EspMachine, How, Life, Loss, PartitionScenario, PartitionWorld, Plan, Where, sweep,
};
use sweep_table::{MODELS, SEEDS};

const SECTOR: u32 = 4096;
const UPDATE: Region = Region::new(0, 4 * SECTOR);
const BACKUP: Region = Region::new(4 * SECTOR, 4 * SECTOR);
const SETTINGS: Region = Region::new(8 * SECTOR, SECTOR);
const OLD: u8 = 0x11;
const NEW: u8 = 0x22;

/// What the application does after a power cut.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AfterCut {
    /// Nothing, as the component's example.
    Nothing,
    /// It calls `restore` at every start.
    Restore,
    /// It tries again, and calls `restore` when the power has gone a second time.
    Retry,
}

struct Reference {
    flash: Flash,
    after_cut: AfterCut,
}

impl Reference {
    fn new(model: Model, after_cut: AfterCut) -> Self {
        let mut nor = Nor::new(
            Geometry::new(4, SECTOR as usize, 9 * SECTOR as usize).unwrap(),
            model,
        );
        nor.overwrite(UPDATE.offset, &[OLD; UPDATE.len as usize])
            .unwrap();
        Self {
            flash: Flash::new(nor),
            after_cut,
        }
    }

    /// `backup(0)`, sixteen writes of 1 KiB, `end`: thirty steps.
    fn update(&self) -> Result<(), FlashError> {
        let nor = &mut self.flash.lock();
        copy(nor, UPDATE, BACKUP)?;
        set_backup_len(nor, UPDATE.len)?;
        nor.erase(UPDATE.offset, UPDATE.offset + UPDATE.len)?;
        for at in (0..UPDATE.len).step_by(1024) {
            nor.write(UPDATE.offset + at, &[NEW; 1024])?;
        }
        set_backup_len(nor, 0)
    }

    fn restore(&self) -> Result<(), FlashError> {
        let nor = &mut self.flash.lock();
        if backup_len(nor)? == 0 {
            return Ok(());
        }
        copy(nor, BACKUP, UPDATE)?;
        set_backup_len(nor, 0)
    }

    fn verdict(&self) -> Result<(), Loss> {
        let nor = self.flash.lock();
        let held = &nor.cells()[UPDATE.offset as usize..][..UPDATE.len as usize];
        if held.iter().all(|byte| *byte == OLD) || held.iter().all(|byte| *byte == NEW) {
            return Ok(());
        }
        Err(Loss(
            "the partition holds neither the old content nor the new".into(),
        ))
    }
}

fn copy(nor: &mut Nor, from: Region, to: Region) -> Result<(), FlashError> {
    nor.erase(to.offset, to.offset + to.len)?;
    for at in (0..from.len).step_by(SECTOR as usize) {
        let mut block = [0; SECTOR as usize];
        nor.read(from.offset + at, &mut block)?;
        nor.write(to.offset + at, &block)?;
    }
    Ok(())
}

/// Stands for a value of the settings partition, committed in one step: the newest word counts.
fn set_backup_len(nor: &mut Nor, len: u32) -> Result<(), FlashError> {
    let mut at = SETTINGS.offset;
    let mut word = [0; 4];
    loop {
        nor.read(at, &mut word)?;
        if word == [0xFF; 4] {
            return nor.write(at, &len.to_le_bytes());
        }
        at += 4;
    }
}

fn backup_len(nor: &mut Nor) -> Result<u32, FlashError> {
    let (mut len, mut word) = (0, [0; 4]);
    for at in (0..SETTINGS.len).step_by(4) {
        nor.read(SETTINGS.offset + at, &mut word)?;
        if word == [0xFF; 4] {
            break;
        }
        len = u32::from_le_bytes(word);
    }
    Ok(len)
}

impl Life for Reference {
    fn flash(&self) -> &Flash {
        &self.flash
    }

    fn fork(&self) -> Self {
        Self {
            flash: Flash::new(self.flash.lock().fork()),
            after_cut: self.after_cut,
        }
    }

    fn live(&mut self, cut: &mut dyn FnMut(&Flash)) -> Result<(), Loss> {
        let mut reboot = |flash: &Flash| {
            flash.lock().power_on();
            cut(flash);
        };
        if self.update() == Err(FlashError::PowerLost) {
            reboot(&self.flash);
            let retried = self.after_cut == AfterCut::Retry && self.update().is_ok();
            if self.after_cut != AfterCut::Nothing && !retried {
                if self.after_cut == AfterCut::Retry {
                    reboot(&self.flash);
                }
                // What fails with the power on fails at every start.
                while self.restore() == Err(FlashError::PowerLost) {
                    reboot(&self.flash);
                }
            }
        }
        self.verdict()
    }
}

/// Clean cuts before each of the thirty steps, and before each step of what follows: as the losses of the component were measured.
fn between_steps(second: u64) -> Plan<'static> {
    Plan {
        grain: CutGrain::Call,
        seeds: &[],
        second,
        third: 0,
        progress: None,
    }
}

#[test]
fn as_shipped_it_loses_the_data_at_19_of_30_steps() {
    let tally = sweep(
        &Reference::new(Model::And, AfterCut::Nothing),
        between_steps(0),
    );
    assert_eq!(
        (tally.operations, tally.single, tally.losses.len()),
        (30, 30, 19)
    );
}

#[test]
fn with_a_restore_at_every_start_whole_steps_lose_nothing() {
    let tally = sweep(
        &Reference::new(Model::And, AfterCut::Restore),
        between_steps(1),
    );
    assert_eq!((tally.single, tally.losses.len()), (30, 0));
}

#[test]
fn with_a_retry_it_loses_the_data_in_565_of_930_pairs_of_cuts() {
    let tally = sweep(
        &Reference::new(Model::And, AfterCut::Retry),
        between_steps(1),
    );
    // The second cut before each of the thirty steps of the retry, and never.
    assert_eq!((tally.cuts(), tally.losses.len()), (930, 565));
}

#[test]
fn torn_operations_make_it_no_better() {
    for &model in MODELS {
        let plan = Plan {
            seeds: &SEEDS[..2],
            ..between_steps(1)
        };
        let tally = sweep(&Reference::new(model, AfterCut::Retry), plan);
        let (cuts, losses) = (tally.cuts(), tally.losses.len());
        println!(
            "esp_custom_part_ota with a retry, torn operations, {model:?}: {cuts} cuts, {losses} losses"
        );
        assert!(losses as u64 > cuts / 2);
    }
}

#[test]
fn the_backup_scheme_loses_nothing_in_the_same_cuts() {
    let machine = EspMachine::new(Build::Rollback, false, 2, 4 * SECTOR);
    let scenario = PartitionScenario {
        name: "backup",
        steps: &[Change::Data(
            How::Backup {
                room: Where::Slot,
                resumes: false,
                half: false,
            },
            8192,
        )],
        replaced: false,
    };
    let world = PartitionWorld::<_, 4, 4096>::new(&machine, Model::And, scenario);
    let tally = sweep(&world, between_steps(1));
    println!(
        "backup scheme: {} single, {} double cuts",
        tally.single, tally.double
    );
    assert!(tally.single >= 30 && tally.double >= 900);
    assert!(tally.losses.is_empty());
}
