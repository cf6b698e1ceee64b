//! A part that lies in another flash: that of a second chip, or one on the same board. Its file stands for that flash.
//!
//! ```text
//! journal (2 sectors) | place 0 | place 1
//! ```
//!
//! One place is in use, the other one takes what comes. The journal's one record says which is which, so that a part is applied or taken back by
//! one record, and each step can come again after a power cut. Both flashes hang on one power supply.

use std::path::Path;

use airlift_device::flash::Region;
use airlift_device::journal::{Journal, Phase, Record, Subject};
use airlift_device::set::{Failed, MAX_PARTS, Processors, Step};
use airlift_device::{Offer, Refusal};
use airlift_formats::nxp::DESCRIPTOR_LEN;
use embedded_storage_async::nor_flash::{NorFlash as _, ReadNorFlash as _};
use sha2::{Digest as _, Sha256};

use super::super::provision::{SECTOR, WORD};
use crate::flash::{Flash, FlashFileError, Geometry, Model, Nor, SimFlash};

/// Bytes of the journal.
const JOURNAL: u32 = 2 * SECTOR as u32;
/// What a place with nothing in it holds.
const NOTHING: Offer = Offer {
    length: 0,
    sha256: [0; 32],
};

/// The flash of one part, and how far the part is.
pub(crate) struct External {
    tag: u32,
    /// Bytes in front of the value proper.
    descriptor: usize,
    flash: SimFlash<WORD, SECTOR>,
    /// Bytes of a place.
    place: u32,
    coming: Option<Coming>,
}

/// A part on its way.
struct Coming {
    /// Where the next word goes.
    at: u32,
    /// Less than a word.
    rest: Vec<u8>,
    digest: Sha256,
    length: u32,
}

/// What the journal says.
#[derive(Clone, Copy)]
struct State {
    phase: Phase,
    used: u8,
    /// What the place in use holds, and the other one.
    held: Offer,
    other: Offer,
}

/// What is in use, as the set that came last sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    Old,
    New,
}

impl External {
    /// The flash in this file, which is made if it does not exist, with room for two contents of `size` bytes.
    pub(super) fn open(
        tag: u32,
        path: &Path,
        size: u32,
        descriptor: usize,
        board: &Flash,
    ) -> Result<Self, FlashFileError> {
        let geometry = geometry(path, size)?;
        let nor = if path.exists() {
            Nor::open_file(path, geometry)?
        } else {
            Nor::create_file(path, geometry)?
        };
        Ok(Self::over(tag, nor, descriptor, board))
    }

    /// A copy of the flash in this file, or of a new one if it does not exist.
    pub(super) fn copy(
        tag: u32,
        path: &Path,
        size: u32,
        descriptor: usize,
        board: &Flash,
    ) -> Result<Self, FlashFileError> {
        let geometry = geometry(path, size)?;
        let failed = |source| FlashFileError::Io {
            path: path.to_owned(),
            source,
        };
        let nor = if path.exists() {
            let actual = path.metadata().map_err(failed)?.len();
            let expected = geometry.size() as u64;
            if actual != expected {
                return Err(FlashFileError::Size {
                    path: path.to_owned(),
                    expected,
                    actual,
                });
            }
            let image = std::fs::read(path).map_err(failed)?;
            Nor::from_image(geometry, Model::And, &image)
                .map_err(|_| failed(std::io::ErrorKind::InvalidData.into()))?
        } else {
            Nor::new(geometry, Model::And)
        };
        Ok(Self::over(tag, nor, descriptor, board))
    }

    fn over(tag: u32, mut nor: Nor, descriptor: usize, board: &Flash) -> Self {
        nor.share_power_of(&board.lock());
        let place = (nor.geometry().size() as u32 - JOURNAL) / 2;
        let flash = Flash::new(nor).typed();
        Self {
            tag,
            descriptor: descriptor.min(DESCRIPTOR_LEN),
            flash: flash.expect("it was made with this geometry"),
            place,
            coming: None,
        }
    }

