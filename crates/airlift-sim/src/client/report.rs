//! What a device says of its partitions and data, for people and programs.

use airlift_device::Offer;
use airlift_device::install::{EspLayout, EspOtadata};
use airlift_device::journal::TAIL_LEN;
use airlift_device::partition::{
    Content, Damaged, DataState, Partition, PartitionKind, PartitionOutcome, PartitionState,
    RestoreMechanism,
};
use airlift_device::{Refusal, Updater};
use airlift_formats::esp::partition_table::PartitionTable;
use embedded_storage_async::nor_flash::NorFlash;
use serde::Serialize;

use super::DeviceError;
use super::ask::hex;
use super::device::{Engine, Running};
use super::plan::Ground;
use super::set::{SetPlan, SetReport, forget_set, look};
use crate::flash::{Flash, block_on};

/// A partition, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionReport {
    /// Its name in the partition table.
    pub name: String,
    /// `app`, `data`, `boot loader`, `partition table`, `reserved`.
    pub kind: &'static str,
    /// Where it starts, in bytes from the start of the flash.
    pub offset: u32,
    /// Its size in bytes.
    pub size: u32,
    /// How it is updated, if it is configured: `direct`, `backup`, `staged`, `staged-boot`.
    pub scheme: Option<&'static str>,
    /// `whole`, `pending` (whole, and an update is on its way), `on-trial` (it holds the new content of a set that has not proved itself), `damaged` (an
    /// update of it was interrupted).
    pub state: &'static str,
    /// Bytes of an update on its way that are durable.
    pub durable: Option<u32>,
    /// Bytes of an update on its way.
    pub update_size: Option<u32>,
    /// How the last update ended: `updated`, `restored`, `refused`.
    pub last: Option<&'static str>,
    /// Why it was restored or refused.
    pub reason: Option<&'static str>,
    /// SHA-256 of the image of the last update, or of the one that is on its way.
    pub sha256: Option<String>,
}

/// The data of the running app, and what is known of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DataReport {
    /// `missing`, `fetching`, `present`.
    pub state: &'static str,
    /// Their version.
    pub version: String,
    /// Their length in bytes.
    pub size: u32,
    /// Where to get them.
    pub source: String,
    /// Bytes that are durable.
    pub durable: u32,
    /// Where they lie in the flash, when they are present.
    pub offset: Option<u32>,
    /// Their SHA-256.
    pub sha256: String,
    #[serde(skip)]
    pub(super) offer: Offer,
}

impl Running<'_> {
    /// The partitions of the table.
    ///
    /// # Errors
    /// If the journal cannot be read any more.
    pub fn partitions(&mut self) -> Result<Vec<PartitionReport>, DeviceError> {
        let mut reports = Vec::new();
        for (name, partition) in &self.parts.named {
            let state = block_on(self.updater.partition_state(partition))?;
            let mut report = report_of(name, partition, &state);
            let planned = self.parts.planned.iter();
            let planned = { planned }.find(|planned| planned.name == *name);
            report.scheme = planned.map(|planned| planned.way.word());
            reports.push(report);
        }
        Ok(reports)
    }

    /// The data of the running app; `None`: nobody said which ones.
    ///
    /// # Errors
    /// If the journal cannot be read any more.
    pub fn data(&mut self) -> Result<Option<DataReport>, DeviceError> {
        data_of(&mut self.updater)
    }

    /// Name of the slot that runs.
    #[must_use]
    pub fn slot(&self) -> String {
        match self.updater.running() {
            Some(slot) => super::device::slot_name(slot),
            None => "factory".to_owned(),
        }
    }
}

/// The partitions and the data of a flash that is only looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The partitions of the table.
    pub partitions: Vec<PartitionReport>,
    /// The data of the app.
    pub data: Option<DataReport>,
    /// The last set.
    pub set: Option<SetReport>,
}

/// Nothing is restored while somebody only looks.
struct Nothing;

impl RestoreMechanism for Nothing {
    fn can_restore(&mut self, _damaged: &Damaged) -> bool {
        false
    }

    async fn restore<F: NorFlash>(
        &mut self,
        _flash: &mut F,
        _damaged: &Damaged,
        _buffer: &mut [u8],
    ) -> Option<Content> {
        None
    }
}

