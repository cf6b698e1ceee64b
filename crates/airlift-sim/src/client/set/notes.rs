//! What the app of the device keeps for itself about sets, in a partition of its own: which image it is about to install, which one it has, and what
//! it has not told yet. The engine knows a set by the digest of its payload; the server knows an image by the digest of the file.
//!
//! The notes are a journal as the engine's own, so that none of them is ever half written.

use airlift_device::flash::Region;
use airlift_device::journal::{Journal, Phase, Record, Subject};
use airlift_device::{Error as EngineError, Offer};

use super::super::provision::{SECTOR, WORD};
use crate::flash::{FlashError, SimFlash, block_on};

/// The notes, and where they lie.
pub(crate) struct Notes {
    flash: SimFlash<WORD, SECTOR>,
    journal: Journal,
    attempt: Option<Attempt>,
    installed: Option<Installed>,
}

/// How far the image is that the device took last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is being fetched, or was.
    Fetching,
    /// It is the engine's: all of it or nothing.
    Committed,
    /// Its parts are being applied, one after the other.
    InSequence,
    /// They are applied, and the app of the image is to prove itself.
    OnTrial,
    /// All of it is in place.
    Done,
    /// Everything is what it was before.
    Undone,
    /// It was refused, and nothing was touched.
    Refused,
    /// Some of it is in place, and some is not.
    Failed,
}

impl Stage {
    const ALL: [(Self, Phase); 8] = [
        (Self::Fetching, Phase::Staging),
        (Self::Committed, Phase::Committed),
        (Self::InSequence, Phase::Copying),
        (Self::OnTrial, Phase::OnTrial),
        (Self::Done, Phase::Done),
        (Self::Undone, Phase::Reverted),
        (Self::Refused, Phase::Declined),
        (Self::Failed, Phase::Restoring),
    ];

    fn phase(self) -> Phase {
        let mut all = Self::ALL.iter();
        let found = all.find(|(stage, _)| *stage == self);
        found.map_or(Phase::Void, |(_, phase)| *phase)
    }

    fn of(phase: Phase) -> Option<Self> {
        let mut all = Self::ALL.iter();
        Some(all.find(|(_, of)| *of == phase)?.0)
    }
}

/// The image that the device took last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) stage: Stage,
    /// The file, as it was offered.
    pub(super) file: Offer,
    /// The digest that the header has of the payload: what the engine calls the set.
    pub(super) payload: [u8; 32],
    pub(super) software_version: u32,
    /// As it was offered; empty: nobody said.
    pub(super) version: String,
    /// Why it ended like that; empty: no reason.
    pub(super) reason: String,
    /// The server knows how it ended.
    pub(super) reported: bool,
}

/// The image that is in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Installed {
    pub(super) file: Offer,
    pub(super) software_version: u32,
    pub(super) version: String,
}

/// Longest text that is kept: what fits into a report.
const MAX_TEXT: usize = 64;

impl Notes {
    /// The notes in this region: two whole sectors or more.
    pub(super) fn read(
        mut flash: SimFlash<WORD, SECTOR>,
        region: Region,
    ) -> Result<Self, EngineError<FlashError>> {
        block_on(async {
            let journal = Journal::mount(&mut flash, region).await;
            let mut notes = Self {
                flash,
                journal,
                attempt: None,
                installed: None,
            };
            let flash = &mut notes.flash;
            if let Some(record) = notes.journal.find(flash, Subject::SET).await? {
                let tail = notes.journal.tail(flash, Subject::SET).await;
                notes.attempt = attempt(&record, &tail);
            }
            if let Some(record) = notes.journal.find(flash, Subject::APP).await? {
                let tail = notes.journal.tail(flash, Subject::APP).await;
                notes.installed = Some(Installed {
                    file: file(&record),
                    software_version: record.progress,
                    version: text(&mut &tail[..]),
                });
            }
            Ok(notes)
        })
    }

    pub(super) fn attempt(&self) -> Option<&Attempt> {
        self.attempt.as_ref()
    }

    pub(super) fn installed(&self) -> Option<&Installed> {
        self.installed.as_ref()
    }

