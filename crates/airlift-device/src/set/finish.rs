//! An image that has come as a whole: its parts are applied, as one or in sequence.

use airlift_formats::nxp::Manifest;

use super::super::install::BootControl;
use super::super::journal::Subject;
use super::super::updater::Updater;
use super::super::{NorFlash, dual};
use super::container::{Current, SetDownload, Stage, Taken};
use super::{MAX_PARTS, PRESENT, Processors, SetRestore, SetState};
use crate::verify::ImageCheck;
use crate::{Error, Refusal};

/// How far a sequence got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// How many parts were applied, or were there already.
    pub applied: usize,
    /// The tag of the one that could not be, after which nothing was applied.
    pub failed: Option<u32>,
    /// Why, as [`Refusal::code`] has it; 0: nothing failed.
    pub reason: u8,
    /// The app waits to be tried: restart.
    pub restart: bool,
}

/// The parts of a set in the order in which they are applied.
pub(super) struct InOrder {
    parts: [(u32, Subject); MAX_PARTS],
    len: usize,
}

impl InOrder {
    pub(super) const EMPTY: Self = Self {
        parts: [(0, PRESENT); MAX_PARTS],
        len: 0,
    };

    pub(super) fn push(&mut self, tag: u32, subject: Subject) -> Result<(), Refusal> {
        let place = self.parts.get_mut(self.len);
        *place.ok_or(Refusal::TooManyParts)? = (tag, subject);
        self.len += 1;
        Ok(())
    }

    pub(super) fn as_slice(&self) -> &[(u32, Subject)] {
        self.parts.get(..self.len).unwrap_or_default()
    }
}

#[dual(AFIT)]
impl<C: ImageCheck + Clone, P: Processors> SetDownload<'_, '_, '_, C, P> {
    /// All bytes were given: if the image is whole, its parts are applied, all of them or none. The order is that of the manifest, or without one
    /// that of the image, and the app last.
    ///
    /// # Errors
    ///
    /// [`Error::Incomplete`]: bytes are missing, and a new download goes on. [`Error::Refused`]: the digest of the image is another one. As
    /// [`Updater::commit_set`].
    pub async fn finish<F: NorFlash, B: BootControl>(
        mut self,
        updater: &mut Updater<'_, F, B>,
    ) -> Result<SetState, Error<F::Error>> {
        let parts = self.end_payload(updater, false).await?;
        let Current::None(buffer) = self.current else {
            return Err(Error::State);
        };
        let mut mechanism = SetRestore(self.processors);
        updater
            .commit_parts(&self.set, parts.as_slice(), &mut mechanism, buffer)
            .await
    }

    /// All bytes were given: as [`finish`](Self::finish), but as Matter has it: the parts are applied one after the other, in the order of the
    /// manifest or else by ascending tag, and the first that cannot be ends it. Those before it stay: what runs afterwards can be a mixture.
    /// [`Updater::set_part`] says what is where, also at later boots.
    ///
    /// # Errors
    ///
    /// As `finish`.
    pub async fn finish_in_sequence<F: NorFlash, B: BootControl>(
        mut self,
        updater: &mut Updater<'_, F, B>,
    ) -> Result<Sequence, Error<F::Error>> {
        let parts = self.end_payload(updater, true).await?;
        let Current::None(buffer) = self.current else {
            return Err(Error::State);
        };
        updater
            .apply_in_sequence(&self.set, parts.as_slice(), &mut self.processors, buffer)
            .await
    }

    /// Whether the image ended where it should, with the digest that it should have; its parts in order.
    async fn end_payload<F: NorFlash, B: BootControl>(
        &mut self,
        updater: &mut Updater<'_, F, B>,
        by_tag: bool,
    ) -> Result<InOrder, Error<F::Error>> {
        if let Some(have) = self.wanted() {
            let want = match &self.stage {
                Stage::Header(parser) => parser.fixed().total_size.max(have + 1),
                Stage::Payload(payload) => have + payload.verifier.remaining(),
                Stage::Over => have,
            };
            let short = |bytes| u32::try_from(bytes).unwrap_or(u32::MAX);
            return Err(Error::Incomplete {
                have: short(have),
                want: short(want),
            });
        }
        let Stage::Payload(payload) = &self.stage else {
            return Err(Error::State);
        };
        let taken = self.taken.get(..self.count).unwrap_or_default();
        let parts = payload.finish().and_then(|manifest| match manifest {
            Some(manifest) => by_manifest(taken, &manifest),
            None if by_tag => in_order_of(taken, |part| part.tag),
            None => in_order_of(taken, |part| part.index.into()),
        });
        match parts {
            Ok(parts) => Ok(parts),
            Err(refusal) => {
                self.fail(updater, &refusal.into()).await;
                Err(refusal.into())
            }
        }
    }
}

fn by_manifest(taken: &[Taken], manifest: &Manifest<'_>) -> Result<InOrder, Refusal> {
    let mut parts = InOrder::EMPTY;
    let mut done = 0;
    while let Some(next) = manifest.next(done) {
        done |= Manifest::bit(next);
        if let Some(part) = taken.iter().find(|part| usize::from(part.index) == next) {
            parts.push(part.tag, part.subject)?;
        }
    }
    Ok(parts)
}

fn in_order_of(taken: &[Taken], key: fn(&Taken) -> u32) -> Result<InOrder, Refusal> {
    let mut parts = InOrder::EMPTY;
    let mut last = None;
    // There are few: the next one is looked up each time.
    while let Some(part) = taken
        .iter()
        .filter(|part| last.is_none_or(|last| key(part) > last))
        .min_by_key(|part| key(part))
    {
        last = Some(key(part));
        parts.push(part.tag, part.subject)?;
    }
    Ok(parts)
}
