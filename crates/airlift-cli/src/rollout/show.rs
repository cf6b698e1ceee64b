//! `airlift rollout show`

use std::fmt::Write as _;

use serde::Deserialize;

use super::{Told, ToldCounts, number};
use crate::output::{self, Cell, Look, Side};
use crate::remote::{Remote, short_time};

/// Show a rollout: how it stands, stage by stage, or its devices
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Number of the rollout
    id: u64,
    /// Its devices instead
    #[arg(long)]
    devices: bool,
    /// Only devices that are so far: waiting, offered, confirmed, refused, rolled-back, failed, timed-out, skipped, left
    #[arg(long, value_name = "STATE", requires = "devices")]
    state: Option<String>,
    /// Devices behind this one in the order of the names: 1000 are listed at once
    #[arg(long, value_name = "NODE", requires = "devices")]
    after: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Deserialize)]
struct Devices {
    devices: Vec<Device>,
}

#[derive(Deserialize)]
struct Device {
    node: String,
    stage: u64,
    state: String,
    reason: Option<String>,
    since: String,
    attempt: u64,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let session = args.remote.session()?;
    let id = args.id.to_string();
    if !args.devices {
        let answer = session.get(&["rollouts", &id], &[])?;
        return session.print(answer, |told| text(Look::stdout(), &told));
    }
    let mut query = vec![("limit", "1000")];
    query.extend(args.state.as_deref().map(|state| ("state", state)));
    query.extend(args.after.as_deref().map(|after| ("after", after)));
    let answer = session.get(&["rollouts", &id, "devices"], &query)?;
    session.print(answer, |list: Devices| {
        devices(Look::stdout(), &list.devices)
    })
}

fn devices(look: Look, devices: &[Device]) -> String {
    if devices.is_empty() {
        return "No such devices.\n".to_owned();
    }
    let columns = [
        ("device", Side::Left),
        ("stage", Side::Right),
        ("state", Side::Left),
        ("since", Side::Left),
        ("tries", Side::Right),
    ];
    let row = |device: &Device| {
        let state = match &device.reason {
            Some(reason) => format!("{} ({reason})", device.state),
            None => device.state.clone(),
        };
        let paint = match device.state.as_str() {
            "confirmed" => Look::good,
            "offered" => Look::name,
            "waiting" => Look::dim,
            "skipped" | "left" => Look::warn,
            _ => Look::bad,
        };
        vec![
            device.node.clone().into(),
            device.stage.to_string().into(),
            Cell::painted(state, paint),
            short_time(&device.since).into(),
            device.attempt.to_string().into(),
        ]
    };
    let rows: Vec<_> = devices.iter().map(row).collect();
    output::table(look, &columns, &rows)
}

/// A rollout for people.
pub(super) fn text(look: Look, told: &Told) -> String {
    let status = match told.status.as_str() {
        "finished" => look.good(&told.status),
        "stopped" | "aborted" => look.bad(&told.status),
        "paused" | "waiting-for-approval" => look.warn(&told.status),
        _ => look.name(&told.status),
    };
    let mut text = format!(
        "{} of release {}: {status}\n",
        look.bold(&format!("Rollout {}", told.id)),
        told.plan.release
    );
    if let Some(why) = &told.stopped_because {
        let _ = writeln!(
            text,
            "  {why}; look at them with --devices, then resume, retry or abort it"
        );
    }
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<10} {value}");
    };
    let plan = &told.plan;
    let filter = plan.filter.as_ref();
    line(
        "devices",
        filter.map_or_else(
            || "all that the release is for".to_owned(),
            ToString::to_string,
        ),
    );
    line(
        "goes on",
        format!("when {} % of a stage have confirmed", plan.success_percent),
    );
    let or = plan
        .failure_count
        .map(|count| format!(", or {count} devices in all"));
    line(
        "stops",
        format!(
            "when {} % of a stage have failed{}",
            plan.failure_percent,
            or.unwrap_or_default()
        ),
    );
    if let Some(rate) = plan.per_minute {
        line("rate", format!("{rate} devices a minute at most"));
    }
    if let Some(window) = &plan.window {
        line("window", window.to_string());
    }
    match (&told.started_at, plan.start_at) {
        (Some(at), _) => line("started", short_time(at)),
        (None, Some(at)) => line("starts", short_time(&at.to_string())),
        (None, None) => {}
    }
    if !told.stages.is_empty() {
        text.push('\n');
        text += &stages(look, told);
    }
    text
}

fn stages(look: Look, told: &Told) -> String {
    let columns = [
        ("stage", Side::Left),
        ("up to", Side::Right),
        ("waiting", Side::Right),
        ("in update", Side::Right),
        ("confirmed", Side::Right),
        ("failed", Side::Right),
        ("no answer", Side::Right),
        ("skipped", Side::Right),
    ];
    let row = |name: Cell, up_to: String, counts: &ToldCounts| {
        vec![
            name,
            up_to.into(),
            number(counts.waiting, |_, text| text.to_owned()),
            number(counts.offered, Look::name),
            number(counts.confirmed, Look::good),
            number(counts.failed + counts.forgiven, Look::bad),
            number(counts.timed_out, Look::bad),
            number(counts.skipped + counts.left, Look::warn),
        ]
    };
    let mut rows: Vec<_> = told
        .stages
        .iter()
        .map(|stage| {
            let kind = if stage.canary { " canaries" } else { "" };
            let name = format!("{}{kind}", stage.stage);
            let paint = if stage.open { Look::bold } else { Look::dim };
            let up_to = output::grouped(stage.up_to);
            row(Cell::painted(name, paint), up_to, &stage.counts)
        })
        .collect();
    if rows.len() > 1 {
        rows.push(row("all".into(), String::new(), &told.counts));
    }
    output::table(look, &columns, &rows)
}
