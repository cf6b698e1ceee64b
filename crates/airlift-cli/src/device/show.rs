//! `airlift device show`: what is in a flash file. Reads only; the device may be running.

mod partitions;
mod set;

use std::path::{Path, PathBuf};

use airlift_device::Refusal;
use airlift_device::flash::Region as FlashRegion;
use airlift_device::install::EspLayout;
use airlift_device::journal::{Journal, Phase, Record, Subject};
use airlift_formats::esp::otadata;
use airlift_formats::esp::partition_table::{
    DEFAULT_OFFSET, PartitionTable, PartitionType, Rules, TABLE_LEN, subtype,
};
use airlift_sim::board::{Board, BootError, Build, EspBoard, EspChip, Region};
use airlift_sim::client::{DataReport, Inspection, PartitionReport, SetPlan, SetReport};
use airlift_sim::flash::{Flash, Geometry, Model, Nor, SimFlash, block_on};
use anyhow::Context;
use serde::Serialize;

use super::config::File;
use crate::output::{self, Cell, Look, Side, table};

pub(super) use set::set_text;

/// Show what is in a flash file: partition table, boot selection, slots with their images, journal
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The flash file, also a dump of a real chip (`esptool read-flash 0 ALL dump.bin`)
    #[arg(long, value_name = "FILE", required_unless_present = "config")]
    flash: Option<PathBuf>,
    /// Configuration of the device: with it, parts of a set in other flashes are looked at as well
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown {
    file: String,
    size: usize,
    chip: String,
    partitions: Vec<ShownPartition>,
    boot: ShownBoot,
    slots: Vec<ShownSlot>,
    /// `null`: no partition for it, or no app update was ever begun.
    journal: Option<ShownJournal>,
    /// The data of the app that starts next; `null`: nobody said that it has some.
    data: Option<DataReport>,
    /// The last set of parts, part by part; `null`: there was none.
    set: Option<SetReport>,
}

#[derive(Serialize)]
struct ShownPartition {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    subtype: String,
    offset: u32,
    size: u32,
    encrypted: bool,
    readonly: bool,
    /// What the engine knows of it; `null` for apps, and if there is no journal.
    state: Option<PartitionReport>,
}

#[derive(Serialize)]
struct ShownBoot {
    /// The app partition that the next boot starts.
    next: Option<String>,
    /// It would be the one trial boot of that app.
    trial: bool,
    /// Why nothing boots.
    problem: Option<String>,
    /// The two records of `otadata`.
    records: Vec<ShownRecord>,
}

#[derive(Serialize)]
struct ShownRecord {
    seq: u32,
    state: String,
    crc_ok: bool,
    /// The slot that it names.
    slot: Option<String>,
}

#[derive(Serialize)]
struct ShownSlot {
    name: String,
    offset: u32,
    size: u32,
    image: Option<ShownImage>,
    /// Why there is no image that boots.
    problem: Option<String>,
}

#[derive(Serialize)]
struct ShownImage {
    version: String,
    project: String,
    length: u32,
    secure_version: u32,
}

#[derive(Serialize)]
struct ShownJournal {
    phase: &'static str,
    slot: u8,
    length: u32,
    sha256: String,
    /// Bytes that need not be fetched again.
    durable: Option<u32>,
    attempts: u8,
    reason: Option<&'static str>,
    reported: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let (flash, plan) = args.subject()?;
    let shown = inspect(&flash, plan.as_ref()).with_context(|| flash.display().to_string())?;
    if args.json {
        output::print(&format!("{}\n", serde_json::to_string_pretty(&shown)?));
    } else {
        output::print(&text(Look::stdout(), &shown));
    }
    Ok(())
}

impl Args {
    /// The flash file, and the parts of the configuration.
    fn subject(&self) -> anyhow::Result<(PathBuf, Option<SetPlan>)> {
        let Some(config) = &self.config else {
            // Without a configuration, clap insists on it.
            return Ok((self.flash.clone().unwrap_or_default(), None));
        };
        let file = File::read(config)?;
        let flash = file.flash(self.flash.as_deref(), config)?;
        Ok((flash, file.set(config)?))
    }
}