    pub(super) fn tag(&self) -> u32 {
        self.tag
    }

    /// What is in use, if anything ever was.
    pub(super) async fn content(&mut self) -> Result<Option<Vec<u8>>, Failed> {
        let state = self.state().await?;
        if state.held.length == 0 {
            return Ok(None);
        }
        let mut bytes = vec![0; state.held.length.min(self.place) as usize];
        self.flash.read(self.start(state.used), &mut bytes).await?;
        Ok(Some(bytes))
    }

    /// Which content is in use; `None`: nothing is known of any other.
    pub(super) async fn holds(&mut self) -> Option<Holds> {
        match self.state().await.ok()?.phase {
            Phase::Confirmed => Some(Holds::New),
            Phase::Void => None,
            _ => Some(Holds::Old),
        }
    }

    fn start(&self, place: u8) -> u32 {
        JOURNAL + u32::from(place) * self.place
    }

    async fn journal(&mut self) -> Journal {
        Journal::mount(&mut self.flash, Region::new(0, JOURNAL)).await
    }

    async fn state(&mut self) -> Result<State, Failed> {
        let journal = self.journal().await;
        let Some(record) = journal.current() else {
            return Ok(State {
                phase: Phase::Void,
                used: 0,
                held: NOTHING,
                other: NOTHING,
            });
        };
        let tail = journal.tail(&mut self.flash, Subject::APP).await;
        let (length, rest) = tail.split_first_chunk::<4>().ok_or(Failed)?;
        Ok(State {
            phase: record.phase,
            used: record.slot & 1,
            held: Offer {
                length: record.length,
                sha256: record.sha256,
            },
            other: Offer {
                length: u32::from_le_bytes(*length),
                sha256: *rest.first_chunk().ok_or(Failed)?,
            },
        })
    }

    async fn enter(&mut self, state: State) -> Result<(), Failed> {
        let mut journal = self.journal().await;
        let Offer { length, sha256 } = state.held;
        let mut record = Record::new(Subject::APP, state.phase, length, sha256);
        record.slot = state.used;
        let mut tail = state.other.length.to_le_bytes().to_vec();
        tail.extend(state.other.sha256);
        let entered = journal.append(&mut self.flash, record, &tail).await;
        entered.map_err(|_| Failed)
    }

    async fn begin(&mut self, length: u32) -> Result<(), Failed> {
        if length > self.place {
            return Err(Failed);
        }
        let mut state = self.state().await?;
        // Before it is erased: nobody is to find anything there.
        state.phase = Phase::Downloading;
        state.other = NOTHING;
        self.enter(state).await?;
        let at = self.start(1 - state.used);
        self.flash
            .erase(at, at + length.next_multiple_of(SECTOR as u32))
            .await?;
        self.coming = Some(Coming {
            at,
            rest: Vec::new(),
            digest: Sha256::new(),
            length: 0,
        });
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        let coming = self.coming.as_mut().ok_or(Failed)?;
        coming.digest.update(bytes);
        coming.length += bytes.len() as u32;
        coming.rest.extend(bytes);
        let whole = coming.rest.len() - coming.rest.len() % WORD;
        let rest = coming.rest.split_off(whole);
        let words = std::mem::replace(&mut coming.rest, rest);
        let at = coming.at;
        coming.at += words.len() as u32;
        self.flash.write(at, &words).await?;
        Ok(())
    }

