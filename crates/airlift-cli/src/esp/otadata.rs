//! `airlift esp otadata`: boot selection records, and what the boot loader makes of them.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use airlift_formats::esp::otadata::{
    BootLoader, Build, Efuse, Images, MAX_SLOTS, PARTITION_SIZE, RECORD_LEN, Record, SECTOR_SIZE,
    Slot, State, active,
};
use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::image::{hex, print, read};

/// The partition has 8 KiB; nobody makes a large one.
const FILE_LIMIT: u64 = 0x10_0000;

/// `airlift esp otadata ...`
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Show both records of a partition image, and what is odd about them
    Show(Show),
    /// Say which slot the boot loader would pick
    Select(Select),
}

/// Show both records of a partition image, and what is odd about them
#[derive(clap::Args)]
pub(crate) struct Show {
    /// Image of the partition data/ota (8 KiB)
    file: PathBuf,
    /// Number of app slots, to say which one a record selects
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_SLOTS)))]
    slots: Option<u8>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Say which slot the boot loader would pick
///
/// The answer is the number of the slot, or -1 for the factory app. Whether the image there is good is not looked at: the boot loader
/// would then try others. Defects of the boot loader are imitated.
#[derive(clap::Args)]
pub(crate) struct Select {
    /// Image of the partition data/ota (8 KiB)
    file: PathBuf,
    /// Number of app slots
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=i64::from(MAX_SLOTS)))]
    slots: u8,
    /// There is a factory app
    #[arg(long)]
    factory: bool,
    /// The boot loader was built with app rollback
    #[arg(long)]
    rollback: bool,
    /// The boot loader was built with anti-rollback (which implies rollback)
    #[arg(long)]
    anti_rollback: bool,
    /// Secure version in the eFuse, for --anti-rollback
    #[arg(
        long,
        value_name = "VERSION",
        default_value_t = 0,
        requires = "anti_rollback"
    )]
    efuse: u32,
    /// Secure versions of the apps in the slots, in order, for --anti-rollback [default: all sufficient]
    #[arg(
        long,
        value_name = "VERSION,...",
        value_delimiter = ',',
        requires = "anti_rollback"
    )]
    secure_versions: Vec<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Show(show) => show.run(),
        Command::Select(select) => select.run(),
    }
}

/// An image of the partition.
struct Dump {
    records: [Record; 2],
    /// Whether something stands behind the record in its sector.
    trailing: [bool; 2],
}

impl Dump {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = read(path, FILE_LIMIT)?;
        if bytes.len() < PARTITION_SIZE as usize {
            bail!(
                "{}: {} bytes are no otadata partition; it has {PARTITION_SIZE}, and with less the \
                 boot loader resets for ever",
                path.display(),
                bytes.len()
            );
        }
        let mut sectors = bytes.chunks(SECTOR_SIZE as usize);
        let mut next = || {
            let sector = sectors.next()?;
            let (record, rest) = sector.split_first_chunk::<RECORD_LEN>()?;
            Some((Record::parse(record), rest.iter().any(|byte| *byte != 0xFF)))
        };
        let (first, second) = next().zip(next()).context("no two records")?;
        Ok(Self {
            records: [first.0, second.0],
            trailing: [first.1, second.1],
        })
    }

    /// What is out of the ordinary in one record.
    fn oddities(&self, sector: usize) -> Vec<String> {
        let record = &self.records[sector];
        let mut odd = Vec::new();
        if *record == Record::ERASED {
            if self.trailing[sector] {
                odd.push("data behind an erased record".to_owned());
            }
            return odd;
        }
        if record.seq == u32::MAX {
            odd.push("sequence number of an erased record, but other bytes are set".to_owned());
        } else if !record.is_crc_valid() {
            odd.push("wrong CRC: torn or damaged, it selects nothing".to_owned());
        }
        if record.seq == 0 {
            odd.push("sequence number 0: no tool writes it, a torn write does".to_owned());
        }
        if let State::Other(number) = record.state {
            odd.push(format!(
                "unknown state {number:#x}: the boot loader boots it"
            ));
        }
        if record.label != [0xFF; 20] {
            odd.push(format!("label bytes are set: {}", hex(&record.label)));
        }
        if record.state == State::PendingVerify {
            odd.push(
                "on trial: a boot loader with rollback gives it up at the next reset".to_owned(),
            );
        }
        if self.trailing[sector] {
            odd.push("data behind the record in its sector".to_owned());
        }
        odd
    }

    /// What is out of the ordinary about the pair.
    fn pair_oddities(&self) -> Vec<String> {
        let [first, second] = &self.records;
        let mut odd = Vec::new();
        if first.is_valid() && second.is_valid() && first.seq == second.seq {
            odd.push("both records have the same sequence number: the first one counts".to_owned());
        }
        if active(&self.records).is_none() && !(first.seq == u32::MAX && second.seq == u32::MAX) {
            odd.push("no record is valid: the boot loader decides without them".to_owned());
        }
        odd
    }
}

