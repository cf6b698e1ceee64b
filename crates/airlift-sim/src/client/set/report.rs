//! What is where: the last set, part by part, for people and programs.

use airlift_device::Refusal;
use airlift_device::flash::Region;
use airlift_device::journal::{Journal, Phase, Record, Subject};
use airlift_device::partition::Partition;
use airlift_device::set::{Holds, PartPlace, PartReport, SetFailure, SetLook, SetState};
use airlift_formats::nxp::Content;
use serde::Serialize;

use super::super::DeviceError;
use super::super::ask::hex;
use super::super::device::{Running, why_rolled_back};
use super::super::provision::{SECTOR, WORD};
use super::Unit;
use crate::flash::{Flash, SimFlash, block_on};

/// The last set that the engine took, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetReport {
    /// `applying` (its parts are being put in place), `applied` (they are, and its app waits to be tried), `on-trial`, `undoing`, `done`, `undone`,
    /// `partly` (its parts need not be of one image: they are applied in sequence, or the set was given up).
    pub state: &'static str,
    /// The digest that the header of the image has of its payload, the first 32 bytes.
    pub sha256: String,
    /// Tag of the part that could not be applied; 0: the app did not stay. `None`: nothing went wrong.
    pub failed_tag: Option<u32>,
    /// Why, in one word, as it is told to the server: `not-applied/tag:2/flash`, `self-test`. `None`: nothing went wrong.
    pub reason: Option<String>,
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
    /// Where it goes: `app`, `partition NAME`, `external FILE`; if the configuration is not at hand, also `custom`, or `where it was`, of a part that was in place before.
    pub place: String,
    /// What is there: `old`, `new`, `neither` (it is being copied), or `unknown` (it lies in another flash, and the set is not over).
    pub holds: &'static str,
}

impl SetReport {
    /// The next boot goes on with it.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        !matches!(self.state, "done" | "undone" | "partly")
    }
}

/// Why a set was not applied as a whole, in one word, as it is told to the server.
pub(super) fn why(failure: &SetFailure) -> String {
    match (failure.tag, failure.reason) {
        (0, reason) => why_rolled_back(reason != u8::MAX, reason).to_owned(),
        (tag, reason) => not_applied(tag, reason),
    }
}

/// The same of a part; `reason` is the code of a [`Refusal`].
pub(super) fn not_applied(tag: u32, reason: u8) -> String {
    format!("not-applied/tag:{tag}/{}", Refusal::token(reason))
}

/// Reads the journal in `region`; changes nothing. `unit` knows more than the engine does.
pub(in super::super) fn look(
    flash: &Flash,
    region: Region,
    named: &[(String, Partition)],
    unit: Option<&Unit>,
) -> Result<Option<SetReport>, DeviceError> {
    let mut flash = typed(flash)?;
    block_on(async {
        let journal = Journal::mount(&mut flash, region).await;
        let Some(record) = journal.find(&mut flash, Subject::SET).await? else {
            return Ok(None);
        };
        let mut set = SetLook::new(&journal, &mut flash);
        let failure = set.failure().await?;
        let state = match set.state().await? {
            SetState::None => return Ok(None),
            SetState::Applied => "applied",
            SetState::OnTrial => "on-trial",
            SetState::Done { .. } => "done",
            SetState::Reverted { .. } => "undone",
            SetState::Partly { .. } => "partly",
            _ if failure.is_some() => "undoing",
            _ => "applying",
        };
        let mut parts = Vec::new();
        while let Some(part) = set.part(parts.len()).await? {
            parts.push(SetPartReport {
                tag: part.tag,
                content: Content::of(part.tag).name(),
                place: place(&part, named, unit),
                holds: match part.holds {
                    Holds::Old => "old",
                    Holds::New => "new",
                    Holds::Neither => "neither",
                    Holds::Unknown => "unknown",
                },
            });
        }
        let installed = unit.and_then(|unit| unit.notes.installed());
        Ok(Some(SetReport {
            state,
            sha256: hex(&record.sha256),
            failed_tag: failure.map(|failure| failure.tag),
            reason: failure.as_ref().map(why),
            reported: record.reported,
            software_version: installed.map(|image| image.software_version),
            version: installed
                .map(|image| image.version.clone())
                .filter(|version| !version.is_empty()),
            parts,
        }))
    })
}

/// As the configuration calls it, or else as far as the journal says it.
fn place(part: &PartReport, named: &[(String, Partition)], unit: Option<&Unit>) -> String {
    let mut declared = unit.iter().flat_map(|unit| &unit.places);
    if let Some((_, place)) = declared.find(|(tag, _)| *tag == part.tag) {
        return place.clone();
    }
    match part.place {
        PartPlace::App => "app".to_owned(),
        PartPlace::Partition(offset) => {
            let mut known = named.iter();
            let name = known.find(|(_, known)| known.region.offset == offset);
            let name = name.map_or_else(|| format!("{offset:#x}"), |(name, _)| name.clone());
            format!("partition {name}")
        }
        PartPlace::Custom => "custom".to_owned(),
        _ => "where it was".to_owned(),
    }
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

impl Running<'_> {
    /// The last set, part by part; `None`: there was none.
    ///
    /// # Errors
    /// If the journal cannot be read any more.
    pub fn set(&mut self) -> Result<Option<SetReport>, DeviceError> {
        let region = self.parts.layout.journal;
        let parts = &*self.parts;
        look(&parts.flash, region, &parts.named, parts.set.as_ref())
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
