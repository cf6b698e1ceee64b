//! An image for the parts of the device, from the question to what becomes of it.

use std::cmp::Ordering;

use airlift_device::notify::esp_http::Method;
use airlift_device::set::{Processors, Sequence, SetDownload, SetState};
use airlift_device::verify::{EspApp, ImageCheck};
use airlift_device::{Error as EngineError, Offer, Refusal};
use airlift_formats::matter::image::{MAX_HEADER_LEN, OtaImageError};
use airlift_formats::nxp::{Content, ManifestError};
use sha2::{Digest as _, Sha256};

use super::super::ask::{Question, Reply, understand};
use super::super::by_hand::Put;
use super::super::device::{Observer, Running, slot_name};
use super::super::poll::later;
use super::super::transfer::{BUFFER, SHOW_EVERY, Source};
use super::super::{DeviceError, Event, Polled, UpdateUrl};
use super::external::{External, Externals};
use super::fetch::{Origin, Stream};
use super::header::{FileDigest, Head};
use super::notes::{Attempt, Stage};
use super::{PLACE, Policy, Unit, report};
use crate::flash::{FlashError, block_on};

/// What became of an image.
enum Came {
    /// The stream ended early, for this reason.
    Broken(String),
    /// It was refused; nothing that is in use was touched.
    Refused(Blame),
    /// The engine has it.
    Committed(SetState),
    /// Its parts were applied one after the other.
    InSequence(Sequence),
}

/// How far the bytes of an image came.
enum Fetched {
    /// The engine wants no more, or there are no more. With what the header says, if it is complete.
    All(Option<Head>),
    /// The stream ended early, for this reason.
    Part(String),
    Refused(Refusal),
}

/// The next byte that is wanted of an image of `length` bytes.
fn next_of<C: ImageCheck + Clone, P: Processors>(
    download: &SetDownload<'_, '_, '_, C, P>,
    length: u32,
) -> Option<u32> {
    let wanted = u32::try_from(download.wanted()?).ok()?;
    (wanted < length).then_some(wanted)
}

/// A refusal, and where in the image it came.
struct Blame {
    refusal: Refusal,
    tag: Option<u32>,
    /// Bytes of the payload that had been taken.
    offset: Option<u64>,
}

impl Blame {
    /// About the image as a whole.
    const fn whole(refusal: Refusal) -> Self {
        Self {
            refusal,
            tag: None,
            offset: None,
        }
    }

    /// `place`: the part that was looked at last, and how far in the payload.
    fn of(refusal: Refusal, place: Option<(u32, u64)>) -> Self {
        let (tag, offset) = place.unzip();
        let (tag, offset) = match &refusal {
            Refusal::Container(_) | Refusal::Identity(_) | Refusal::Digest => (None, None),
            // They know best.
            Refusal::Payload(error) => match error.tlv() {
                Some(part) => (Some(part.tag), Some(part.offset)),
                None => (None, None),
            },
            Refusal::UnknownTag { tag } | Refusal::Manifest(ManifestError::Digest { tag }) => {
                (Some(*tag), offset)
            }
            _ => (tag, offset),
        };
        Self {
            refusal,
            tag,
            offset,
        }
    }

    /// For the server: one word with tag and offset.
    fn reason(&self) -> String {
        let mut reason = Refusal::token(self.refusal.code()).to_owned();
        if let Some(tag) = self.tag {
            reason += &format!("/tag:{tag}");
        }
        if let Some(offset) = self.offset {
            reason += &format!("/offset:{offset}");
        }
        reason
    }
}

