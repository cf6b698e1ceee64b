//! `airlift device flash`: an update of one partition, without a server.

use std::path::PathBuf;

use airlift_sim::client::{
    Event, Faults, PartitionPlan, PowerCut, Put, RoomPlan, SchemePlan, VirtualDevice,
};
use airlift_sim::flash::{Cut, CutKind};
use anyhow::{Context, anyhow, bail};
use sha2::{Digest as _, Sha256};

use super::run::observer;
use super::scheme::Words;
use crate::output::{self, Look};

/// Update one partition of a flash file, through the update engine
///
/// The device is switched on: its engine finishes or undoes what a power cut interrupted, and then brings the file into the partition by the
/// scheme. Exit code 0 only if the partition holds the new content. After a power cut, run the same command again.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The new content
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The flash file of the device
    #[arg(long, value_name = "FLASH")]
    flash: PathBuf,
    /// The partition, by its name in the partition table
    #[arg(long, value_name = "NAME")]
    partition: String,
    /// How it is rewritten: direct, backup, staged; for boot loader and partition table staged-boot
    #[arg(long, value_name = "SCHEME", value_parser = ["direct", "backup", "staged", "staged-boot"])]
    scheme: String,
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
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let plan = plan(args)?;
    let file = args.file.display();
    let bytes = std::fs::read(&args.file).with_context(|| format!("{file}: cannot read"))?;
    let flash = args.flash.display();
    let mut device = VirtualDevice::open_offline(&args.flash)
        .with_context(|| format!("{flash}: cannot be switched on"))?;
    device
        .check_plan(&plan)
        .map_err(|error| anyhow!("{flash}: partition {:?}: {error}", plan.name))?;
    if let Some(at) = args.power_cut_at_operation {
        device.set_faults(Faults {
            power_cut: Some(PowerCut::AtOperation(Cut::at_call(
                at,
                CutKind::TornProgram { seed: at },
            ))),
            ..Faults::default()
        });
    }
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
    conclude(args, &put, &bytes, refusal)
}

fn plan(args: &Args) -> anyhow::Result<PartitionPlan> {
    let words = Words {
        scheme: &args.scheme,
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
        name: args.partition.clone(),
        scheme,
    })
}

fn conclude(
    args: &Args,
    put: &Put,
    bytes: &[u8],
    refusal: Option<(String, bool)>,
) -> anyhow::Result<()> {
    let name = &args.partition;
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
