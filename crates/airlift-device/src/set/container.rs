//! A Matter OTA image on its way: header and identity first, then each part to where its tag belongs.

use airlift_formats::matter::image::{
    Header, HeaderParser, MAX_HEADER_LEN, PayloadVerifier, Rules,
};
use airlift_formats::nxp::{self, DESCRIPTOR_LEN, Event, PayloadReader, Tags, Tlv};

use super::super::install::BootControl;
use super::super::updater::Updater;
use super::super::{NorFlash, dual};
use super::stage::Staging;
use super::{Destination, MAX_PARTS, Part, Processors, SetRestore, SetState, Step, check_parts};
use crate::error::Mismatch;
use crate::verify::{ImageCheck, PartCheck};
use crate::{Error, Offer, Refusal};

/// Who the device is, for what the header of an image says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its vendor.
    pub vendor: u16,
    /// Its product.
    pub product: u16,
    /// The version that it has.
    pub version: u32,
    /// An image may bring a lower version, or the same.
    pub allows_downgrade: bool,
}

impl Identity {
    /// Compares with a header, in which 0 is any vendor or product.
    fn check(&self, header: &Header<'_>) -> Result<(), Refusal> {
        let is_for = |wanted: u16, own: u16| wanted == 0 || wanted == own;
        let (least, most) = (
            header.min_applicable_software_version,
            header.max_applicable_software_version,
        );
        let mismatch = if !is_for(header.vendor_id, self.vendor) {
            Mismatch::Vendor
        } else if !is_for(header.product_id, self.product) {
            Mismatch::Product
        } else if header.software_version <= self.version && !self.allows_downgrade {
            Mismatch::Downgrade
        } else if least.is_some_and(|least| self.version < least) {
            Mismatch::BelowMinimum
        } else if most.is_some_and(|most| self.version > most) {
            Mismatch::AboveMaximum
        } else {
            return Ok(());
        };
        Err(Refusal::Identity(mismatch))
    }
}

/// What happens to parts that nobody takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownTags {
    /// The image is refused.
    #[default]
    Refuse,
    /// They are passed over.
    Skip,
}

/// How far a sequence got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// How many parts were applied.
    pub applied: usize,
    /// The tag of the one that could not be, after which nothing was applied.
    pub failed: Option<u32>,
    /// The app waits to be tried: restart.
    pub restart: bool,
}

/// The part with the lowest tag above `last`.
fn next_by_tag(parts: &[Option<Part>], last: Option<u32>) -> Option<Part> {
    let parts = parts.iter().flatten();
    let behind = parts.filter(|part| last.is_none_or(|last| part.tag > last));
    behind.min_by_key(|part| part.tag).copied()
}