impl Show {
    fn run(&self) -> anyhow::Result<()> {
        let dump = Dump::read(&self.file)?;
        let active = active(&dump.records);
        if self.json {
            return print(&format!("{:#}\n", self.to_json(&dump, active)));
        }
        let mut out = String::new();
        writeln!(out, "sector  sequence    selects  state           CRC")?;
        for (sector, record) in dump.records.iter().enumerate() {
            if *record == Record::ERASED {
                writeln!(out, "{sector:>6}  erased")?;
            } else {
                let selects = match self.slots.and_then(|slots| record.slot(slots)) {
                    Some(slot) if record.seq != u32::MAX => Slot::Ota(slot).to_string(),
                    _ => "-".to_owned(),
                };
                let crc = if record.is_crc_valid() {
                    "right"
                } else {
                    "WRONG"
                };
                let mark = if active == Some(sector) {
                    "  <- active"
                } else {
                    ""
                };
                let (seq, state) = (record.seq, record.state.to_string());
                writeln!(
                    out,
                    "{sector:>6}  {seq:<10}  {selects:<7}  {state:<14}  {:#010x} {crc}{mark}",
                    record.crc
                )?;
            }
            for odd in dump.oddities(sector) {
                writeln!(out, "        note: {odd}")?;
            }
        }
        for odd in dump.pair_oddities() {
            writeln!(out, "note: {odd}")?;
        }
        if active.is_none() {
            writeln!(out, "no active record")?;
        }
        print(&out)
    }

    fn to_json(&self, dump: &Dump, active: Option<usize>) -> Value {
        let records: Vec<Value> = dump
            .records
            .iter()
            .enumerate()
            .map(|(sector, record)| {
                json!({
                    "sector": sector,
                    "offset": sector * SECTOR_SIZE as usize,
                    "seq": record.seq,
                    "state": record.state.to_u32(),
                    "state_name": record.state.to_string(),
                    "crc": record.crc,
                    "crc_valid": record.is_crc_valid(),
                    "valid": record.is_valid(),
                    "erased": *record == Record::ERASED,
                    "slot": self.slots.and_then(|slots| record.slot(slots)).filter(|_| record.seq != u32::MAX),
                    "notes": dump.oddities(sector),
                })
            })
            .collect();
        json!({ "active": active, "records": records, "notes": dump.pair_oddities() })
    }
}

/// The secure versions from the command line; an app that is not named has a sufficient one.
struct Versions<'a>(&'a [u32]);

impl Images for Versions<'_> {
    fn verifies(&mut self, _: Slot) -> bool {
        true
    }

    fn secure_version(&mut self, slot: Slot) -> Option<u32> {
        let index = usize::try_from(slot.index()).ok();
        let given = index.and_then(|index| self.0.get(index));
        Some(given.copied().unwrap_or(u32::MAX))
    }
}

impl Select {
    fn run(&self) -> anyhow::Result<()> {
        let dump = Dump::read(&self.file)?;
        let build = match (self.anti_rollback, self.rollback) {
            (true, _) => Build::AntiRollback,
            (false, true) => Build::Rollback,
            (false, false) => Build::Plain,
        };
        let loader = BootLoader {
            factory: self.factory,
            efuse: Efuse::new(self.efuse),
            ..BootLoader::new(build, self.slots)
        };
        let selection = loader.select(&dump.records, &mut Versions(&self.secure_versions));
        let selected = selection.slot.index();
        if self.json {
            let rewrites: Vec<Value> = selection
                .rewrites()
                .map(|rewrite| {
                    json!({
                        "sector": rewrite.sector,
                        "seq": rewrite.record.seq,
                        "state": rewrite.record.state.to_u32(),
                        "state_name": rewrite.record.state.to_string(),
                    })
                })
                .collect();
            let value = json!({
                "selected": selected,
                "initial_contents": selection.initial_contents,
                "rewrites": rewrites,
            });
            return print(&format!("{value}\n"));
        }
        let mut out = String::new();
        match selection.slot {
            Slot::Factory if !self.factory => {
                writeln!(
                    out,
                    "{selected}: no record decides, every slot is tried from ota_0 up"
                )?;
            }
            slot => writeln!(out, "{selected}: {slot}")?,
        }
        if selection.initial_contents {
            writeln!(
                out,
                "first boot: the slot that is started will be recorded in sector 0"
            )?;
        }
        for rewrite in selection.rewrites() {
            let (sector, state) = (rewrite.sector, rewrite.record.state);
            writeln!(out, "sector {sector} is rewritten first: {state}")?;
        }
        print(&out)
    }
}