/// What the engine would say of partitions and data when the app in slot `running` has started, and of the last set as it stands. `copy` is a copy of the
/// flash: starting the engine may change it. With the `plan` of the device's set, parts in other flashes are looked at as well; they are not changed.
///
/// # Errors
/// If the table does not suit the engine, or the plan not the flash, or the journal cannot be read.
pub fn inspect(
    copy: &Flash,
    table: &PartitionTable<'_>,
    running: Option<u8>,
    plan: Option<&SetPlan>,
) -> Result<Inspection, DeviceError> {
    let layout = EspLayout::new(table)?;
    let named = named(table);
    let ground = Ground {
        named: &named,
        layout: &layout,
        two_step: false,
    };
    let unit = plan.map(|plan| plan.look(&ground, copy)).transpose()?;
    let set = look(copy, layout.journal, &named, unit.as_ref())?;
    if set.as_ref().is_some_and(SetReport::is_pending) {
        // The engine would go on with it, and what is there now would not be seen.
        forget_set(copy, layout.journal)?;
    }
    let flash = copy
        .typed()
        .map_err(|_| crate::board::EspFlashError { sector: 0 })?;
    let boot = EspOtadata::new(layout.otadata, layout.slots().len() as u8);
    let mut buffer = [0; 256];
    let mut updater: Engine<'_> = block_on(Updater::recover(
        flash,
        boot,
        layout.layout(),
        running,
        &mut Nothing,
        &mut buffer,
    ))?;
    let mut partitions = Vec::new();
    for (name, partition) in &named {
        let state = block_on(updater.partition_state(partition))?;
        partitions.push(report_of(name, partition, &state));
    }
    let data = data_of(&mut updater)?;
    Ok(Inspection {
        partitions,
        data,
        set,
    })
}

/// The partitions of a table, by name.
pub(super) fn named(table: &PartitionTable<'_>) -> Vec<(String, Partition)> {
    let partitions = table.partitions();
    let named = partitions.map(|partition| (partition.name.to_string(), (&partition).into()));
    named.collect()
}

fn report_of(name: &str, partition: &Partition, state: &PartitionState) -> PartitionReport {
    let mut report = PartitionReport {
        name: name.to_owned(),
        kind: match partition.kind {
            PartitionKind::App => "app",
            PartitionKind::Data => "data",
            PartitionKind::BootLoader => "boot loader",
            PartitionKind::PartitionTable => "partition table",
            _ => "reserved",
        },
        offset: partition.region.offset,
        size: partition.region.len,
        scheme: None,
        state: "whole",
        durable: None,
        update_size: None,
        last: None,
        reason: None,
        sha256: None,
    };
    let code = match state {
        PartitionState::Whole { last } => {
            report.sha256 = last.map(|(_, sha256, _)| hex(&sha256));
            match last {
                Some((PartitionOutcome::Updated, ..)) => {
                    report.last = Some("updated");
                    0
                }
                Some((PartitionOutcome::Restored(code), ..)) => {
                    report.last = Some("restored");
                    *code
                }
                Some((PartitionOutcome::Refused(code), ..)) => {
                    report.last = Some("refused");
                    *code
                }
                _ => 0,
            }
        }
        PartitionState::OnTrial { offer } => {
            report.state = "on-trial";
            report.sha256 = Some(hex(&offer.sha256));
            0
        }
        PartitionState::Pending { offer, durable }
        | PartitionState::Damaged { offer, durable, .. } => {
            report.state = match state {
                PartitionState::Pending { .. } => "pending",
                _ => "damaged",
            };
            report.durable = Some(*durable);
            report.update_size = Some(offer.length);
            report.sha256 = Some(hex(&offer.sha256));
            0
        }
        _ => 0,
    };
    report.reason = (code > 0).then(|| Refusal::token(code));
    report
}

pub(super) fn data_of(updater: &mut Engine<'_>) -> Result<Option<DataReport>, DeviceError> {
    let mut text = [0; TAIL_LEN];
    let (state, data, durable, offset) = match block_on(updater.data_state(&mut text))? {
        DataState::Missing(data) => ("missing", data, 0, None),
        DataState::Fetching(data, durable) => ("fetching", data, durable, None),
        DataState::Present(data, region) => {
            ("present", data, data.offer.length, Some(region.offset))
        }
        _ => return Ok(None),
    };
    Ok(Some(DataReport {
        state,
        version: data.version.to_owned(),
        size: data.offer.length,
        source: data.source.to_owned(),
        durable,
        offset,
        sha256: hex(&data.offer.sha256),
        offer: data.offer,
    }))
}
