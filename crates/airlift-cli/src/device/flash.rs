//! `airlift device flash`: an update of one partition, or of all parts of a set, without a server.

mod image;

use std::path::{Path, PathBuf};

use airlift_sim::client::{Event, Faults, PartitionPlan, Put, RoomPlan, SchemePlan, VirtualDevice};
use anyhow::{Context, anyhow, bail};
use sha2::{Digest as _, Sha256};

use super::run::observer;
use super::scheme::Words;
use super::settings::cut_at_operation;
use crate::output::{self, Look};

/// Update one partition of a flash file, or all parts of a Matter OTA image, through the update engine
///
/// The device is switched on: its engine finishes or undoes what a power cut interrupted, and then brings the file into the partition by the
/// scheme. Exit code 0 only if the partition holds the new content. After a power cut, run the same command again.
///
/// With --config, the file is a Matter OTA image, whose parts go where the configuration says: all of them or none. The device restarts, and
/// tries the app if there is one among them. Exit code 0 only if all parts are in place, and stay.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The new content
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The flash file of the device
    #[arg(long, value_name = "FLASH", required_unless_present = "config")]
    flash: Option<PathBuf>,
    /// Configuration of the device, for a Matter OTA image: where its parts go (docs/virtual-device.md)
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["partition", "scheme", "room", "used", "after_cut", "accept_brick_risk", "recovery"]
    )]
    config: Option<PathBuf>,
    /// The partition, by its name in the partition table
    #[arg(long, value_name = "NAME", required_unless_present = "config")]
    partition: Option<String>,
    /// How it is rewritten: direct, backup, staged; for boot loader and partition table staged-boot
    #[arg(
        long,
        value_name = "SCHEME",
        required_unless_present = "config",
        value_parser = ["direct", "backup", "staged", "staged-boot"]
    )]
    scheme: Option<String>,
    /// Where copies are kept: passive-slot or partition:NAME [default: passive-slot]
    #[arg(long, value_name = "ROOM")]
    room: Option<String>,
    /// Bytes of the partition that are in use, and so are copied away [default: all] (backup)
    #[arg(long, value_name = "SIZE", value_parser = output::parse_size)]
    used: Option<u64>,
    /// After a power cut, put the old content back, or go on with the new one [default: restore] (backup)
    #[arg(long, value_name = "WHAT", value_parser = ["restore", "resume"])]
    after_cut: Option<String>,
    /// A power cut at the wrong moment may leave a device that does not start any more (staged-boot)
    #[arg(long)]
    accept_brick_risk: bool,
    /// Partition with a recovery boot loader (staged-boot)
    #[arg(long, value_name = "NAME")]
    recovery: Option<String>,
    /// Print each step as a line of JSON
    #[arg(long)]
    json: bool,
    /// Fault: the power fails at this operation of the flash, counted from the start of the update
    #[arg(long, value_name = "NUMBER", help_heading = "Faults to try out")]
    power_cut_at_operation: Option<u64>,
    /// Fault: the next app that runs on trial finds that it does not work
    #[arg(long, help_heading = "Faults to try out")]
    fail_self_test: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let file = args.file.display();
    let bytes = std::fs::read(&args.file).with_context(|| format!("{file}: cannot read"))?;
    if let Some(config) = &args.config {
        return image::run(args, config, &bytes);
    }
    let plan = plan(args)?;
    // Without a configuration, clap insists on it.
    let path = args.flash.as_deref().unwrap_or(Path::new(""));
    let flash = path.display();
    let mut device = VirtualDevice::open_offline(path)
        .with_context(|| format!("{flash}: cannot be switched on"))?;
    device
        .check_plan(&plan)
        .map_err(|error| anyhow!("{flash}: partition {:?}: {error}", plan.name))?;
    device.set_faults(args.faults());
    let mut show = observer(args.json);
    let mut refusal = None;
    let put = {
        let mut on = |event: &Event| {
            match event {
                Event::PartitionRefused { message, whole, .. } => {
                    refusal = Some((message.clone(), *whole));
                }
                Event::PartitionRestored { message, .. } => {
                    refusal = Some((message.clone(), true));
                }
                _ => {}
            }
            show(event);
        };
        match device.power_on(&mut on)? {
            None => Put::PowerLost,
            Some(mut running) => {
                let holds_data = running.data()?.is_some_and(|data| data.durable > 0);
                let in_slot = matches!(
                    plan.scheme,
                    SchemePlan::Backup {
                        room: RoomPlan::PassiveSlot,
                        ..
                    } | SchemePlan::Staged {
                        room: RoomPlan::PassiveSlot
                    } | SchemePlan::StagedBoot {
                        room: RoomPlan::PassiveSlot,
                        ..
                    }
                );
                if holds_data && in_slot {
                    bail!(
                        "{flash}: the passive slot holds the data of the app, and would lose them: use --room partition:NAME"
                    );
                }
                running.put(&plan, &bytes, &mut on)?
            }
        }
    };
    drop(show);
    conclude(args, &plan.name, &put, &bytes, refusal)
}

impl Args {
    fn faults(&self) -> Faults {
        Faults {
            power_cut: self.power_cut_at_operation.map(cut_at_operation),
            self_test_fails: self.fail_self_test,
            ..Faults::default()
        }
    }
}

fn plan(args: &Args) -> anyhow::Result<PartitionPlan> {
    let words = Words {
        scheme: args.scheme.as_deref().unwrap_or_default(),
        room: args.room.as_deref(),
        used: args.used,
        after_cut: args.after_cut.as_deref(),
        accept_brick_risk: args.accept_brick_risk,
        recovery: args.recovery.as_deref(),
    };
    let scheme = words
        .plan()
        .map_err(|(key, message)| anyhow!("--{}: {message}", key.replace('_', "-")))?;
    Ok(PartitionPlan {
        name: args.partition.clone().unwrap_or_default(),
        scheme,
    })
}

fn conclude(
    args: &Args,
    name: &str,
    put: &Put,
    bytes: &[u8],
    refusal: Option<(String, bool)>,
) -> anyhow::Result<()> {
    let file = args.file.display();
    let how = match put {
        Put::Updated => "holds",
        Put::WasThere => "held already, and holds,",
        Put::Refused { reason } => {
            let (message, whole) = refusal.unwrap_or_default();
            let after = if whole {
                "its old content is untouched"
            } else {
                "it is not whole until it is updated with good content"
            };
            let advice = advice(reason);
            bail!("{name} was not updated with {file}: {message} ({reason}); {advice}; {after}");
        }
        _ => bail!(
            "the power failed; run the same command again: the device first goes on, or puts the old content back"
        ),
    };
    if !args.json {
        let look = Look::stdout();
        let digest = output::hex(&Sha256::digest(bytes));
        output::print(&format!(
            "{} {how} {file}, {}, SHA-256 {}…\n",
            look.name(name),
            output::size(bytes.len() as u64),
            digest.get(..16).unwrap_or_default()
        ));
    }
    Ok(())
}

/// What to do about a refusal.
fn advice(reason: &str) -> &'static str {
    match reason {
        "too-big" => "make the file smaller or the partition larger",
        "empty" => "give a file with content",
        "no-slot" | "copy-too-big" | "copy-in-partition" | "running-app" => {
            "name another place for the copy with --room partition:NAME"
        }
        "holds-copy" => "finish the interrupted update of the other partition first",
        "partition-table" => {
            "keep the running slot, the number of slots, otadata and airlift as they are"
        }
        "wrong-kind" => "give a file of the kind that belongs there",
        reason if reason.starts_with("image-") => "give a sound image for this chip",
        _ => "nothing was written",
    }
}