/// Where the bytes of the present part go.
#[allow(clippy::large_enum_variant)] // There is no heap to put the large one in.
enum Current<'b, C> {
    /// Between parts, or over one that is skipped.
    None(&'b mut [u8]),
    /// In front of the value proper; so many bytes of the descriptor are there.
    Descriptor(&'b mut [u8], usize),
    /// Into the device's flash.
    Flash(Staging<'b, PartCheck<C>>),
    /// To a processor.
    Custom(&'b mut [u8]),
    /// While one becomes the other.
    Moving,
}

#[allow(clippy::large_enum_variant)] // As above.
enum Stage<'h> {
    Header(HeaderParser<'h>),
    Payload(PayloadVerifier, PayloadReader<MAX_PARTS>),
    /// Refused: nothing is taken any more.
    Over,
}

/// An image on its way. The bytes can come in pieces of any size.
pub struct SetDownload<'p, 'h, 'b, C, P> {
    identity: Identity,
    unknown: UnknownTags,
    /// Parts for the device's own flash.
    parts: &'p [Part],
    /// What the app must be.
    check: C,
    /// Everything else.
    processors: P,
    stage: Stage<'h>,
    current: Current<'b, C>,
    descriptor: [u8; DESCRIPTOR_LEN],
    set: Offer,
    staged: [Option<Part>; MAX_PARTS],
    count: usize,
}

/// Bytes of the descriptor in front of applications and boot loaders.
const fn descriptor_len_of(tag: u32) -> usize {
    match tag {
        nxp::tag::APPLICATION..=nxp::tag::BOOTLOADER => DESCRIPTOR_LEN,
        _ => 0,
    }
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
            staged: [None; MAX_PARTS],
            count: 0,
        })
    }

    /// Takes the next bytes of the image.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`]: the image is not sound, not for this device, or one of its parts is not wanted. Nothing that is in use was touched.
    pub async fn write<F: NorFlash, B: BootControl>(
        &mut self,
        updater: &mut Updater<'_, F, B>,
        bytes: &[u8],
    ) -> Result<(), Error<F::Error>> {
        let result = self.take(updater, bytes).await;
        if result.is_err() {
            self.abort().await;
        }
        result
    }

    async fn take<F: NorFlash, B: BootControl>(
        &mut self,
        updater: &mut Updater<'_, F, B>,
        mut bytes: &[u8],
    ) -> Result<(), Error<F::Error>> {
        if let Stage::Header(parser) = &mut self.stage {
            let complete = parser.push(&mut bytes).map_err(Refusal::from)?;
            if !complete {
                return Ok(());
            }
            self.begin_payload()?;
        }
        while !bytes.is_empty() {
            let Stage::Payload(verifier, _) = &mut self.stage else {
                return Err(Error::State);
            };
            let mut piece = verifier.update(&mut bytes).map_err(Refusal::from)?;
            self.take_payload(updater, &mut piece).await?;
        }
        Ok(())
    }

    fn begin_payload(&mut self) -> Result<(), Refusal> {
        let Stage::Header(parser) = core::mem::replace(&mut self.stage, Stage::Over) else {
            return Ok(());
        };
        let offset = parser.position();
        let header = parser.into_header()?;
        self.identity.check(&header)?;
        for (to, from) in self.set.sha256.iter_mut().zip(header.digest) {
            *to = *from;
        }
        self.set.length = u32::try_from(header.payload_size).unwrap_or(u32::MAX);
        let rules = nxp::Rules {
            tags: Tags::Any,
            ..nxp::Rules::strict()
        };
        self.stage = Stage::Payload(
            PayloadVerifier::new(&header, offset, &Rules::strict()),
            PayloadReader::new(header.payload_size, rules),
        );
        Ok(())
    }

    async fn take_payload<F: NorFlash, B: BootControl>(
        &mut self,
        updater: &mut Updater<'_, F, B>,
        piece: &mut &[u8],
    ) -> Result<(), Error<F::Error>> {
        loop {
            let Stage::Payload(_, reader) = &mut self.stage else {
                return Ok(());
            };
            match reader.read(piece).map_err(Refusal::from)? {
                None => return Ok(()),
                Some(Event::Begin(tlv)) => self.begin(updater, tlv).await?,
                Some(Event::Value { tlv, bytes }) => self.value(updater, tlv, bytes).await?,
                Some(Event::End(tlv)) => self.end(updater, tlv).await?,
            }
        }
    }

    fn flash_part(&self, tag: u32) -> Option<Part> {
        self.parts.iter().find(|part| part.tag == tag).copied()
    }

    fn has_processor(&self, tag: u32) -> bool {
        (0..P::LEN).any(|index| self.processors.tag(index) == Some(tag))
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
        if self.flash_part(tlv.tag).is_none() && !self.has_processor(tlv.tag) {
            return match self.unknown {
                UnknownTags::Refuse => Err(Refusal::UnknownTag { tag: tlv.tag }.into()),
                UnknownTags::Skip => Ok(()),
            };
        }
        if let Current::None(buffer) = core::mem::replace(&mut self.current, Current::Moving) {
            self.current = Current::Descriptor(buffer, 0);
        }
        if self.descriptor_len(tlv.tag) == 0 {
            self.open(updater, tlv).await?;
        }
        Ok(())
    }

    async fn value<F: NorFlash, B: BootControl>(
        &mut self,
        updater: &mut Updater<'_, F, B>,
        tlv: Tlv,
        mut bytes: &[u8],
    ) -> Result<(), Error<F::Error>> {
        if let Current::Descriptor(_, have) = &mut self.current {
            let have_now = *have;
            let wanted = self.descriptor_len(tlv.tag) - have_now;
            let (head, rest) = bytes.split_at_checked(wanted).unwrap_or((bytes, &[]));
            for (to, from) in self.descriptor.iter_mut().skip(have_now).zip(head) {
                *to = *from;
            }
            if let Current::Descriptor(_, have) = &mut self.current {
                *have += head.len();
            }
            if head.len() < wanted {
                return Ok(());
            }
            bytes = rest;
            self.open(updater, tlv).await?;
        }
        match &mut self.current {
            Current::Flash(staging) => staging.write(updater, bytes).await,
            Current::Custom(_) => {
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
        let described = self.descriptor_len(tlv.tag);
        let length = tlv.length.saturating_sub(described as u32);
        let Current::Descriptor(buffer, _) = core::mem::replace(&mut self.current, Current::Moving)
        else {
            return Err(Error::State);
        };
        if let Some(part) = self.flash_part(tlv.tag) {
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
            let staging = Staging::begin(updater, &part, length, check, buffer).await?;
            self.current = Current::Flash(staging);
            return Ok(());
        }
        self.current = Current::Custom(buffer);
        let descriptor = self.descriptor.get(..described).unwrap_or_default();
        self.processors.descriptor(tlv.tag, descriptor)?;
        if self.processors.begin(tlv.tag, length).await.is_err() {
            return Err(Refusal::Vetoed { tag: tlv.tag }.into());
        }
        Ok(())
    }

    async fn end<F: NorFlash, B: BootControl>(
        &mut self,
        updater: &mut Updater<'_, F, B>,
        tlv: Tlv,
    ) -> Result<(), Error<F::Error>> {
        let part = match core::mem::replace(&mut self.current, Current::Moving) {
            Current::Flash(mut staging) => {
                staging.finish(updater).await?;
                self.current = Current::None(staging.into_buffer());
                self.flash_part(tlv.tag)
            }
            Current::Custom(buffer) => {
                self.current = Current::None(buffer);
                if self.processors.end(tlv.tag).await.is_err() {
                    return Err(Refusal::Processor { tag: tlv.tag }.into());
                }
                Some(Part {
                    tag: tlv.tag,
                    to: Destination::Custom,
                })
            }
            Current::Descriptor(buffer, _) => {
                // The value ended within its descriptor.
                self.current = Current::None(buffer);
                return Err(Refusal::Vetoed { tag: tlv.tag }.into());
            }
            skipped => {
                self.current = skipped;
                None
            }
        };
        if let Some(part) = part {
            let place = self.staged.get_mut(self.count);
            *place.ok_or(Refusal::TooManyParts)? = Some(part);
            self.count += 1;
        }
        Ok(())
    }

    /// All bytes were given: if the image is whole, its parts are applied, all of them or none.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`]: the image is not whole, or its digest is another one. As [`Updater::commit_set`].
    pub async fn finish<F: NorFlash, B: BootControl>(
        mut self,
        updater: &mut Updater<'_, F, B>,
    ) -> Result<SetState, Error<F::Error>> {
        self.check_whole().await?;
        let mut parts = [Part {
            tag: 0,
            to: Destination::Custom,
        }; MAX_PARTS];
        let mut count = 0;
        for (to, from) in parts.iter_mut().zip(self.staged.iter().flatten()) {
            *to = *from;
            count += 1;
        }
        let Current::None(buffer) = self.current else {
            return Err(Error::State);
        };
        let parts = parts.get(..count).unwrap_or_default();
        let mut mechanism = SetRestore(self.processors);
        updater
            .commit_set(&self.set, parts, &mut mechanism, buffer)
            .await
    }

    /// All bytes were given: as [`finish`](Self::finish), but as Matter has it: the parts are applied one after the other, by ascending tag,
    /// and the first that cannot be ends it. Those before it stay: what runs afterwards can be a mixture.
    ///
    /// # Errors
    ///
    /// As `finish`.
    pub async fn finish_in_sequence<F: NorFlash, B: BootControl>(
        mut self,
        updater: &mut Updater<'_, F, B>,
    ) -> Result<Sequence, Error<F::Error>> {
        self.check_whole().await?;
        let Current::None(buffer) = self.current else {
            return Err(Error::State);
        };
        let mut done = Sequence {
            applied: 0,
            failed: None,
            restart: false,
        };
        let mut last = None;
        // There are few: the next higher tag is looked up each time.
        while let Some(part) = next_by_tag(&self.staged, last) {
            last = Some(part.tag);
            let applied = match part.to {
                Destination::App => {
                    updater.activate().await?;
                    done.restart = true;
                    true
                }
                Destination::Custom => {
                    let applied = self.processors.step(part.tag, Step::Apply).await;
                    applied.is_ok()
                }
                Destination::Partition { .. } => {
                    updater.apply_alone(part.subject(), buffer).await?
                }
            };
            if !applied {
                done.failed = Some(part.tag);
                break;
            }
            done.applied += 1;
        }
        Ok(done)
    }

    /// Whether the image ended where it should, with the digest that it should have.
    async fn check_whole<E>(&mut self) -> Result<(), Error<E>> {
        let Stage::Payload(verifier, reader) = core::mem::replace(&mut self.stage, Stage::Over)
        else {
            return Err(Error::State);
        };
        let whole = verifier.finish().map_err(Refusal::from);
        let whole = whole.and_then(|_| reader.finish().map_err(Refusal::from));
        if let Err(refusal) = whole {
            self.abort().await;
            return Err(refusal.into());
        }
        Ok(())
    }

    async fn abort(&mut self) {
        self.stage = Stage::Over;
        for index in 0..P::LEN {
            if let Some(tag) = self.processors.tag(index) {
                self.processors.abort(tag).await;
            }
        }
    }
}