    async fn end(&mut self) -> Result<(), Failed> {
        let pad = {
            let coming = self.coming.as_ref().ok_or(Failed)?;
            coming.rest.len().next_multiple_of(WORD) - coming.rest.len()
        };
        let mut coming = self.coming.take().ok_or(Failed)?;
        coming.rest.extend(std::iter::repeat_n(0xFF, pad));
        self.flash.write(coming.at, &coming.rest).await?;
        let mut state = self.state().await?;
        let other = Offer {
            length: coming.length,
            sha256: coming.digest.finalize().into(),
        };
        // As it lies in the flash, not as it came.
        let mut found = vec![0; other.length as usize];
        let at = self.start(1 - state.used);
        self.flash.read(at, &mut found).await?;
        if <[u8; 32]>::from(Sha256::digest(&found)) != other.sha256 {
            return Err(Failed);
        }
        state.phase = Phase::Staged;
        state.other = other;
        self.enter(state).await
    }

    async fn step(&mut self, step: Step) -> Result<(), Failed> {
        let mut state = self.state().await?;
        let swaps = match (step, state.phase) {
            (Step::Apply, Phase::Confirmed) | (Step::Revert, Phase::RolledBack) => return Ok(()),
            (Step::Apply, Phase::Staged) | (Step::Revert, Phase::Confirmed) => true,
            // It was not applied yet.
            (Step::Revert, Phase::Staged) => false,
            _ => return Err(Failed),
        };
        if swaps {
            state.used = 1 - state.used;
            std::mem::swap(&mut state.held, &mut state.other);
        }
        state.phase = match step {
            Step::Apply => Phase::Confirmed,
            Step::Revert => Phase::RolledBack,
        };
        self.enter(state).await
    }
}

/// That of a flash with room for two contents of `size` bytes.
fn geometry(path: &Path, size: u32) -> Result<Geometry, FlashFileError> {
    let place = size as usize;
    let place = place.next_multiple_of(SECTOR);
    Geometry::new(WORD, SECTOR, JOURNAL as usize + 2 * place).map_err(|_| FlashFileError::Io {
        path: path.to_owned(),
        source: std::io::ErrorKind::InvalidInput.into(),
    })
}

/// The processors of a device: as many as its configuration says.
pub(in super::super) struct Externals<'e>(pub(in super::super) &'e mut [External]);

impl Externals<'_> {
    fn of(&mut self, tag: u32) -> Result<&mut External, Failed> {
        let mut all = self.0.iter_mut();
        all.find(|external| external.tag == tag).ok_or(Failed)
    }
}

