//! `airlift demo`: a whole update, with a real server and virtual devices, and nothing to set up.

mod act;
mod cast;
mod check;
mod data;
mod jobs;
mod set;
mod stage;

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Serialize;

use crate::output::{self, Cell, Look, Side, table};
use cast::Role;
use check::Ending;
use stage::Stage;

/// Version that the devices leave the factory with.
const OLD: &str = "1.0.0";
/// Version that they are updated to.
const NEW: &str = "2.0.0";

/// Show whole updates: a server, a fleet of virtual devices, power cuts, a corrupted image, data
///
/// Starts the real server in this process on a free port (its database and files are in a
/// temporary folder), publishes firmware 1.0.0 and 2.0.0 through its HTTP API, and lets virtual
/// devices poll it over HTTP as an ESP32 does. The second device loses power in the middle of the
/// download, the third receives a flipped bit. Two more devices get data: one for a partition that is
/// updated with a backup, and loses power while it is written; one an app and then its data, in two
/// steps. One gets four parts as one Matter OTA image: an app, a boot loader, factory data,
/// and a part in another flash. It loses power while they are applied, and rolls them forward; the
/// app of the next image does not work, and all four go back. The last one is told by a job over MQTT,
/// as AWS IoT has them, checks the image's signature, and loses power between blocks. At the end each device is booted once
/// more from its flash file, and the server is asked what it knows of it: the exit code is 0 only if
/// both say that it runs 2.0.0 and holds its data and its parts.
///
/// With --json, standard output is one document: `good`; `seconds`; `server` (address); `release`
/// with `version`, `size` (bytes) and `sha256`; `devices`, each with `name`, `story` (ordinary,
/// power-cut, corrupted-image, backup-cut, two-step, set, jobs), `version_before`, `version_after`,
/// `bytes_fetched`, `sectors_erased`, `power_cuts`, `refusals`, `data` (null, or `name`, `version`,
/// `whole`, `put_back`), `parts` (null, or each with `tag`, `place`, `whole`), `good`, `problem` (null if good) and `events` (each an object with `event`).
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Number of devices that update their app, at most 200; two more get data, one a set of parts, and one a job over MQTT
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=200))]
    devices: u16,
    /// Leave the server running until Ctrl-C, and print its address and a token
    #[arg(long)]
    keep: bool,
    /// Print one JSON document instead of the story
    #[arg(long)]
    json: bool,
    /// Decides what the firmware contains and where the faults strike; the same seed gives the same demo
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
}

#[derive(Serialize)]
struct Summary<'a> {
    good: bool,
    seconds: f64,
    server: &'a str,
    release: Release<'a>,
    devices: &'a [Ending],
}

#[derive(Serialize)]
struct Release<'a> {
    version: &'a str,
    size: u64,
    sha256: &'a str,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    crate::log_to_stderr("error");
    let started = Instant::now();
    let look = Look::stdout();
    let say = |text: &str| {
        if !args.json {
            output::print(&format!("{text}\n"));
        }
    };
    say(&format!(
        "{}  a real server, a real update, virtual devices\n",
        look.bold("Airlift demo")
    ));

    let mut stage = Stage::set(args.seed).context("the demo cannot start")?;
    let old = stage.publish(OLD)?;
    let mut cast = cast::enter(&stage, args.devices, args.seed)?;
    say(&stage_text(look, &stage, &old, args.devices));

    say(&look.bold("All devices ask for an update. They run what the server has."));
    act::ask_in_vain(&mut cast, look, args.json)?;

    let new = stage.publish(NEW)?;
    say(&format!(
        "\n{} {} is published.",
        look.bold("Version"),
        look.bold(NEW)
    ));
    act::update_all(&mut cast, look, args.json)?;

    cast.push(data::backup(&stage, args.seed, look, args.json)?);
    cast.push(data::two_step(&stage, args.seed, look, args.json)?);
    cast.push(set::set(&stage, args.seed, look, args.json)?);
    cast.push(jobs::jobs(&stage, args.seed, look, args.json)?);

    let endings = check::endings(&stage, cast)?;
    let good = endings.iter().all(|ending| ending.good);
    let seconds = started.elapsed();
    if args.json {
        let summary = Summary {
            good,
            seconds: seconds.as_secs_f64(),
            server: stage.url(),
            release: Release {
                version: &new.version,
                size: new.size,
                sha256: &new.sha256,
            },
            devices: &endings,
        };
        output::print(&format!("{}\n", serde_json::to_string_pretty(&summary)?));
    } else {
        say(&endings_text(look, &endings, new.size, seconds));
    }
    if args.keep {
        stage.keep(look, args.json)?;
    }
    stage.strike();
    if !good {
        let lost: Vec<_> = endings.iter().filter(|ending| !ending.good).collect();
        bail!(
            "{} of {} devices are not where they should be: {}",
            lost.len(),
            endings.len(),
            lost.iter()
                .map(|ending| format!(
                    "{}: {}",
                    ending.name,
                    ending.problem.as_deref().unwrap_or("unknown")
                ))
                .collect::<Vec<_>>()
                .join("; ")
        );
    }
    Ok(())
}

