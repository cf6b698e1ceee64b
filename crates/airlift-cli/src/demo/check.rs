//! Whether each device is where it should be: by its flash, and by what the server knows.

use airlift_sim::client::{Event, VirtualDevice};
use anyhow::Context;
use serde::Serialize;

use super::cast::{Actor, Role};
use super::stage::Stage;
use super::{NEW, OLD};

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
    pub(super) good: bool,
    /// Why it is not good.
    pub(super) problem: Option<String>,
    pub(super) events: Vec<Event>,
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
    } = actor;
    let counters = device.counters();
    let sectors_erased = device.sectors_erased();
    let identity = device.identity().clone();
    let name = identity.node.clone();
    // The device is gone; what is left of it is its flash file.
    drop(device);
    let mut again = VirtualDevice::open(&file, identity, server)
        .with_context(|| format!("device {name}, opened again"))?;
    let mut rebooted = None;
    let version_after = again
        .power_on(&mut |event| {
            if let Event::Booted { version, trial, .. } = event {
                rebooted = Some((version.clone(), *trial));
            }
        })
        .ok()
        .flatten()
        .map(|running| running.version().to_owned());
    let known = stage.known(&name);

    let refusals = events
        .iter()
        .filter(|event| matches!(event, Event::Refused { .. }))
        .count();
    let mut problems = Vec::new();
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
            if !confirmed {
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
        Role::PowerCut => (1, 0),
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
        version_before: OLD.to_owned(),
        version_after,
        bytes_fetched: counters.bytes_fetched,
        sectors_erased,
        power_cuts: counters.power_cuts,
        refusals,
        good: problems.is_empty(),
        problem: (!problems.is_empty()).then(|| problems.join(", ")),
        events,
    })
}
