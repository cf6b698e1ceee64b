//! A Matter OTA image on its way: header and identity first, then each part to where its tag belongs.

use airlift_formats::matter::image::{HeaderParser, MAX_HEADER_LEN, Rules};
use airlift_formats::nxp::{self, DESCRIPTOR_LEN, Event, Manifest, ManifestError, Tlv};
use sha2::{Digest as _, Sha256};

use super::super::install::BootControl;
use super::super::journal::Subject;
use super::super::updater::Updater;
use super::super::{NorFlash, dual};
use super::payload::{Payload, ask, is, look};
use super::stage::Staging;
use super::{
    CUSTOM, Copy, Destination, Identity, MAX_PARTS, PRESENT, Part, PartOffer, Processors,
    check_parts,
};
use crate::verify::{ImageCheck, PartCheck};
use crate::{Error, Offer, Refusal};

/// What happens to parts that nobody takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownTags {
    /// The image is refused.
    #[default]
    Refuse,
    /// They are passed over.
    Skip,
}

/// Where the bytes of the present part go.
#[allow(clippy::large_enum_variant)] // There is no heap to put the large one in.
pub(super) enum Current<'b, C> {
    /// Between parts, or over one that nobody takes.
    None(&'b mut [u8]),
    /// Kept, to be looked at as a whole.
    Manifest(&'b mut [u8]),
    /// In front of the value proper; so many bytes of the descriptor are there.
    Descriptor(&'b mut [u8], usize),
    /// Nowhere: the device holds them, and they were read from there.
    Passed(&'b mut [u8]),
    /// Into the device's flash.
    Flash(Staging<'b, PartCheck<C>>),
    /// To a processor, or nowhere, if it holds them but cannot be asked for them. With the digest of those that came.
    Custom(&'b mut [u8], Sha256, bool),
    /// While one becomes the other.
    Moving,
}

#[allow(clippy::large_enum_variant)] // As above.
pub(super) enum Stage<'h> {
    Header(HeaderParser<'h>),
    Payload(Payload<'h>),
    /// Refused: nothing is taken any more.
    Over,
}

/// A part that is staged, or need not be.
#[derive(Clone, Copy)]
pub(super) struct Taken {
    pub(super) tag: u32,
    pub(super) subject: Subject,
    /// Bytes of its value.
    length: u32,
    /// Which one of the payload's, the manifest not counted.
    pub(super) index: u8,
}

/// A part of an image on its way that needs no more bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WholePart {
    /// Its tag.
    pub tag: u32,
    /// Its bytes in the image.
    pub length: u32,
    /// The device had it before the image came, so that it was not staged.
    pub was_there: bool,
}

/// An image on its way. The bytes can come in pieces of any size.
///
/// A download that was interrupted goes on with a new one of the same image: what is staged is read back. So is, of an image with a
/// [manifest](airlift_formats::nxp::Manifest), what the device holds already. A source that can start anywhere is asked for what is
/// [`wanted`](Self::wanted), and nothing else; of one that cannot, everything is handed to [`write`](Self::write), which drops what is known.
pub struct SetDownload<'p, 'h, 'b, C, P> {
    identity: Identity,
    unknown: UnknownTags,
    /// Parts for the device's own flash.
    parts: &'p [Part],
    /// What the app must be.
    check: C,
    /// Everything else.
    pub(super) processors: P,
    pub(super) stage: Stage<'h>,
    pub(super) current: Current<'b, C>,
    descriptor: [u8; DESCRIPTOR_LEN],
    /// Length of the payload, and its digest as the header has it: the first 32 bytes of it.
    pub(super) set: Offer,
    /// Where the payload starts.
    payload_at: u64,
    /// Where the next piece starts that is written without saying.
    fed: u64,
    /// The part that was looked at last, and how far in the payload.
    place: Option<(u32, u64)>,
    /// Bytes of the present part's descriptor.
    described: usize,
    /// The digest that the manifest says the present part has.
    expected: Option<[u8; 32]>,
    pub(super) taken: [Taken; MAX_PARTS],
    pub(super) count: usize,
}

/// Bytes of the descriptor in front of applications and boot loaders.
const fn descriptor_len_of(tag: u32) -> usize {
    match tag {
        nxp::tag::APPLICATION..=nxp::tag::BOOTLOADER => DESCRIPTOR_LEN,
        _ => 0,
    }
}

/// Drops what is in front of `wanted`.
fn drop_known(at: &mut u64, bytes: &mut &[u8], wanted: u64) {
    let known = usize::try_from(wanted.saturating_sub(*at)).unwrap_or(usize::MAX);
    let known = known.min(bytes.len());
    *bytes = bytes.get(known..).unwrap_or_default();
    *at += known as u64;
}

#[dual(AFIT)]
impl<'p, 'h, 'b, C: ImageCheck + Clone, P: Processors> SetDownload<'p, 'h, 'b, C, P> {
    /// Expects an image for a device that is `identity`, whose parts go where `parts` and `processors` say.
    ///
    /// # Errors
    ///
    /// [`Refusal::Duplicate`] if two of them are for one tag or one place.
    pub fn new(
        identity: Identity,
        parts: &'p [Part],
        check: C,
        processors: P,
        unknown: UnknownTags,
        header: &'h mut [u8; MAX_HEADER_LEN],
        buffer: &'b mut [u8],
    ) -> Result<Self, Refusal> {
        check_parts(parts)?;
        for index in 0..P::LEN {
            // A registry that is filled while the device runs has places without a processor.
            let Some(tag) = processors.tag(index) else {
                continue;
            };
            let taken = (0..index).any(|other| processors.tag(other) == Some(tag))
                || parts.iter().any(|part| part.tag == tag);
            if taken {
                return Err(Refusal::Duplicate);
            }
        }
        Ok(Self {
            identity,
            unknown,
            parts,
            check,
            processors,
            stage: Stage::Header(HeaderParser::new(header, Rules::strict())),
            current: Current::None(buffer),
            descriptor: [0; DESCRIPTOR_LEN],
            set: Offer {
                length: 0,
                sha256: [0; 32],
            },
            payload_at: 0,
            fed: 0,
            place: None,
            described: 0,
            expected: None,
            taken: [Taken {
                tag: 0,
                subject: PRESENT,
                length: 0,
                index: 0,
            }; MAX_PARTS],
            count: 0,
        })
    }

    /// The next byte of the image that is wanted: those before it are known. `None`: all of them are, or the image was refused.
    pub fn wanted(&self) -> Option<u64> {
        match &self.stage {
            Stage::Header(parser) => Some(parser.position()),
            Stage::Payload(payload) if payload.verifier.remaining() > 0 => {
                Some(self.payload_at + payload.verifier.position())
            }
            Stage::Payload(_) | Stage::Over => None,
        }
    }

    /// The tag of the part that was looked at last, and the offset in the payload up to which bytes of it had been taken then: after a refusal, where that came.
    /// `None`: no part has begun.
    pub const fn place(&self) -> Option<(u32, u64)> {
        self.place
    }

    /// One part that needs no more bytes, in the order of the image; `None` behind the last so far.
    pub fn whole_part(&self, index: usize) -> Option<WholePart> {
        let whole = self.taken.get(..self.count)?.get(index)?;
        Some(WholePart {
            tag: whole.tag,
            length: whole.length,
            was_there: whole.subject == PRESENT,
        })
    }

    /// Takes the next bytes of the image, behind those that were written last.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`]: the image is not sound, not for this device, or one of its parts is not wanted. Nothing that is in use was touched, and what
    /// was staged is given up. After any other error, a new download goes on.
    pub async fn write<F: NorFlash, B: BootControl>(
        &mut self,
        updater: &mut Updater<'_, F, B>,
        bytes: &[u8],
    ) -> Result<(), Error<F::Error>> {
        self.write_at(updater, self.fed, bytes).await
    }

    /// Takes bytes of the image that start at `at`, which is what is [`wanted`](Self::wanted) or before it.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write); [`Error::State`] if there is a gap.
    pub async fn write_at<F: NorFlash, B: BootControl>(
        &mut self,
        updater: &mut Updater<'_, F, B>,
        at: u64,
        bytes: &[u8],
    ) -> Result<(), Error<F::Error>> {
        if self.wanted().is_some_and(|wanted| at > wanted) {
            return Err(Error::State);
        }
        self.fed = at.saturating_add(bytes.len() as u64);
        let result = self.take(updater, at, bytes).await;
        if let Err(error) = &result {
            self.fail(updater, error).await;
        }
        result
    }

    /// The application does not want the image, for a reason that the engine does not see: what was staged of it is given up, so that nothing goes on with it.
    pub async fn refuse<F: NorFlash, B: BootControl>(
        mut self,
        updater: &mut Updater<'_, F, B>,
        refusal: Refusal,
    ) {
        self.fail(updater, &refusal.into()).await;
    }

    async fn take<F: NorFlash, B: BootControl>(
        &mut self,
        updater: &mut Updater<'_, F, B>,
        mut at: u64,
        mut bytes: &[u8],
    ) -> Result<(), Error<F::Error>> {
        if let Stage::Header(parser) = &mut self.stage {
            drop_known(&mut at, &mut bytes, parser.position());
            let before = bytes.len();
            if !parser.push(&mut bytes).map_err(Refusal::from)? {
                return Ok(());
            }
            at += (before - bytes.len()) as u64;
            self.begin_payload(updater).await?;
        }
        loop {
            let Stage::Payload(payload) = &mut self.stage else {
                return Err(Error::State);
            };
            drop_known(
                &mut at,
                &mut bytes,
                self.payload_at + payload.verifier.position(),
            );
            // The bytes of a descriptor by themselves: with the last of them, those behind it may turn out to be known.
            let most = match &self.current {
                Current::Descriptor(_, have) => self.described - have,
                _ => usize::MAX,
            };
            let before = bytes.len();
            let Some(event) = payload.read(&mut bytes, most)? else {
                return Ok(());
            };
            at += (before - bytes.len()) as u64;
            let (Event::Begin(of) | Event::Value { tlv: of, .. } | Event::End(of)) = event;
            self.place = Some((of.tag, payload.verifier.position()));
            match event {
                Event::Begin(tlv) => self.begin(updater, tlv).await?,
                Event::Value { tlv, bytes } => self.value(updater, tlv, bytes).await?,
                Event::End(tlv) => self.end(updater, tlv).await?,
            }
        }
    }

    async fn begin_payload<F: NorFlash, B: BootControl>(
        &mut self,
        updater: &mut Updater<'_, F, B>,
    ) -> Result<(), Error<F::Error>> {
        let Stage::Header(parser) = core::mem::replace(&mut self.stage, Stage::Over) else {
            return Err(Error::State);
        };
        self.payload_at = parser.position();
        let header = parser.header().map_err(Refusal::from)?;
        self.identity.check(&header)?;
        if let Current::None(buffer) = &self.current
            && buffer.len() < F::WRITE_SIZE
        {
            return Err(Error::BufferTooSmall);
        }
        updater.check_no_set().await?;
        updater.check_no_trial()?;
        for (to, from) in self.set.sha256.iter_mut().zip(header.digest) {
            *to = *from;
        }
        self.set.length = u32::try_from(header.payload_size).unwrap_or(u32::MAX);
        self.stage = Stage::Payload(Payload::new(parser).map_err(Refusal::from)?);
        Ok(())
    }

    fn flash_part(&self, tag: u32) -> Option<Part> {
        self.parts.iter().find(|part| part.tag == tag).copied()
    }

    fn is_known(&self, tag: u32) -> bool {
        self.flash_part(tag).is_some()
            || (0..P::LEN).any(|index| self.processors.tag(index) == Some(tag))
    }

    fn descriptor_len(&self, tag: u32) -> usize {
        match self.flash_part(tag) {
            Some(_) => descriptor_len_of(tag),
            None => self.processors.descriptor_len(tag).min(DESCRIPTOR_LEN),
        }
    }

    async fn begin<F: NorFlash, B: BootControl>(
        &mut self,
        updater: &mut Updater<'_, F, B>,
        tlv: Tlv,
    ) -> Result<(), Error<F::Error>> {
        let Stage::Payload(payload) = &mut self.stage else {
            return Err(Error::State);
        };
        let is_manifest = tlv.tag == nxp::tag::MANIFEST;
        let said = match is_manifest {
            true => None,
            false => payload.begin(tlv)?,
        };
        if !is_manifest && !self.is_known(tlv.tag) {
            return match self.unknown {
                UnknownTags::Refuse => Err(Refusal::UnknownTag { tag: tlv.tag }.into()),
                UnknownTags::Skip => Ok(()),
            };
        }
        let Current::None(buffer) = core::mem::replace(&mut self.current, Current::Moving) else {
            return Err(Error::State);
        };
        if is_manifest {
            self.current = Current::Manifest(buffer);
            return Ok(());
        }
        if self.count == MAX_PARTS {
            return Err(Refusal::TooManyParts.into());
        }
        self.described = self.descriptor_len(tlv.tag);
        // Its digest says something of this device's content only if both take the same bytes for the descriptor.
        let said = said.filter(|part| usize::from(part.descriptor_len) == self.described);
        self.expected = said.map(|part| part.sha256);
        self.current = Current::Descriptor(buffer, 0);
        if self.described == 0 {
            self.open(updater, tlv).await?;
        }
        Ok(())
    }

    async fn value<F: NorFlash, B: BootControl>(
        &mut self,
        updater: &mut Updater<'_, F, B>,
        tlv: Tlv,
        bytes: &[u8],
    ) -> Result<(), Error<F::Error>> {
        match &mut self.current {
            Current::Descriptor(_, have) => {
                for (to, from) in self.descriptor.iter_mut().skip(*have).zip(bytes) {
                    *to = *from;
                }
                *have += bytes.len();
                if *have == self.described {
                    self.open(updater, tlv).await?;
                }
                Ok(())
            }
            Current::Manifest(_) => {
                if let Stage::Payload(payload) = &mut self.stage {
                    payload.keep(bytes);
                }
                Ok(())
            }
            Current::Flash(staging) => staging.write(updater, bytes).await,
            Current::Custom(_, digest, staged) => {
                digest.update(bytes);
                if !*staged {
                    return Ok(());
                }
                let written = self.processors.write(tlv.tag, bytes).await;
                written.map_err(|_| Refusal::Processor { tag: tlv.tag }.into())
            }
            _ => Ok(()),
        }
    }

    /// The descriptor is there: now the value proper.
    async fn open<F: NorFlash, B: BootControl>(
        &mut self,
        updater: &mut Updater<'_, F, B>,
        tlv: Tlv,
    ) -> Result<(), Error<F::Error>> {
        let length = tlv.length.saturating_sub(self.described as u32);
        let Current::Descriptor(buffer, have) =
            core::mem::replace(&mut self.current, Current::Moving)
        else {
            return Err(Error::State);
        };
        let descriptor = self.descriptor.get(..have).unwrap_or_default();
        self.current = match self.flash_part(tlv.tag) {
            Some(part) => self.open_flash(updater, &part, length, buffer).await?,
            None => {
                self.processors.descriptor(tlv.tag, descriptor)?;
                self.open_custom(tlv.tag, length, buffer).await?
            }
        };
        Ok(())
    }

    async fn open_flash<F: NorFlash, B: BootControl>(
        &mut self,
        updater: &mut Updater<'_, F, B>,
        part: &Part,
        length: u32,
        buffer: &'b mut [u8],
    ) -> Result<Current<'b, C>, Error<F::Error>> {
        let check = match part.to {
            Destination::App => PartCheck::App(self.check.clone()),
            _ if part.tag == nxp::tag::FACTORY_DATA => {
                // They are judged as a whole, before anything is erased.
                if length as usize > buffer.len() - buffer.len() % F::WRITE_SIZE {
                    return Err(Error::BufferTooSmall);
                }
                PartCheck::FactoryData
            }
            _ => PartCheck::Any,
        };
        let Stage::Payload(payload) = &mut self.stage else {
            return Err(Error::State);
        };
        let mut passed = payload.verifier.clone();
        if let Some(expected) = &self.expected
            && let Some(region) = updater.content(part, length, buffer).await?
            && is(
                look(&mut updater.flash, region, buffer, &mut passed).await,
                expected,
            )
        {
            payload.pass(passed, length);
            return Ok(Current::Passed(buffer));
        }
        check_slot(self.parts, &self.taken, updater, part)?;
        let image = &self.set.sha256;
        let mut staging = Staging::begin(updater, part, length, Some(image), check, buffer).await?;
        let (region, sha256, buffer) = staging.there();
        if region.len > 0 {
            let mut passed = payload.verifier.clone();
            let found = look(&mut updater.flash, region, buffer, &mut passed).await;
            if is(found, &sha256) {
                payload.pass(passed, region.len);
            } else {
                staging.start_anew();
            }
        }
        Ok(Current::Flash(staging))
    }

    async fn open_custom<E>(
        &mut self,
        tag: u32,
        length: u32,
        buffer: &'b mut [u8],
    ) -> Result<Current<'b, C>, Error<E>> {
        let Stage::Payload(payload) = &mut self.stage else {
            return Err(Error::State);
        };
        let processors = &mut self.processors;
        let mut passed = payload.verifier.clone();
        if let Some(sha256) = self.expected
            && processors.holds(tag, &Offer { length, sha256 }).await
        {
            let used = (tag, Copy::Used, length);
            let found = ask(processors, used, buffer, Some(&mut passed)).await;
            if found.is_none() {
                return Ok(Current::Custom(buffer, Sha256::new(), false));
            }
            if is(found, &sha256) {
                payload.pass(passed, length);
                return Ok(Current::Passed(buffer));
            }
            // It is not what the processor believes.
            passed = payload.verifier.clone();
        }
        let part = PartOffer {
            length,
            image: self.set.sha256,
            sha256: self.expected,
        };
        let vetoed = |_| Refusal::Vetoed { tag };
        let there = processors.open(tag, &part).await.map_err(vetoed)?;
        let there = there.min(length);
        let staged = (tag, Copy::Staged, there);
        let digest = match ask(processors, staged, buffer, Some(&mut passed)).await {
            Some(digest) => {
                payload.pass(passed, there);
                digest
            }
            None => {
                processors.begin(tag, length).await.map_err(vetoed)?;
                Sha256::new()
            }
        };
        Ok(Current::Custom(buffer, digest, true))
    }

    async fn end<F: NorFlash, B: BootControl>(
        &mut self,
        updater: &mut Updater<'_, F, B>,
        tlv: Tlv,
    ) -> Result<(), Error<F::Error>> {
        let tag = tlv.tag;
        let (buffer, subject) = match core::mem::replace(&mut self.current, Current::Moving) {
            Current::Flash(mut staging) => {
                let sha256 = staging.finish(updater).await?;
                self.check_digest(tag, &sha256)?;
                let part = self.flash_part(tag).ok_or(Error::State)?;
                (staging.into_buffer(), part.subject())
            }
            Current::Custom(buffer, digest, staged) => {
                let sha256 = digest.finalize().into();
                self.check_digest(tag, &sha256)?;
                if staged {
                    let length = tlv.length.saturating_sub(self.described as u32);
                    self.end_custom(tag, length, &sha256, buffer).await?;
                }
                (buffer, if staged { CUSTOM } else { PRESENT })
            }
            Current::Passed(buffer) => (buffer, PRESENT),
            Current::Manifest(buffer) => {
                self.current = Current::None(buffer);
                return Ok(self.end_manifest()?);
            }
            // The value ended within its descriptor.
            Current::Descriptor(..) => return Err(Refusal::Vetoed { tag }.into()),
            skipped => {
                self.current = skipped;
                return Ok(());
            }
        };
        self.current = Current::None(buffer);
        let Stage::Payload(payload) = &self.stage else {
            return Err(Error::State);
        };
        let index = payload.begun.saturating_sub(1) as u8;
        let place = self.taken.get_mut(self.count);
        *place.ok_or(Refusal::TooManyParts)? = Taken {
            tag,
            subject,
            length: tlv.length,
            index,
        };
        self.count += 1;
        Ok(())
    }

    fn check_digest(&self, tag: u32, sha256: &[u8; 32]) -> Result<(), Refusal> {
        match &self.expected {
            Some(expected) if expected != sha256 => Err(ManifestError::Digest { tag }.into()),
            _ => Ok(()),
        }
    }

    /// The processor has all bytes; those that it can be asked for are looked at.
    async fn end_custom(
        &mut self,
        tag: u32,
        length: u32,
        sha256: &[u8; 32],
        buffer: &mut [u8],
    ) -> Result<(), Refusal> {
        let ended = self.processors.end(tag).await;
        ended.map_err(|_| Refusal::Processor { tag })?;
        let staged = (tag, Copy::Staged, length);
        let found = ask(&mut self.processors, staged, buffer, None).await;
        match found.is_none() || is(found, sha256) {
            true => Ok(()),
            false => Err(Refusal::ReadBack),
        }
    }

    /// The manifest is there: whether all of it can be done, before anything is.
    fn end_manifest(&mut self) -> Result<(), Refusal> {
        let Stage::Payload(payload) = &mut self.stage else {
            return Ok(());
        };
        payload.end_manifest()?;
        let Stage::Payload(payload) = &self.stage else {
            return Ok(());
        };
        let Some(manifest) = payload.manifest() else {
            return Ok(());
        };
        let is_app = |tag| {
            let part = self.flash_part(tag);
            part.is_some_and(|part| part.to == Destination::App)
        };
        let mut apps = 0;
        for (index, part) in manifest.parts().enumerate() {
            let tag = part.tag;
            if self.unknown == UnknownTags::Refuse && !self.is_known(tag) {
                return Err(Refusal::UnknownTag { tag });
            }
            if is_app(tag) {
                apps |= Manifest::bit(index);
            }
        }
        let mut parts = manifest.parts();
        match parts.find(|part| part.requires & apps != 0) {
            Some(part) => Err(ManifestError::RequiresApplication { tag: part.tag }.into()),
            None => Ok(()),
        }
    }

    /// After an error: whether anybody can go on, and if not, nothing of it is kept.
    pub(super) async fn fail<F: NorFlash, B: BootControl>(
        &mut self,
        updater: &mut Updater<'_, F, B>,
        error: &Error<F::Error>,
    ) {
        let stage = core::mem::replace(&mut self.stage, Stage::Over);
        let Error::Refused(refusal) = error else {
            return;
        };
        for index in 0..P::LEN {
            if let Some(tag) = self.processors.tag(index) {
                self.processors.abort(tag).await;
            }
        }
        if let Stage::Payload(_) = stage {
            for part in self.parts {
                // If the journal does not take it, the next download comes to the same end.
                let _ = updater.give_up(part, &self.set.sha256, refusal).await;
            }
        }
    }
}

/// What is staged in the passive slot, and an app for it, cannot be in one set.
fn check_slot<F: NorFlash, B: BootControl>(
    parts: &[Part],
    taken: &[Taken],
    updater: &Updater<'_, F, B>,
    part: &Part,
) -> Result<(), Refusal> {
    let slot = updater.passive_region().unwrap_or_default();
    let is_there = |part: &Part| part.regions().iter().any(|region| region.overlaps(slot));
    let is_app = |part: &Part| part.to == Destination::App;
    let clash = parts.iter().any(|other| {
        let taken = taken.iter().any(|taken| taken.subject == other.subject());
        taken && (is_app(part) && is_there(other) || is_app(other) && is_there(part))
    });
    match clash {
        true => Err(Refusal::Duplicate),
        false => Ok(()),
    }
}