    /// Notes how far the image is.
    pub(super) fn note(&mut self, attempt: Attempt) -> Result<(), EngineError<FlashError>> {
        if self.attempt.as_ref() == Some(&attempt) {
            return Ok(());
        }
        let Offer { length, sha256 } = attempt.file;
        let mut record = Record::new(Subject::SET, attempt.stage.phase(), length, sha256);
        record.progress = attempt.software_version;
        record.reported = attempt.reported;
        let mut tail = attempt.payload.to_vec();
        put(&mut tail, &attempt.reason);
        put(&mut tail, &attempt.version);
        block_on(self.journal.append(&mut self.flash, record, &tail))?;
        self.attempt = Some(attempt);
        Ok(())
    }

    /// Notes that the image of the attempt is in place.
    pub(super) fn note_installed(&mut self) -> Result<(), EngineError<FlashError>> {
        let Some(attempt) = &self.attempt else {
            return Ok(());
        };
        let installed = Installed {
            file: attempt.file,
            software_version: attempt.software_version,
            version: attempt.version.clone(),
        };
        if self.installed.as_ref() == Some(&installed) {
            return Ok(());
        }
        let Offer { length, sha256 } = installed.file;
        let mut record = Record::new(Subject::APP, Phase::Confirmed, length, sha256);
        record.progress = installed.software_version;
        let mut tail = Vec::new();
        put(&mut tail, &installed.version);
        block_on(self.journal.append(&mut self.flash, record, &tail))?;
        self.installed = Some(installed);
        Ok(())
    }
}

fn file(record: &Record) -> Offer {
    Offer {
        length: record.length,
        sha256: record.sha256,
    }
}

fn attempt(record: &Record, tail: &[u8]) -> Option<Attempt> {
    let (payload, mut rest) = tail.split_first_chunk::<32>()?;
    Some(Attempt {
        stage: Stage::of(record.phase)?,
        file: file(record),
        payload: *payload,
        software_version: record.progress,
        reason: text(&mut rest),
        version: text(&mut rest),
        reported: record.reported,
    })
}

/// A byte says how long the text is.
fn put(tail: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let bytes = bytes.get(..MAX_TEXT).unwrap_or(bytes);
    tail.push(bytes.len() as u8);
    tail.extend(bytes);
}

fn text(tail: &mut &[u8]) -> String {
    let Some((length, rest)) = tail.split_first() else {
        return String::new();
    };
    let (text, rest) = rest
        .split_at_checked(usize::from(*length))
        .unwrap_or((&[], &[]));
    *tail = rest;
    String::from_utf8_lossy(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flash::{Cut, CutKind, Flash, Geometry, Model, Nor};

    fn sample(stage: Stage) -> Attempt {
        Attempt {
            stage,
            file: Offer {
                length: 70_000,
                sha256: [7; 32],
            },
            payload: [8; 32],
            software_version: 3,
            version: "3.0".into(),
            reason: "unknown-tag/tag:99".into(),
            reported: false,
        }
    }

    #[test]
    fn what_is_noted_is_there_after_any_cut_or_was_not_noted() {
        let geometry = Geometry::new(WORD, SECTOR, 2 * SECTOR).unwrap();
        for at in 0..40 {
            let flash = Flash::new(Nor::new(geometry, Model::Once));
            let read = || {
                let typed = flash.typed().unwrap();
                Notes::read(typed, Region::new(0, 2 * SECTOR as u32)).unwrap()
            };
            let mut notes = read();
            // So many that pages are turned.
            for _ in 0..6 {
                for (stage, _) in Stage::ALL {
                    notes.note(sample(stage)).unwrap();
                }
                notes.note_installed().unwrap();
            }
            assert_eq!(read().attempt(), Some(&sample(Stage::Failed)));
            flash
                .lock()
                .arm(Cut::at_call(at, CutKind::TornProgram { seed: at }));
            let mut known = sample(Stage::Failed);
            for (stage, _) in Stage::ALL {
                let next = sample(stage);
                let noted = notes.note(next.clone());
                flash.lock().power_on();
                if noted.is_err() {
                    let found = read();
                    assert!([Some(&known), Some(&next)].contains(&found.attempt()));
                    break;
                }
                known = next;
            }
            assert_eq!(
                read().installed().map(|image| image.software_version),
                Some(3)
            );
        }
    }
}
