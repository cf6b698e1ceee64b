//! What is where: the last set, part by part, for people and programs.

use airlift_device::flash::Region;
use airlift_device::journal::{Journal, Phase, Record, Subject};
use airlift_device::partition::Partition;
use airlift_formats::nxp::Content;
use serde::Serialize;

use super::super::DeviceError;
use super::super::ask::hex;
use super::super::device::Running;
use super::super::provision::{SECTOR, WORD};
use super::Unit;
use super::external::Holds;
use crate::flash::{Flash, SimFlash, block_on};

/// The last set that the engine took, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetReport {
    /// `applying` (its parts are being put in place), `applied` (they are, and its app waits to be tried), `on-trial`, `undoing`, `done`, `undone`.
    pub state: &'static str,
    /// The digest that the header of the image has of its payload, the first 32 bytes.
    pub sha256: String,
    /// Tag of the part that could not be applied; 0: the app did not stay. `None`: nothing went wrong.
    pub failed_tag: Option<u32>,
    /// The server knows how it ended.
    pub reported: bool,
    /// The software version that the device has, if its notes are at hand.
    pub software_version: Option<u32>,
    /// The same in words, as the server calls it.
    pub version: Option<String>,
    /// The parts, in the order in which they are applied.
    pub parts: Vec<SetPartReport>,
}

/// One part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetPartReport {
    /// Its tag in the image.
    pub tag: u32,
    /// What that tag stands for: `application`, `factory data`, `custom`, ...
    pub content: &'static str,
    /// Where it goes: `app`, `partition NAME`, `external FILE`, or `custom` if the configuration is not at hand.
    pub place: String,
    /// What is there: `old`, `new`, or `unknown`: it is being copied, or lies where nobody looked.
    pub holds: &'static str,
}

impl SetReport {
    /// Neither in place nor undone.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        !matches!(self.state, "done" | "undone")
    }
}

/// How the subjects of parts are written down: see `docs/journal.md`.
const APP_ID: usize = 8;
const APP_MARK: u32 = u32::MAX;
const CUSTOM: u32 = u32::MAX - 1;

/// Reads the journal in `region`; changes nothing. `unit` knows more than the engine does.
pub(in super::super) fn look(
    flash: &Flash,
    region: Region,
    named: &[(String, Partition)],
    unit: Option<&mut Unit>,
) -> Result<Option<SetReport>, DeviceError> {
    let mut flash = typed(flash)?;
    let journal = block_on(Journal::mount(&mut flash, region));
    let Some(set) = block_on(journal.find(&mut flash, Subject::SET))? else {
        return Ok(None);
    };
    let tail = block_on(journal.tail(&mut flash, Subject::SET));
    let (app_id, entries) = tail.split_at(APP_ID);
    let app = journal
        .current()
        .filter(|app| app.sha256.starts_with(app_id));
    let mut unit = unit;
    let mut parts = Vec::new();
    for entry in entries.as_chunks::<8>().0 {
        let ([tag, subject], _) = entry.as_chunks::<4>() else {
            break;
        };
        let (tag, subject) = (u32::from_le_bytes(*tag), u32::from_le_bytes(*subject));
        let (place, holds) = match subject {
            0 => break,
            APP_MARK => ("app".to_owned(), app_holds(&set, app)),
            CUSTOM => custom(&set, tag, unit.as_deref_mut()),
            subject => {
                let offset = subject & !3;
                let mut known = named.iter();
                let name = known.find(|(_, known)| known.region.offset == offset);
                let name = name.map_or_else(|| format!("{offset:#x}"), |(name, _)| name.clone());
                let part = block_on(journal.find(&mut flash, Subject::partition(offset)))?;
                (
                    format!("partition {name}"),
                    partition_holds(&set, part.as_ref()),
                )
            }
        };
        parts.push(SetPartReport {
            tag,
            content: Content::of(tag).name(),
            place,
            holds,
        });
    }
    let installed = unit.as_ref().and_then(|unit| unit.notes.installed());
    Ok(Some(SetReport {
        state: state(&set, app),
        sha256: hex(&set.sha256),
        failed_tag: matches!(set.phase, Phase::Reverting | Phase::Reverted).then_some(set.progress),
        reported: set.reported,
        software_version: installed.map(|image| image.software_version),
        version: installed
            .map(|image| image.version.clone())
            .filter(|version| !version.is_empty()),
        parts,
    }))
}