impl Running<'_> {
    /// Asks for an image, and installs it.
    pub(in super::super) fn check_set(
        &mut self,
        on: &mut Observer<'_>,
    ) -> Result<Polled, DeviceError> {
        if self.parts.set.is_none() {
            return Ok(Polled::UpToDate);
        }
        self.check_not_stuck()?;
        let due = self.parts.set.as_ref().and_then(Unit::due);
        on(&Event::PartitionNotify {
            partition: PLACE.to_owned(),
            resume_at: None,
            report: due.as_ref().map(|due| due.state.token()),
        });
        let answered = self.ask(&Question {
            method: Method::Get,
            begun: None,
            partition: Some(self.set_facts()),
            due: due.as_ref(),
        })?;
        if let Some(due) = &due {
            self.note_set_told(due, answered.head.status, on)?;
        }
        let named = answered.partition.clone();
        match understand(answered, None, None)? {
            // Nothing was begun, so there is nothing to begin again.
            Reply::UpToDate | Reply::StartAgain => {
                self.give_up_attempt()?;
                on(&Event::PartitionUpToDate {
                    partition: PLACE.to_owned(),
                });
                Ok(Polled::UpToDate)
            }
            Reply::Later {
                status,
                retry_after,
            } => Ok(later(status, retry_after, on)),
            Reply::Image {
                offer,
                version,
                source,
                ..
            } => {
                if named.as_deref() != Some(PLACE) {
                    return Err(DeviceError::OtherPartition {
                        partition: PLACE.to_owned(),
                    });
                }
                let stream = Stream::new(Origin::Door, offer, source);
                self.install(stream, version, on)
            }
        }
    }

    /// Installs the image that is at an address.
    pub(in super::super) fn install_from(
        &mut self,
        url: &UpdateUrl,
        offer: Offer,
        version: Option<String>,
        source: Source<'_>,
        on: &mut Observer<'_>,
    ) -> Result<Polled, DeviceError> {
        let stream = Stream::new(Origin::Address(url.clone()), offer, source);
        self.install(stream, version, on)
    }

    /// Installs a Matter OTA image that is here. The device has to restart after [`Put::Restart`].
    ///
    /// # Errors
    /// [`DeviceError`].
    pub fn put_set(&mut self, image: &[u8], on: &mut Observer<'_>) -> Result<Put, DeviceError> {
        let offer = Offer {
            // What is longer is refused by its header.
            length: u32::try_from(image.len()).unwrap_or(u32::MAX),
            sha256: Sha256::digest(image).into(),
        };
        let installed = self.parts.set.as_ref();
        let installed = installed.and_then(|unit| unit.notes.installed());
        if installed.is_some_and(|image| image.file == offer) {
            return Ok(Put::WasThere);
        }
        let stream = Stream::new(Origin::Here(image), offer, Source::Here(image));
        let polled = self.install(stream, None, on);
        Ok(match self.unless_dark(polled, on)? {
            Polled::Restart => Put::Restart,
            Polled::Refused { reason } => Put::Refused { reason },
            Polled::PartitionsUpdated { .. } => Put::Updated,
            // A slice does not break off.
            _ => Put::PowerLost,
        })
    }

    /// What could be neither finished nor undone is in the way of everything else.
    fn check_not_stuck(&mut self) -> Result<(), DeviceError> {
        match block_on(self.updater.set_state())? {
            SetState::Stuck => Err(self.stuck()?),
            _ => Ok(()),
        }
    }

    fn stuck(&mut self) -> Result<DeviceError, DeviceError> {
        let failure = block_on(self.updater.set_failure())?;
        let reason = failure.as_ref().map(report::why);
        Ok(DeviceError::SetStuck {
            reason: reason.unwrap_or_default(),
        })
    }

    /// Takes an image in, and sees it through as far as it goes without a restart.
    fn install(
        &mut self,
        mut stream: Stream<'_>,
        version: Option<String>,
        on: &mut Observer<'_>,
    ) -> Result<Polled, DeviceError> {
        self.check_not_stuck()?;
        on(&Event::PartitionOffered {
            partition: PLACE.to_owned(),
            version: version.clone(),
            size: stream.offer.length,
            offset: 0,
        });
        let mut version = version.unwrap_or_default();
        let mut externals = match &mut self.parts.set {
            Some(unit) => {
                unit.told = None;
                unit.lend_externals()
            }
            None => return Ok(Polled::UpToDate),
        };
        let came = self.take_in(&mut stream, &mut version, &mut externals, on);
        if let Some(unit) = &mut self.parts.set {
            unit.externals = externals;
        }
        match came? {
            Came::Broken(message) => {
                on(&Event::Interrupted {
                    durable: 0,
                    message,
                });
                Ok(Polled::Interrupted)
            }
            // Without power, a processor fails as well: that says nothing of the image.
            Came::Refused(_) if !self.parts.flash.lock().has_power() => {
                Err(EngineError::Flash(FlashError::PowerLost).into())
            }
            Came::Refused(blame) => self.refuse_set(&stream.offer, &version, &blame, on),
            Came::Committed(SetState::Applied) => {
                on(&Event::SetApplied { version });
                let slot = self.updater.passive().map_or_else(String::new, slot_name);
                block_on(self.updater.activate())?;
                on(&Event::Installed { slot });
                on(&Event::Restarting);
                Ok(Polled::Restart)
            }
            Came::Committed(SetState::Stuck) => Err(self.stuck()?),
            Came::Committed(_) => self.end_set(on),
            Came::InSequence(done) => self.end_sequence(done, on),
        }
    }

    /// The bytes of the image to where its parts wait, and if it is whole, on to the engine.
    fn take_in(
        &mut self,
        stream: &mut Stream<'_>,
        version: &mut String,
        externals: &mut [External],
        on: &mut Observer<'_>,
    ) -> Result<Came, DeviceError> {
        let Some(unit) = &self.parts.set else {
            return Err(DeviceError::SetPending);
        };
        let (identity, unknown, policy) = (unit.identity(), unit.unknown, unit.policy);
        let parts = unit.parts.clone();
        let project = self.app.summary.project.clone();
        let chip = self.parts.chip();
        let check = EspApp {
            chip_revision: Some(chip.revision),
            project: Some(project.as_bytes()).filter(|project| !project.is_empty()),
            min_secure_version: self.app.summary.secure_version,
            ..EspApp::new(chip.id)
        };
        let (mut header, mut buffer) = ([0; MAX_HEADER_LEN], [0; BUFFER]);
        let mut download = match SetDownload::new(
            identity,
            &parts,
            check,
            Externals(externals),
            unknown,
            &mut header,
            &mut buffer,
        ) {
            Ok(download) => download,
            Err(refusal) => return Ok(Came::Refused(Blame::whole(refusal))),
        };
        self.parts.arm_cut();
        let head = match self.fetch(stream, &mut download, version, on)? {
            Fetched::All(head) => head,
            Fetched::Part(message) => return Ok(Came::Broken(message)),
            Fetched::Refused(refusal) => {
                let blame = Blame::of(refusal, download.place());
                block_on(download.refuse(&mut self.updater, refusal));
                return Ok(Came::Refused(blame));
            }
        };
        let stage = match policy {
            Policy::AllOrNothing => Stage::Committed,
            Policy::InSequence => Stage::InSequence,
        };
        if let Some(head) = head {
            self.note_attempt(stage, &stream.offer, &head, version, "")?;
        }
        let came = match policy {
            Policy::AllOrNothing => {
                block_on(download.finish(&mut self.updater)).map(Came::Committed)
            }
            Policy::InSequence => {
                block_on(download.finish_in_sequence(&mut self.updater)).map(Came::InSequence)
            }
        };
        match came {
            Err(EngineError::Refused(refusal)) => Ok(Came::Refused(Blame::whole(refusal))),
            // All that was offered is here: the image ends too early by itself, and no other download brings more of it.
            Err(EngineError::Incomplete { have, want }) => {
                let refusal = Refusal::from(OtaImageError::Truncated {
                    needed: want.into(),
                    found: have.into(),
                    in_header: false,
                });
                Ok(Came::Refused(Blame::whole(refusal)))
            }
            came => Ok(came?),
        }
    }

    /// The bytes that the engine wants.
    fn fetch<C: ImageCheck + Clone, P: Processors>(
        &mut self,
        stream: &mut Stream<'_>,
        download: &mut SetDownload<'_, '_, '_, C, P>,
        version: &mut String,
        on: &mut Observer<'_>,
    ) -> Result<Fetched, DeviceError> {
        let length = stream.offer.length;
        let mut received = [0; BUFFER];
        let (mut start, mut head) = (Vec::new(), None);
        let mut file = FileDigest::default();
        let (mut came, mut shown, mut whole) = (0, 0, 0);
        while let Some(wanted) = next_of(download, length) {
            let (at, piece) = match self.bytes_for(stream, wanted, &mut received) {
                Ok(next) => next,
                Err(message) => return Ok(Fetched::Part(message)),
            };
            let bytes = &received[..piece.length];
            came = u32::saturating_add(came, bytes.len() as u32);
            file.take(at, bytes);
            if head.is_none() {
                // It is in front of everything that could be known, so that it comes as a whole.
                let known = start.len().checked_sub(at as usize);
                let new = known.and_then(|known| bytes.get(known..));
                start.extend(new.unwrap_or_default());
                head = Head::of(&start);
                if let Some(head) = &head
                    && let Err(refusal) = self.begin_image(&stream.offer, head, version)?
                {
                    return Ok(Fetched::Refused(refusal));
                }
            }
            match block_on(download.write_at(&mut self.updater, at.into(), bytes)) {
                Ok(()) => {}
                Err(EngineError::Refused(refusal)) => return Ok(Fetched::Refused(refusal)),
                Err(error) => return Err(error.into()),
            }
            while let Some(part) = download.whole_part(whole) {
                whole += 1;
                on(&Event::SetPartStaged {
                    tag: part.tag,
                    content: Content::of(part.tag).name(),
                    size: part.length,
                    was_there: part.was_there,
                });
            }
            if piece.cut {
                return Err(self.parts.cut_power(at + piece.length as u32));
            }
            let reached = next_of(download, length).unwrap_or(length);
            if reached >= shown + SHOW_EVERY || reached == length {
                shown = reached;
                on(&Event::PartitionProgress {
                    partition: PLACE.to_owned(),
                    at: reached,
                    size: length,
                });
            }
        }
        if came < length {
            on(&Event::SetPassedOver {
                bytes: length - came,
            });
        }
        on(&Event::Verifying);
        // The header's digest covers the payload; what was offered is the file.
        let other = file
            .of(length)
            .is_some_and(|found| found != stream.offer.sha256);
        Ok(match other {
            true => Fetched::Refused(Refusal::Digest),
            false => Fetched::All(head),
        })
    }

    /// The header is there: it has to be that of the image which was begun, and of all of the file.
    fn begin_image(
        &mut self,
        file: &Offer,
        head: &Head,
        version: &mut String,
    ) -> Result<Result<(), Refusal>, DeviceError> {
        let unit = self.parts.set.as_ref();
        let begun = unit.and_then(|unit| unit.notes.attempt());
        let begun = begun.filter(|begun| begun.stage == Stage::Fetching && begun.file == *file);
        let is_other = begun.is_some_and(|begun| {
            (begun.payload, begun.software_version) != (head.payload, head.software_version)
        });
        let length = u64::from(file.length);
        let refusal = match head.size.cmp(&length) {
            _ if is_other => Refusal::Digest,
            Ordering::Less => OtaImageError::TrailingBytes { offset: head.size }.into(),
            Ordering::Greater => Refusal::from(OtaImageError::Truncated {
                needed: head.size,
                found: length,
                in_header: false,
            }),
            Ordering::Equal => {
                if version.is_empty() {
                    version.clone_from(&head.version);
                }
                self.note_attempt(Stage::Fetching, file, head, version, "")?;
                return Ok(Ok(()));
            }
        };
        Ok(Err(refusal))
    }

    fn note_attempt(
        &mut self,
        stage: Stage,
        file: &Offer,
        head: &Head,
        version: &str,
        reason: &str,
    ) -> Result<(), EngineError<FlashError>> {
        let Some(unit) = &mut self.parts.set else {
            return Ok(());
        };
        unit.notes.note(Attempt {
            stage,
            file: *file,
            payload: head.payload,
            software_version: head.software_version,
            version: version.to_owned(),
            reason: reason.to_owned(),
            reported: false,
        })
    }

    fn refuse_set(
        &mut self,
        file: &Offer,
        version: &str,
        blame: &Blame,
        on: &mut Observer<'_>,
    ) -> Result<Polled, DeviceError> {
        on(&Event::SetRefused {
            tag: blame.tag,
            offset: blame.offset,
            reason: Refusal::token(blame.refusal.code()).to_owned(),
            message: blame.refusal.to_string(),
        });
        // Of an image whose header was refused, nothing is known but its file.
        let head = Head::default();
        let reason = blame.reason();
        self.note_attempt(Stage::Refused, file, &head, version, &reason)?;
        self.tell_of_set(on);
        Ok(Polled::Refused {
            reason: Refusal::token(blame.refusal.code()),
        })
    }

    /// The set is in place, or undone, without a restart.
    fn end_set(&mut self, on: &mut Observer<'_>) -> Result<Polled, DeviceError> {
        self.parts.settle_set(&mut self.updater, on)?;
        self.tell_of_set(on);
        let unit = self.parts.set.as_ref();
        let attempt = unit.and_then(|unit| unit.notes.attempt());
        Ok(match attempt.map(|attempt| attempt.stage) {
            Some(Stage::Done) => Polled::PartitionsUpdated {
                names: vec![PLACE.to_owned()],
            },
            _ => Polled::Refused {
                reason: "not-applied",
            },
        })
    }

    fn end_sequence(
        &mut self,
        done: Sequence,
        on: &mut Observer<'_>,
    ) -> Result<Polled, DeviceError> {
        let Some(unit) = &mut self.parts.set else {
            return Ok(Polled::UpToDate);
        };
        let Some(mut attempt) = unit.notes.attempt().cloned() else {
            return Ok(Polled::UpToDate);
        };
        attempt.stage = match (done.failed, done.restart) {
            (Some(tag), _) => {
                attempt.reason = report::not_applied(tag, done.reason);
                Stage::Failed
            }
            (None, true) => Stage::OnTrial,
            (None, false) => Stage::Done,
        };
        if attempt.stage == Stage::Done {
            unit.notes.note_installed()?;
        }
        unit.notes.note(attempt)?;
        let ended = self.end_set(on)?;
        if !done.restart {
            return Ok(ended);
        }
        on(&Event::Restarting);
        Ok(Polled::Restart)
    }
}
