//! An image for the parts of the device, from the question to what becomes of it.

use airlift_device::notify::esp_http::Method;
use airlift_device::set::{Sequence, SetDownload, SetState};
use airlift_device::verify::EspApp;
use airlift_device::{Error as EngineError, Offer, Refusal};
use airlift_formats::matter::image::{MAX_HEADER_LEN, OtaImageError};
use airlift_formats::nxp::Content;
use sha2::{Digest as _, Sha256};

use super::super::ask::{Question, Reply, understand};
use super::super::by_hand::Put;
use super::super::device::{Observer, Running, slot_name};
use super::super::poll::later;
use super::super::transfer::{BUFFER, SHOW_EVERY, Source};
use super::super::{DeviceError, Event, Polled, UpdateUrl};
use super::external::{External, Externals};
use super::fetch::{Origin, Stream};
use super::notes::{Attempt, Stage};
use super::whereabouts::{Head, Whereabouts};
use super::{PLACE, Policy};
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

/// A refusal, and where in the image it came.
struct Blame {
    refusal: Refusal,
    tag: Option<u32>,
    /// Bytes of the payload that had been taken.
    offset: Option<u64>,
}

impl Blame {
    fn of(refusal: Refusal, whereabouts: &Whereabouts) -> Self {
        let (tag, offset) = match &refusal {
            // They are about the image as a whole.
            Refusal::Container(_) | Refusal::Identity(_) => (None, None),
            // It knows best.
            Refusal::Payload(error) => match error.tlv() {
                Some(part) => (Some(part.tag), Some(part.offset)),
                None => (None, None),
            },
            _ => whereabouts.place(),
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
        let Some(unit) = &self.parts.set else {
            return Ok(Polled::UpToDate);
        };
        let due = unit.due();
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
        let stream = Stream::new(Origin::Here, offer, Source::Here(image));
        let polled = self.install(stream, None, on);
        Ok(match self.unless_dark(polled, on)? {
            Polled::Restart => Put::Restart,
            Polled::Refused { reason } => Put::Refused { reason },
            Polled::PartitionsUpdated { .. } => Put::Updated,
            // A slice does not break off.
            _ => Put::PowerLost,
        })
    }

    /// Takes an image in, and sees it through as far as it goes without a restart.
    fn install(
        &mut self,
        mut stream: Stream<'_>,
        version: Option<String>,
        on: &mut Observer<'_>,
    ) -> Result<Polled, DeviceError> {
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
            Came::Committed(SetState::Stuck) => Err(DeviceError::SetPending),
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
        let mut whereabouts = Whereabouts::default();
        let refused =
            |refusal, whereabouts: &Whereabouts| Came::Refused(Blame::of(refusal, whereabouts));
        let processors = Externals(externals);
        let mut download = match SetDownload::new(
            identity,
            &parts,
            check,
            processors,
            unknown,
            &mut header,
            &mut buffer,
        ) {
            Ok(download) => download,
            Err(refusal) => return Ok(refused(refusal, &whereabouts)),
        };
        self.parts.arm_cut();
        let length = stream.offer.length;
        let mut received = [0; BUFFER];
        let mut whole = Sha256::new();
        let (mut at, mut shown) = (0, 0);
        let mut head = None;
        while at < length {
            let piece = match self.bytes_from(stream, at, &mut received)? {
                Ok(piece) => piece,
                Err(message) => return Ok(Came::Broken(message)),
            };
            let mut rest = &received[..piece.length];
            whole.update(rest);
            at += piece.length as u32;
            loop {
                let stretch = whereabouts.next(&mut rest);
                if stretch.is_nothing() {
                    break;
                }
                if let Some(found) = stretch.head {
                    if version.is_empty() {
                        version.clone_from(&found.version);
                    }
                    self.note_attempt(Stage::Fetching, &stream.offer, &found, version, "")?;
                    head = Some(found);
                }
                match block_on(download.write(&mut self.updater, stretch.bytes)) {
                    Ok(()) => {}
                    Err(EngineError::Refused(refusal)) => {
                        return Ok(refused(refusal, &whereabouts));
                    }
                    Err(error) => return Err(error.into()),
                }
                if let Some(part) = stretch.ended {
                    on(&Event::SetPartStaged {
                        tag: part.tag,
                        content: Content::of(part.tag).name(),
                        size: part.length,
                    });
                }
            }
            if piece.cut {
                return Err(self.parts.cut_power(at));
            }
            if at >= shown + SHOW_EVERY || at == length {
                shown = at;
                on(&Event::PartitionProgress {
                    partition: PLACE.to_owned(),
                    at,
                    size: length,
                });
            }
        }
        on(&Event::Verifying);
        let all = Blame {
            refusal: Refusal::Digest,
            tag: None,
            offset: None,
        };
        // The header's digest covers the payload; what was offered is the file.
        let Some(head) = head.filter(|_| <[u8; 32]>::from(whole.finalize()) == stream.offer.sha256)
        else {
            return Ok(Came::Refused(all));
        };
        let stage = match policy {
            Policy::AllOrNothing => Stage::Committed,
            Policy::InSequence => Stage::InSequence,
        };
        self.note_attempt(stage, &stream.offer, &head, version, "")?;
        let came = match policy {
            Policy::AllOrNothing => {
                block_on(download.finish(&mut self.updater)).map(Came::Committed)
            }
            Policy::InSequence => {
                block_on(download.finish_in_sequence(&mut self.updater)).map(Came::InSequence)
            }
        };
        match came {
            Err(EngineError::Refused(refusal)) => Ok(Came::Refused(Blame { refusal, ..all })),
            // All that was offered is here: the image ends too early by itself, and no other download brings more of it.
            Err(EngineError::Incomplete { have, want }) => {
                let refusal = Refusal::from(OtaImageError::Truncated {
                    needed: want.into(),
                    found: have.into(),
                    in_header: false,
                });
                Ok(Came::Refused(Blame { refusal, ..all }))
            }
            came => Ok(came?),
        }
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
                attempt.reason = format!("not-applied/tag:{tag}");
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