fn inspect(flash: &Path, plan: Option<&SetPlan>) -> anyhow::Result<Shown> {
    let bytes = std::fs::read(flash).context(
        "cannot read; a new virtual device is made with `airlift device new --flash FILE`",
    )?;
    let size = bytes.len();
    let geometry = Geometry::new(4, 4096, size).context("this is no dump of a whole flash")?;
    let start = DEFAULT_OFFSET as usize;
    let raw = bytes
        .get(start..start + TABLE_LEN)
        .context("too short for a partition table at 0x8000")?;
    let rules = Rules::new(u32::try_from(size)?).without_md5();
    let partitions = PartitionTable::parse(raw, &rules)
        .context("no usable partition table at 0x8000: is this a dump from address 0?")?;

    // Everything below works on a copy: looking must change nothing.
    let copy = || -> anyhow::Result<Flash> {
        Ok(Flash::new(Nor::from_image(geometry, Model::And, &bytes)?))
    };
    let chip = chip_of(&bytes, &partitions);
    let board =
        |flash| Ok::<_, anyhow::Error>(EspBoard::new(flash, Build::Rollback)?.with_chip(chip));
    let as_is = board(copy()?)?;
    let boot = boot(&as_is, &mut board(copy()?)?);
    let inspection = inspect_partitions(&copy()?, &partitions, &boot, plan)?;
    let shown_partitions: Vec<_> = partitions
        .partitions()
        .map(|partition| ShownPartition {
            name: partition.name.to_string(),
            kind: partition.kind.to_string(),
            subtype: partition
                .subtype_name()
                .map_or_else(|| format!("{:#04x}", partition.subtype), str::to_owned),
            offset: partition.offset,
            size: partition.size,
            encrypted: partition.flags.is_encrypted(),
            readonly: partition.flags.is_readonly(),
            state: inspection
                .as_ref()
                .and_then(|found| partitions::state(found, partition.offset)),
        })
        .collect();
    let slots = partitions
        .partitions()
        .filter(|p| {
            p.kind == PartitionType::APP
                && (p.ota_slot().is_some() || p.subtype == subtype::APP_FACTORY)
        })
        .map(|p| {
            let region = Region {
                offset: p.offset,
                len: p.size,
            };
            let (image, problem) = match as_is.verify(region) {
                Ok(app) => {
                    let image = ShownImage {
                        version: app.version,
                        project: app.project,
                        length: app.length,
                        secure_version: app.secure_version,
                    };
                    (Some(image), None)
                }
                Err(refusal) => (None, Some(refusal.to_string())),
            };
            ShownSlot {
                name: p.name.to_string(),
                offset: p.offset,
                size: p.size,
                image,
                problem,
            }
        })
        .collect();
    Ok(Shown {
        file: flash.display().to_string(),
        size,
        chip: chip.id.to_string(),
        partitions: shown_partitions,
        boot,
        slots,
        data: inspection.as_ref().and_then(|found| found.data.clone()),
        set: inspection.and_then(|found| found.set),
        journal: EspLayout::new(&partitions)
            .ok()
            .map(|layout| journal(&copy()?, layout.journal))
            .transpose()?
            .flatten(),
    })
}

/// `None`: the table does not allow updates.
fn inspect_partitions(
    copy: &Flash,
    table: &PartitionTable<'_>,
    boot: &ShownBoot,
    plan: Option<&SetPlan>,
) -> anyhow::Result<Option<Inspection>> {
    if EspLayout::new(table).is_err() {
        return Ok(None);
    }
    let running = boot.next.as_deref();
    let running = running.and_then(|slot| slot.strip_prefix("ota_")?.parse().ok());
    Ok(Some(airlift_sim::client::inspect(
        copy, table, running, plan,
    )?))
}

fn chip_of(bytes: &[u8], table: &PartitionTable<'_>) -> EspChip {
    use airlift_formats::esp::app_image::{ChipId, HEADER_LEN, Header, MAGIC};
    let chip = table
        .partitions()
        .filter(|p| p.kind == PartitionType::APP)
        .find_map(|p| {
            let header: &[u8; HEADER_LEN] = bytes.get(p.offset as usize..)?.first_chunk()?;
            (header[0] == MAGIC).then(|| Header::parse(header).chip)
        });
    EspChip::new(chip.unwrap_or(ChipId::ESP32))
}

/// `as_is` is read, `trial` is booted to see what happens.
fn boot(as_is: &EspBoard, trial: &mut EspBoard) -> ShownBoot {
    let slots = as_is.table().map_or(0, |table| table.ota_count);
    let records = as_is.records().ok().flatten();
    let records = records.into_iter().flatten().map(|record| ShownRecord {
        seq: record.seq,
        state: if record.seq == u32::MAX {
            "erased".to_owned()
        } else {
            record.state.to_string()
        },
        crc_ok: record.is_crc_valid(),
        slot: record
            .slot(slots)
            .filter(|_| record.is_crc_valid())
            .map(|slot| otadata::Slot::Ota(slot).to_string()),
    });
    let records = records.collect();
    match trial.boot() {
        Ok(booted) => ShownBoot {
            next: Some(booted.slot.to_string()),
            trial: booted.trial,
            problem: None,
            records,
        },
        Err(error) => ShownBoot {
            next: None,
            trial: false,
            problem: Some(match error {
                BootError::NoBootableApp { .. } => "no slot holds an image that boots".to_owned(),
                other => other.to_string(),
            }),
            records,
        },
    }
}

fn journal(flash: &Flash, region: FlashRegion) -> anyhow::Result<Option<ShownJournal>> {
    let mut flash: SimFlash<4, 4096> = flash.typed()?;
    let journal = block_on(Journal::mount(&mut flash, region));
    let Some(record) = journal.current().copied() else {
        return Ok(None);
    };
    let durable = match record.phase {
        Phase::Downloading => Some(block_on(journal.marked(&mut flash, Subject::APP))),
        _ => None,
    };
    Ok(Some(ShownJournal {
        phase: phase(&record),
        slot: record.slot,
        length: record.length,
        sha256: output::hex(&record.sha256),
        durable,
        attempts: record.attempts,
        reason: (record.phase == Phase::Refused).then(|| Refusal::token(record.reason)),
        reported: record.reported,
    }))
}