fn stage_text(look: Look, stage: &Stage, release: &crate::api::Published, devices: u16) -> String {
    let plural = if devices == 1 { "device" } else { "devices" };
    format!(
        "  server    {}\n  \
           data      {}\n  \
           token     made for this demo: organization {}, project {}\n  \
           firmware  version {OLD}, {}, published for the key {}\n  \
           fleet     {devices} virtual {plural}, {} of flash each, running {OLD}\n",
        look.name(stage.url()),
        stage.folder().display(),
        look.name(stage::ORGANIZATION),
        look.name(stage::PROJECT),
        output::size(release.size),
        look.name(stage::KEY),
        output::size(cast::FLASH_SIZE),
    )
}

fn endings_text(look: Look, endings: &[Ending], size: u64, took: Duration) -> String {
    /// More rows than this hide the story; what went wrong is always shown.
    const MAX_ROWS: usize = 20;
    let columns = [
        ("device", Side::Left),
        ("app", Side::Left),
        ("data", Side::Left),
        ("bytes\nfetched", Side::Right),
        ("sectors\nerased", Side::Right),
        ("power\ncuts", Side::Right),
        ("images\nrefused", Side::Right),
        ("", Side::Left),
    ];
    let shown: Vec<_> = endings
        .iter()
        .enumerate()
        .filter(|(index, ending)| *index < MAX_ROWS || !ending.good)
        .map(|(_, ending)| ending)
        .collect();
    let rows: Vec<Vec<Cell>> = shown
        .iter()
        .map(|ending| {
            let mark = if ending.good {
                Cell::painted("good", Look::good)
            } else {
                Cell::painted(ending.problem.as_deref().unwrap_or("bad"), Look::bad)
            };
            vec![
                Cell::painted(&ending.name, Look::name),
                match &ending.version_after {
                    Some(after) if *after == ending.version_before => after.clone(),
                    Some(after) => format!("{} → {after}", ending.version_before),
                    None => format!("{} → -", ending.version_before),
                }
                .into(),
                match (&ending.data, &ending.parts) {
                    (Some(data), _) => data.name.to_owned(),
                    (None, Some(parts)) => format!("{} parts", parts.len()),
                    (None, None) => "-".to_owned(),
                }
                .into(),
                output::grouped(ending.bytes_fetched).into(),
                output::grouped(ending.sectors_erased).into(),
                ending.power_cuts.to_string().into(),
                ending.refusals.to_string().into(),
                mark,
            ]
        })
        .collect();
    let mut text = format!("\n{}", table(look, &columns, &rows));
    if shown.len() < endings.len() {
        text += &look.dim(&format!(
            "... and {} more, all good\n",
            endings.len() - shown.len()
        ));
    }
    let good = endings.iter().filter(|ending| ending.good).count();
    let verdict = format!(
        "{good} of {} devices are where they should be: by their flash, and by the server.",
        endings.len()
    );
    text += "\n";
    text += &if good == endings.len() {
        look.good(&verdict)
    } else {
        look.bad(&verdict)
    };
    if let Some(cut) = endings.iter().find(|ending| ending.role == Role::PowerCut) {
        text += &format!(
            "\nThe power cut cost {} bytes more, not another {}.",
            output::grouped(cut.bytes_fetched.saturating_sub(size)),
            output::grouped(size),
        );
    }
    text + &look.dim(&format!("\nTook {:.1} s.", took.as_secs_f64()))
}