impl Processors for Externals<'_> {
    const LEN: usize = MAX_PARTS;

    fn tag(&self, index: usize) -> Option<u32> {
        self.0.get(index).map(|external| external.tag)
    }

    fn descriptor_len(&self, tag: u32) -> usize {
        let mut all = self.0.iter();
        let found = all.find(|external| external.tag == tag);
        found.map_or(0, |external| external.descriptor)
    }

    fn descriptor(&mut self, _tag: u32, _descriptor: &[u8]) -> Result<(), Refusal> {
        Ok(())
    }

    async fn begin(&mut self, tag: u32, length: u32) -> Result<(), Failed> {
        self.of(tag)?.begin(length).await
    }

    async fn write(&mut self, tag: u32, bytes: &[u8]) -> Result<(), Failed> {
        self.of(tag)?.write(bytes).await
    }

    async fn end(&mut self, tag: u32) -> Result<(), Failed> {
        self.of(tag)?.end().await
    }

    async fn abort(&mut self, tag: u32) {
        if let Ok(external) = self.of(tag) {
            external.coming = None;
        }
    }

    async fn step(&mut self, tag: u32, step: Step) -> Result<(), Failed> {
        self.of(tag)?.step(step).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flash::{Cut, CutKind, block_on};

    const PLACE: u32 = 0x2000;

    /// A flash that refuses a second program of a word.
    fn external() -> External {
        let geometry = |size| Geometry::new(WORD, SECTOR, size).unwrap();
        let board = Flash::new(Nor::new(geometry(0x1000), Model::Once));
        let nor = Nor::new(geometry((JOURNAL + 2 * PLACE) as usize), Model::Once);
        External::over(100, nor, 0, &board)
    }

    fn stage(external: &mut External, content: &[u8]) -> Result<(), Failed> {
        block_on(async {
            external.begin(content.len() as u32).await?;
            for piece in content.chunks(7) {
                external.write(piece).await?;
            }
            external.end().await
        })
    }

    fn used(external: &mut External) -> Option<Vec<u8>> {
        block_on(external.content()).unwrap()
    }

    fn step(external: &mut External, step: Step) -> Result<(), Failed> {
        block_on(external.step(step))
    }

    #[test]
    fn each_step_can_come_again() {
        let mut external = external();
        for round in 0..5_u8 {
            let (old, new) = (used(&mut external), vec![round; 999]);
            stage(&mut external, &new).unwrap();
            assert_eq!(used(&mut external), old, "staged is not used");
            for _ in 0..3 {
                step(&mut external, Step::Apply).unwrap();
                assert_eq!(used(&mut external).unwrap(), new);
            }
            if round % 2 == 0 {
                for _ in 0..3 {
                    step(&mut external, Step::Revert).unwrap();
                    assert_eq!(used(&mut external), old);
                }
            }
        }
    }

    #[test]
    fn what_was_staged_and_not_applied_is_taken_back_without_a_change() {
        let mut external = external();
        stage(&mut external, b"first").unwrap();
        step(&mut external, Step::Apply).unwrap();
        stage(&mut external, b"second").unwrap();
        step(&mut external, Step::Revert).unwrap();
        assert_eq!(used(&mut external).unwrap(), b"first");
        assert_eq!(step(&mut external, Step::Apply), Err(Failed));
    }

    #[test]
    fn what_is_not_whole_is_neither_applied_nor_gone_back_to() {
        let mut external = external();
        stage(&mut external, b"first").unwrap();
        step(&mut external, Step::Apply).unwrap();
        block_on(external.begin(5)).unwrap();
        block_on(external.write(b"sec")).unwrap();
        for what in [Step::Apply, Step::Revert] {
            assert_eq!(step(&mut external, what), Err(Failed));
            assert_eq!(used(&mut external).unwrap(), b"first");
        }
    }

    #[test]
    fn more_than_its_place_is_refused_before_anything_is_erased() {
        let mut external = external();
        stage(&mut external, b"first").unwrap();
        step(&mut external, Step::Apply).unwrap();
        assert_eq!(block_on(external.begin(PLACE + 1)), Err(Failed));
        assert_eq!(used(&mut external).unwrap(), b"first");
        step(&mut external, Step::Apply).unwrap();
    }

    #[test]
    fn a_cut_anywhere_leaves_the_old_or_the_new() {
        let new = vec![0x5A; 5000];
        let mut cuts = 0;
        for at in 0.. {
            let mut external = external();
            stage(&mut external, b"old").unwrap();
            step(&mut external, Step::Apply).unwrap();
            let kind = match at % 3 {
                0 => CutKind::Clean,
                1 => CutKind::TornProgram { seed: at },
                _ => CutKind::TornErase { seed: at },
            };
            external.flash.flash().lock().arm(Cut::at_call(at, kind));
            let staged = stage(&mut external, &new);
            let applied = staged.and_then(|()| step(&mut external, Step::Apply));
            if applied.is_ok() {
                break;
            }
            cuts += 1;
            external.flash.flash().lock().power_on();
            let staged = block_on(external.state()).unwrap().phase == Phase::Staged;
            if staged || used(&mut external).unwrap() != b"old" {
                step(&mut external, Step::Apply).unwrap();
                assert!(used(&mut external).unwrap() == new, "cut at {at}");
                step(&mut external, Step::Revert).unwrap();
            }
            assert!(used(&mut external).unwrap() == b"old", "cut at {at}");
            // And it can be updated again.
            stage(&mut external, &new).unwrap();
            step(&mut external, Step::Apply).unwrap();
            assert!(used(&mut external).unwrap() == new, "cut at {at}");
        }
        assert!(cuts > 700, "{cuts} cuts");
    }
}
