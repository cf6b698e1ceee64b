//! Whether each device is where it should be: by its flash, and by what the server knows.

use airlift_sim::client::{Event, Running, VirtualDevice};
use anyhow::Context;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::cast::{Actor, Role};
use super::data::{DATA_VERSION, Data};
use super::set::PartEnding;
use super::stage::Stage;
use super::{NEW, OLD};
use crate::output::hex;

/// How the story of a device ended.
#[derive(Debug, Serialize)]
pub(super) struct Ending {
    pub(super) name: String,
    #[serde(rename = "story")]
    pub(super) role: Role,
    pub(super) version_before: String,
    /// `null`: it does not boot.
    pub(super) version_after: Option<String>,
    pub(super) bytes_fetched: u64,
    pub(super) sectors_erased: u64,
    pub(super) power_cuts: u32,
    pub(super) refusals: usize,
    /// What it holds beside its app; `null`: nothing was to be brought there.
    pub(super) data: Option<DataEnding>,
    /// The parts of a set; `null`: it has none.
    pub(super) parts: Option<Vec<PartEnding>>,
    pub(super) good: bool,
    /// Why it is not good.
    pub(super) problem: Option<String>,
    pub(super) events: Vec<Event>,
}

/// How it ended with the data of a device.
#[derive(Debug, Serialize)]
pub(super) struct DataEnding {
    /// `storage` or `model`.
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    /// They are in the flash, byte for byte.
    pub(super) whole: bool,
    /// The old content was found whole after the power cut; `null`: there was none.
    pub(super) put_back: Option<bool>,
}

/// Looks at every device.
pub(super) fn endings(stage: &Stage, cast: Vec<Actor>) -> anyhow::Result<Vec<Ending>> {
    cast.into_iter().map(|actor| ending(stage, actor)).collect()
}

fn ending(stage: &Stage, actor: Actor) -> anyhow::Result<Ending> {
    let Actor {
        device,
        role,
        file,
        server,
        events,
        data,
        parts,
    } = actor;
    let counters = device.counters();
    let sectors_erased = device.sectors_erased();
    let identity = device.identity().clone();
    let name = identity.node.clone();
    // The device is gone; what is left of it is its flash file.
    drop(device);
    let mut again = VirtualDevice::open(&file, identity, server)
        .with_context(|| format!("device {name}, opened again"))?;
    super::data::configure(&mut again, role)?;
    if let Some(parts) = &parts {
        parts.configure(&mut again)?;
    }
    let flash = again.flash().clone();
    let mut rebooted = None;
    let mut running = again
        .power_on(&mut |event| {
            if let Event::Booted { version, trial, .. } = event {
                rebooted = Some((version.clone(), *trial));
            }
        })
        .ok()
        .flatten();
    let version_after = running.as_ref().map(|running| running.version().to_owned());
    let known = stage.known(&name);

    let refusals = events
        .iter()
        .filter(|event| matches!(event, Event::Refused { .. }))
        .count();
    let mut problems = Vec::new();
    let data = data.map(|data| {
        let at = running
            .as_mut()
            .and_then(|running| place_of(running, &data));
        let whole = at.is_some_and(|at| {
            let flash = flash.lock();
            let held = flash.cells().get(at as usize..);
            held.is_some_and(|held| held.starts_with(&data.bytes))
        });
        if !whole {
            problems.push(format!("{} does not hold what was published", data.name));
        }
        if data.put_back == Some(false) {
            problems.push("the old content was not put back after the power cut".to_owned());
        }
        if let Ok(known) = &known {
            let digest = hex(&Sha256::digest(&data.bytes));
            let told = known.partitions.iter().any(|partition| {
                let result = partition.result.as_ref();
                partition.name == data.name
                    && partition.sha256.as_ref() == Some(&digest)
                    && result.is_some_and(|result| result.state == "confirmed")
            });
            if !told {
                problems.push(format!("the server does not know of {}", data.name));
            }
        }
        DataEnding {
            name: data.name,
            version: DATA_VERSION,
            whole,
            put_back: data.put_back,
        }
    });
    let parts = parts.map(|parts| {
        if let Ok(known) = &known {
            parts.check_known(known, &mut problems);
        }
        let running = running.as_mut();
        running.map_or_else(Vec::new, |running| {
            parts.check(&flash, running, &mut problems)
        })
    });
    if version_after.as_deref() != Some(NEW) {
        problems.push(match &version_after {
            Some(version) => format!("boots {version}, not {NEW}"),
            None => "does not boot".to_owned(),
        });
    }
    if rebooted.is_some_and(|(_, trial)| trial) {
        problems.push("is still on trial".to_owned());
    }
    match &known {
        Err(error) => problems.push(format!("the server: {error:#}")),
        Ok(known) => {
            if known.version.as_deref() != Some(NEW) {
                let version = known.version.as_deref().unwrap_or("nothing");
                problems.push(format!("the server believes that it runs {version}"));
            }
            let confirmed = known.result.as_ref().is_some_and(|result| {
                result.state == "confirmed" && result.version.as_deref() == Some(NEW)
            });
            // The one with the backup ran the new app from the start; that of a set is told of with the set.
            if !confirmed && !matches!(role, Role::BackupCut | Role::Set) {
                problems.push("the server was not told of the confirmation".to_owned());
            }
            let told_of_refusal = known
                .events
                .iter()
                .any(|event| event.event == "refused" && event.reason.is_some());
            if role == Role::CorruptedImage && !told_of_refusal {
                problems.push("the server was not told of the refused image".to_owned());
            }
        }
    }
    let expected = match role {
        Role::Ordinary => (0, 0),
        Role::PowerCut | Role::BackupCut | Role::TwoStep | Role::Set | Role::Jobs => (1, 0),
        Role::CorruptedImage => (0, 1),
    };
    if (counters.power_cuts, refusals) != expected {
        problems.push(format!(
            "{} power cuts and {refusals} refusals are not what its story has",
            counters.power_cuts
        ));
    }
    Ok(Ending {
        name,
        role,
        version_before: match role {
            Role::BackupCut => NEW.to_owned(),
            _ => OLD.to_owned(),
        },
        version_after,
        bytes_fetched: counters.bytes_fetched,
        sectors_erased,
        power_cuts: counters.power_cuts,
        refusals,
        data,
        parts,
        good: problems.is_empty(),
        problem: (!problems.is_empty()).then(|| problems.join(", ")),
        events,
    })
}

/// Where the data are, if the device says that they are whole.
fn place_of(running: &mut Running<'_>, data: &Data) -> Option<u32> {
    if let Some(known) = running.data().ok()? {
        return known.offset;
    }
    let partitions = running.partitions().ok()?;
    let mut found = partitions
        .iter()
        .filter(|partition| partition.name == data.name);
    let partition = found.next()?;
    (partition.state == "whole" && partition.last == Some("updated")).then_some(partition.offset)
}