/// Takes a set out of the journal of a copy, so that an engine can be started there that would go on with it.
pub(in super::super) fn forget_set(copy: &Flash, region: Region) -> Result<(), DeviceError> {
    let mut flash = typed(copy)?;
    let mut journal = block_on(Journal::mount(&mut flash, region));
    let nothing = Record::new(Subject::SET, Phase::Void, 0, [0; 32]);
    Ok(block_on(journal.append(&mut flash, nothing, &[]))?)
}

fn typed(flash: &Flash) -> Result<SimFlash<WORD, SECTOR>, DeviceError> {
    let typed = flash.typed();
    Ok(typed.map_err(|_| crate::board::EspFlashError { sector: 0 })?)
}

fn state(set: &Record, app: Option<&Record>) -> &'static str {
    match (set.phase, app.map(|app| app.phase)) {
        (Phase::Done, _) => "done",
        (Phase::Reverted, _) => "undone",
        (Phase::Reverting, _) => "undoing",
        (_, Some(Phase::Armed)) => "applied",
        (_, Some(Phase::OnTrial | Phase::Confirming)) => "on-trial",
        (_, Some(Phase::Rejecting | Phase::RolledBack)) => "undoing",
        _ => "applying",
    }
}

fn app_holds(set: &Record, app: Option<&Record>) -> &'static str {
    match (set.phase, app.map(|app| app.phase)) {
        (Phase::Done, _) | (_, Some(Phase::OnTrial | Phase::Confirming | Phase::Confirmed)) => {
            "new"
        }
        (Phase::Reverted, _)
        | (_, Some(Phase::Staged | Phase::Armed | Phase::RolledBack | Phase::Refused)) => "old",
        _ => "unknown",
    }
}

fn partition_holds(set: &Record, part: Option<&Record>) -> &'static str {
    match (set.phase, part.map(|part| part.phase)) {
        (_, Some(Phase::Replacing | Phase::Undoing | Phase::Writing | Phase::Copying)) => "unknown",
        (Phase::Done, _) | (_, Some(Phase::Replaced | Phase::Updated)) => "new",
        (Phase::Reverted, _) | (_, Some(Phase::Ready | Phase::Restored | Phase::Declined)) => "old",
        _ => "unknown",
    }
}

fn custom(set: &Record, tag: u32, unit: Option<&mut Unit>) -> (String, &'static str) {
    let said = match set.phase {
        Phase::Done => "new",
        Phase::Reverted => "old",
        _ => "unknown",
    };
    let Some(unit) = unit else {
        return ("custom".to_owned(), said);
    };
    let mut places = unit.places.iter();
    let place = places.find(|(of, _)| *of == tag);
    let place = place.map_or_else(|| "custom".to_owned(), |(_, place)| place.clone());
    let mut externals = unit.externals.iter_mut();
    let external = externals.find(|external| external.tag() == tag);
    let holds = match external.and_then(|external| block_on(external.holds())) {
        Some(Holds::New) => "new",
        Some(Holds::Old) => "old",
        None => "unknown",
    };
    (place, holds)
}

impl Running<'_> {
    /// The last set, part by part; `None`: there was none.
    ///
    /// # Errors
    /// If the journal cannot be read any more.
    pub fn set(&mut self) -> Result<Option<SetReport>, DeviceError> {
        let region = self.parts.layout.journal;
        let parts = &mut *self.parts;
        look(&parts.flash, region, &parts.named, parts.set.as_mut())
    }

    /// What a part in another flash holds; `None`: nothing, or there is no such part.
    #[must_use]
    pub fn external(&mut self, tag: u32) -> Option<Vec<u8>> {
        let unit = self.parts.set.as_mut()?;
        let mut externals = unit.externals.iter_mut();
        let external = externals.find(|external| external.tag() == tag)?;
        block_on(external.content()).ok().flatten()
    }

    /// The software version that the device has, if it takes sets.
    #[must_use]
    pub fn software_version(&self) -> Option<u32> {
        Some(self.parts.set.as_ref()?.identity().version)
    }
}
