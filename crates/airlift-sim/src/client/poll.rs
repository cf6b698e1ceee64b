//! One check for an update, and what follows from it.

use airlift_device::download::http::{Answer, Body, Expected, Refusal as HttpRefusal};
use airlift_device::notify::esp_http::{
    Facts, Method, Mode, Request, Resume, State, Target, USUAL_REQUEST_LEN,
};
use airlift_device::verify::EspApp;
use airlift_device::{Error as EngineError, Offer, Refusal, Status};

use super::connection::{self, Answered};
use super::device::{Due, Observer, Running, slot_name};
use super::{DeviceError, Event, PowerCut, VirtualDevice};
use crate::flash::{FlashError, block_on};

/// What a device calls its software platform.
const SDK_VERSION: &str = concat!("airlift-", env!("CARGO_PKG_VERSION"));

/// Bytes that are gathered before they go to the flash.
const BUFFER: usize = 4096;

/// What one check came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Polled {
    /// Nothing to do.
    UpToDate,
    /// The server asks to come back later.
    Later {
        /// Seconds to wait, if it says so.
        retry_after: Option<u32>,
    },
    /// The image was refused; what runs is untouched.
    Refused {
        /// The cause as one word.
        reason: &'static str,
    },
    /// The connection broke; the next check goes on from there.
    Interrupted,
    /// A new image is installed: switch the device off and on.
    Restart,
    /// The power failed: switch the device on again.
    PowerLost,
}

/// What a check with all that follows came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settled {
    /// Nothing to do.
    UpToDate,
    /// The device runs another image, and confirmed it.
    Updated {
        /// Version before.
        from: String,
        /// Version that runs now.
        to: String,
    },
    /// The new image did not stay.
    RolledBack {
        /// Version that runs, as before.
        version: String,
    },
    /// The image was refused; what runs is untouched.
    Refused {
        /// The cause as one word.
        reason: &'static str,
    },
    /// The server asks to come back later.
    Later {
        /// Seconds to wait, if it says so.
        retry_after: Option<u32>,
    },
    /// The connection broke; the next check goes on from there.
    Interrupted,
    /// The power failed; the next check switches the device on again.
    PowerLost,
}

impl VirtualDevice {
    /// Switches the device on, checks for an update once, and sees it through: restart, trial, report.
    ///
    /// # Errors
    /// [`DeviceError`]; when [`is_passing`](DeviceError::is_passing), trying again later can help.
    pub fn check(&mut self, on: &mut Observer<'_>) -> Result<Settled, DeviceError> {
        let Some(mut running) = self.power_on(on)? else {
            return Ok(Settled::PowerLost);
        };
        let from = running.version().to_owned();
        match running.poll(on)? {
            Polled::UpToDate => return Ok(Settled::UpToDate),
            Polled::Later { retry_after } => return Ok(Settled::Later { retry_after }),
            Polled::Refused { reason } => return Ok(Settled::Refused { reason }),
            Polled::Interrupted => return Ok(Settled::Interrupted),
            Polled::PowerLost => return Ok(Settled::PowerLost),
            Polled::Restart => {}
        }
        let Some(mut running) = self.power_on(on)? else {
            return Ok(Settled::PowerLost);
        };
        running.tell(on);
        let to = running.version().to_owned();
        Ok(match running.status() {
            Status::Idle {
                last: Some((airlift_device::Outcome::Confirmed, ..)),
            } => Settled::Updated { from, to },
            _ => Settled::RolledBack { version: to },
        })
    }
}