fn phase(record: &Record) -> &'static str {
    match record.phase {
        Phase::Downloading => "downloading",
        Phase::Staged => "staged",
        Phase::Armed => "armed",
        Phase::OnTrial => "on trial",
        Phase::Confirming => "confirming",
        Phase::Rejecting => "rejecting",
        Phase::Confirmed => "confirmed",
        Phase::RolledBack => "rolled back",
        Phase::Refused => "refused",
        // Of other subjects than the app.
        _ => "unknown",
    }
}

fn text(look: Look, shown: &Shown) -> String {
    let mut text = format!(
        "{}  {}, {}\n\n",
        look.bold(&shown.file),
        output::size(shown.size as u64),
        shown.chip
    );
    text += &partitions_text(look, &shown.partitions);
    text += &boot_text(look, &shown.boot);
    text += &slots_text(look, shown);
    text += &journal_text(look, shown.journal.as_ref());
    let states = shown.partitions.iter().filter_map(|p| p.state.as_ref());
    text += &partitions::states_text(look, states);
    text += &partitions::data_text(look, shown.data.as_ref());
    text + &set_text(look, shown.set.as_ref())
}

fn partitions_text(look: Look, partitions: &[ShownPartition]) -> String {
    let rows: Vec<Vec<Cell>> = partitions
        .iter()
        .map(|p| {
            let flags = [("encrypted", p.encrypted), ("readonly", p.readonly)];
            let flags: Vec<_> = flags.iter().filter(|f| f.1).map(|f| f.0).collect();
            vec![
                Cell::painted(&p.name, Look::name),
                p.kind.clone().into(),
                p.subtype.clone().into(),
                format!("{:#x}", p.offset).into(),
                output::size(p.size.into()).into(),
                flags.join(" ").into(),
            ]
        })
        .collect();
    let columns = [
        ("partition", Side::Left),
        ("type", Side::Left),
        ("subtype", Side::Left),
        ("offset", Side::Right),
        ("size", Side::Right),
        ("flags", Side::Left),
    ];
    table(look, &columns, &rows)
}

fn boot_text(look: Look, boot: &ShownBoot) -> String {
    let next = match (&boot.next, &boot.problem) {
        (Some(next), _) => {
            let trial = if boot.trial { ", on trial" } else { "" };
            format!("the next boot starts {}{trial}", look.good(next))
        }
        (None, problem) => look.bad(problem.as_deref().unwrap_or("nothing boots")),
    };
    let mut text = format!("\n{}  {next}\n", look.bold("Boot selection"));
    for (index, record) in boot.records.iter().enumerate() {
        let what = match (&record.slot, record.state.as_str()) {
            (_, "erased") => "erased".to_owned(),
            (Some(slot), state) => format!("{slot}, {state}, sequence {}", record.seq),
            (None, state) if record.crc_ok => format!("{state}, sequence {}", record.seq),
            (None, _) => format!("damaged (sequence {:#x}, wrong CRC)", record.seq),
        };
        text += &format!("  record {index}  {what}\n");
    }
    text
}

fn slots_text(look: Look, shown: &Shown) -> String {
    let rows: Vec<Vec<Cell>> = shown
        .slots
        .iter()
        .map(|slot| {
            let name = Cell::painted(&slot.name, Look::name);
            match &slot.image {
                Some(image) => vec![
                    name,
                    image.version.clone().into(),
                    image.project.clone().into(),
                    output::size(image.length.into()).into(),
                    Cell::painted("boots", Look::good),
                ],
                None => vec![
                    name,
                    "-".into(),
                    "-".into(),
                    "-".into(),
                    Cell::painted(slot.problem.as_deref().unwrap_or_default(), Look::dim),
                ],
            }
        })
        .collect();
    let columns = [
        ("slot", Side::Left),
        ("version", Side::Left),
        ("project", Side::Left),
        ("image", Side::Right),
        ("", Side::Left),
    ];
    format!("\n{}", table(look, &columns, &rows))
}

fn journal_text(look: Look, journal: Option<&ShownJournal>) -> String {
    let heading = look.bold("Journal");
    let Some(journal) = journal else {
        return format!("\n{heading}  no update of the app was ever begun\n");
    };
    let mut text = format!(
        "\n{heading}  {}: slot {}, {} bytes, SHA-256 {}\n",
        journal.phase,
        journal.slot,
        output::grouped(journal.length.into()),
        journal.sha256.get(..16).unwrap_or_default(),
    );
    if let Some(durable) = journal.durable {
        text += &format!(
            "  {} bytes are safe in flash and are not fetched again\n",
            output::grouped(durable.into())
        );
    }
    if let Some(reason) = journal.reason {
        text += &format!("  reason: {reason}\n");
    }
    let told = if journal.reported { "yes" } else { "not yet" };
    text + &format!("  reported to the server: {told}\n")
}