impl Running<'_> {
    /// Checks for an update once, and if there is one, downloads, verifies and installs it. What became of the last one is
    /// told to the server with the request.
    ///
    /// # Errors
    /// [`DeviceError`]; when [`is_passing`](DeviceError::is_passing), trying again later can help.
    pub fn poll(&mut self, on: &mut Observer<'_>) -> Result<Polled, DeviceError> {
        match self.check_in(on) {
            // Without power everything fails, each in its own words.
            Err(_) if !self.parts.flash.lock().has_power() => {
                self.parts.note_power_cut(on);
                Ok(Polled::PowerLost)
            }
            result => result,
        }
    }

    /// Tells the server how the last update ended, if it does not know. A server that cannot be reached is told with the
    /// next check.
    pub fn tell(&mut self, on: &mut Observer<'_>) {
        let Some(due) = self.due().filter(|due| due.state != State::Interrupted) else {
            return;
        };
        if let Ok(answered) = self.ask(Method::Head, None, Some(&due)) {
            // Whether it took: a failing flash will show at the next use of it.
            let _ = self.note_told(&due, answered.head.status, on);
        }
    }

    fn check_in(&mut self, on: &mut Observer<'_>) -> Result<Polled, DeviceError> {
        let begun = match self.updater.status() {
            Status::Downloading { offer, durable } if 0 < durable && durable < offer.length => {
                Some((offer, durable))
            }
            _ => None,
        };
        match self.check_in_once(begun, on)? {
            Some(polled) => Ok(polled),
            // The server has no rest of what was begun: ask for all of what it has.
            None => match self.check_in_once(None, on)? {
                Some(polled) => Ok(polled),
                None => Err(HttpRefusal::WrongRange.into()),
            },
        }
    }

    /// `None`: the rest of what was `begun` is not to be had.
    fn check_in_once(
        &mut self,
        begun: Option<(Offer, u32)>,
        on: &mut Observer<'_>,
    ) -> Result<Option<Polled>, DeviceError> {
        let due = self.due();
        on(&Event::Notify {
            version: self.app.summary.version.clone(),
            resume_at: begun.map(|(_, durable)| durable),
            report: due.as_ref().map(|due| due.state.token()),
        });
        let answered = self.ask(Method::Get, begun, due.as_ref())?;
        if let Some(due) = &due {
            self.note_told(due, answered.head.status, on)?;
        }
        let etag = begun.map(|(offer, _)| etag_of(&offer));
        let expected = begun
            .zip(etag.as_deref())
            .map(|((offer, offset), etag)| Expected {
                offset,
                total: offer.length,
                etag,
                sha256: Some(offer.sha256),
            });
        match answered.head.answer(expected.as_ref()) {
            Ok(Answer::UpToDate) => {
                on(&Event::UpToDate);
                Ok(Some(Polled::UpToDate))
            }
            Ok(Answer::Later {
                status,
                retry_after,
            }) => {
                on(&Event::Later {
                    status,
                    retry_after,
                });
                Ok(Some(Polled::Later { retry_after }))
            }
            Ok(Answer::Image {
                offset,
                total,
                body,
            }) => {
                let sha256 = answered.head.sha256;
                let sha256 = sha256.or(begun.map(|(offer, _)| offer.sha256).filter(|_| offset > 0));
                let sha256 = sha256.ok_or(DeviceError::NoDigest)?;
                self.parts.offered_version = answered.head.version().map(str::to_owned);
                let offer = Offer {
                    length: total,
                    sha256,
                };
                self.take(offer, offset, body, answered, on)
            }
            Ok(Answer::StartAgain)
            | Err(HttpRefusal::WrongRange | HttpRefusal::OtherTotal | HttpRefusal::OtherImage) => {
                Ok(None)
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Takes the image of `offer`, whose bytes from `first` on are in `body`.
    fn take(
        &mut self,
        offer: Offer,
        first: u32,
        body: Body,
        answered: Answered,
        on: &mut Observer<'_>,
    ) -> Result<Option<Polled>, DeviceError> {
        let version = self.parts.offered_version.clone();
        match self.receive(offer, first, body, answered, on) {
            Ok(Received::All) => {}
            Ok(Received::NotFromHere) => return Ok(None),
            Ok(Received::Part(message)) => {
                let durable = match self.updater.status() {
                    Status::Downloading { durable, .. } => durable,
                    _ => 0,
                };
                on(&Event::Interrupted { durable, message });
                return Ok(Some(Polled::Interrupted));
            }
            Err(DeviceError::Engine(EngineError::Refused(refusal))) => {
                let reason = Refusal::token(refusal.code());
                on(&Event::Refused {
                    reason: reason.to_owned(),
                    message: refusal.to_string(),
                });
                if !matches!(self.updater.status(), Status::Idle { last: Some((_, digest, false)) } if digest == offer.sha256)
                {
                    self.unsaved = Some(Due {
                        state: State::Refused,
                        sha256: Some(offer.sha256),
                        version,
                        reason: Some(reason),
                    });
                }
                self.tell(on);
                return Ok(Some(Polled::Refused { reason }));
            }
            Err(error) => return Err(error),
        }
        on(&Event::Verified {
            sha256: hex(&offer.sha256),
        });
        let slot = self.updater.passive().map_or_else(String::new, slot_name);
        block_on(self.updater.activate())?;
        on(&Event::Installed { slot });
        on(&Event::Restarting);
        Ok(Some(Polled::Restart))
    }

    /// Network to flash, then the check of the whole image.
    fn receive(
        &mut self,
        offer: Offer,
        first: u32,
        mut body: Body,
        mut answered: Answered,
        on: &mut Observer<'_>,
    ) -> Result<Received, DeviceError> {
        let project = self.app.summary.project.clone();
        let chip = self.parts.chip();
        let check = EspApp {
            chip_revision: Some(chip.revision),
            // An app without a project belongs to none, and any may follow it.
            project: Some(project.as_bytes()).filter(|project| !project.is_empty()),
            min_secure_version: self.app.summary.secure_version,
            ..EspApp::new(chip.id)
        };
        let mut buffer = [0; BUFFER];
        let mut download = block_on(self.updater.begin(offer, check, &mut buffer))?;
        let wanted = download.offset();
        if wanted < first {
            // What the journal called durable could not be read any more.
            return Ok(Received::NotFromHere);
        }
        on(&Event::Offered {
            version: self.parts.offered_version.clone(),
            size: offer.length,
            offset: wanted,
        });
        if let Some(PowerCut::AtOperation(cut)) = self.parts.faults.power_cut {
            self.parts.faults.power_cut = None;
            self.parts.flash.lock().arm(cut);
        }
        // Position of the stream in the image.
        let mut at = first;
        let mut received = [0; BUFFER];
        let mut shown = wanted;
        while download.offset() < offer.length {
            let piece = match answered.receive(&mut received) {
                Ok(0) => {
                    let missing = body.missing();
                    return Ok(Received::Part(format!(
                        "the connection ended {missing} bytes before the image did"
                    )));
                }
                Err(error) => {
                    return Ok(Received::Part(format!("the connection broke: {error}")));
                }
                Ok(count) => body.push(&received[..count]).len(),
            };
            self.parts.counters.bytes_fetched += piece as u64;
            let piece = &mut received[..piece];
            let faults = &mut self.parts.faults;
            if let Some(place) = faults.flip_byte.and_then(|byte| byte.checked_sub(at))
                && let Some(byte) = piece.get_mut(place as usize)
            {
                *byte ^= 1;
                faults.flip_byte = None;
            }
            let cut = match faults.power_cut {
                Some(PowerCut::AtByte(byte)) => Some(byte.saturating_sub(at) as usize),
                _ => None,
            };
            let cut = cut.filter(|&cut| cut < piece.len());
            let arrived = &piece[..cut.unwrap_or(piece.len())];
            // Bytes that are there already; a server that does not resume sends them again.
            let known = (wanted.saturating_sub(at) as usize).min(arrived.len());
            at += arrived.len() as u32;
            block_on(download.write(&arrived[known..]))?;
            if cut.is_some() {
                self.parts.faults.power_cut = None;
                self.parts.cut_at_byte = Some(at);
                self.parts.flash.lock().power_off();
                return Err(EngineError::Flash(FlashError::PowerLost).into());
            }
            if at >= shown.saturating_add(SHOW_EVERY) || at == offer.length {
                shown = at;
                on(&Event::Progress {
                    at,
                    size: offer.length,
                });
            }
        }
        on(&Event::Verifying);
        block_on(download.finish())?;
        Ok(Received::All)
    }

    /// Sends one request, and reads the head of its answer.
    fn ask(
        &self,
        method: Method,
        begun: Option<(Offer, u32)>,
        due: Option<&Due>,
    ) -> Result<Answered, DeviceError> {
        let identity = &self.parts.identity;
        let prefix = format!("{}/ota_update", self.parts.server.prefix);
        let etag = begun.map(|(offer, _)| etag_of(&offer));
        let access_point = {
            let [a, b, c, d, e, f] = identity.mac;
            [a, b, c, d, e, f.wrapping_add(1)]
        };
        let flash_size = self.parts.flash.lock().geometry().size();
        let request = Request {
            method,
            target: Target {
                prefix: &prefix,
                organization: &identity.organization,
                project: &identity.project,
                node: &identity.node,
                key: &identity.key,
            },
            host: &self.parts.server.authority,
            facts: Facts {
                base_mac: Some(identity.mac),
                sta_mac: Some(identity.mac),
                ap_mac: Some(access_point),
                free_space: self.updater.passive_region().map_or(0, |slot| slot.len),
                sketch_size: self.app.summary.length,
                sketch_md5: Some(self.app.md5),
                sketch_sha256: Some(self.app.sha256),
                chip_size: u32::try_from(flash_size).unwrap_or(u32::MAX),
                sdk_version: SDK_VERSION,
                mode: Mode::Sketch,
                version: self.app.version(),
            },
            resume: begun
                .zip(etag.as_deref())
                .map(|((_, durable), etag)| Resume {
                    offset: durable,
                    etag,
                }),
            partition: None,
            report: due.map(Due::report),
        };
        let mut buffer = [0; 2 * USUAL_REQUEST_LEN];
        let request = request.encode(&mut buffer)?;
        connection::exchange(&self.parts.server, request)
    }

    /// The request with this report was answered.
    fn note_told(
        &mut self,
        due: &Due,
        status: u16,
        on: &mut Observer<'_>,
    ) -> Result<(), DeviceError> {
        // A server that is busy or does not know this device may not have kept it.
        if status >= 400 || due.state == State::Interrupted {
            return Ok(());
        }
        if self.unsaved.take().is_none() {
            block_on(self.updater.reported())?;
        }
        on(&Event::Reported {
            state: due.state.token(),
        });
        Ok(())
    }
}

/// Steps in which progress is shown, in bytes.
const SHOW_EVERY: u32 = 16 * 1024;

enum Received {
    All,
    /// The stream ended early, for this reason.
    Part(String),
    /// The device needs bytes from before the stream.
    NotFromHere,
}

/// The `ETag` that an Airlift server gives to an image: its SHA-256. Any other server will not recognise it, and answer
/// with the whole image.
fn etag_of(offer: &Offer) -> String {
    format!("\"{}\"", hex(&offer.sha256))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
