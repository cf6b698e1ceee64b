//! One check for an update, and what follows from it.

use airlift_device::download::http::Refusal as HttpRefusal;
use airlift_device::notify::esp_http::{Method, State};
use airlift_device::verify::EspApp;
use airlift_device::{Error as EngineError, Offer, Refusal, Status};

use super::ask::{Question, Reply, hex, is_told, understand};
use super::device::{Due, Observer, Running, slot_name};
use super::set::Unit;
use super::transfer::{BUFFER, Received, Source, Step, feed};
use super::{DeviceError, Event, VirtualDevice};
use crate::flash::block_on;

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
    /// Partitions, or the data of the app, are new; the app runs on.
    PartitionsUpdated {
        /// Their names.
        names: Vec<String>,
    },
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
    /// Partitions, or the data of the app, are new; the app runs on.
    PartitionsUpdated {
        /// Their names.
        names: Vec<String>,
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
    /// A job did not succeed, and the service was told.
    JobFailed {
        /// `FAILED` or `REJECTED`.
        status: String,
        /// The cause as one word, if there is one.
        reason: String,
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

/// The server asks to come back later.
pub(super) fn later(status: u16, retry_after: Option<u32>, on: &mut Observer<'_>) -> Polled {
    on(&Event::Later {
        status,
        retry_after,
    });
    Polled::Later { retry_after }
}

impl From<Polled> for Settled {
    fn from(polled: Polled) -> Self {
        match polled {
            Polled::UpToDate => Self::UpToDate,
            Polled::Later { retry_after } => Self::Later { retry_after },
            Polled::Refused { reason } => Self::Refused { reason },
            Polled::Interrupted => Self::Interrupted,
            Polled::PartitionsUpdated { names } => Self::PartitionsUpdated { names },
            Polled::Restart | Polled::PowerLost => Self::PowerLost,
        }
    }
}

impl VirtualDevice {
    /// Switches the device on, checks for an update once, and sees it through: restart, trial, report, partitions and data.
    ///
    /// # Errors
    /// [`DeviceError`]; when [`is_passing`](DeviceError::is_passing), trying again later can help.
    pub fn check(&mut self, on: &mut Observer<'_>) -> Result<Settled, DeviceError> {
        let Some(mut running) = self.power_on(on)? else {
            return Ok(Settled::PowerLost);
        };
        let from = running.version().to_owned();
        match running.poll(on)? {
            Polled::Restart => {}
            polled => return Ok(polled.into()),
        }
        let Some(mut running) = self.power_on(on)? else {
            return Ok(Settled::PowerLost);
        };
        running.tell(on);
        let to = running.version().to_owned();
        let stays = matches!(
            running.status(),
            Status::Idle {
                last: Some((airlift_device::Outcome::Confirmed, ..))
            }
        );
        // The app is not asked for again, but what belongs to it is.
        match running.poll_partitions(on)? {
            Polled::UpToDate | Polled::PartitionsUpdated { .. } if stays => {
                Ok(Settled::Updated { from, to })
            }
            Polled::UpToDate | Polled::PartitionsUpdated { .. } => {
                Ok(Settled::RolledBack { version: to })
            }
            polled => Ok(polled.into()),
        }
    }
}

impl Running<'_> {
    /// Checks for an update once, and if there is one, downloads, verifies and installs it: of the app, then of each partition of the
    /// configuration, then of the data of the app. What became of the last one is told to the server with the request.
    ///
    /// # Errors
    /// [`DeviceError`]; when [`is_passing`](DeviceError::is_passing), trying again later can help.
    pub fn poll(&mut self, on: &mut Observer<'_>) -> Result<Polled, DeviceError> {
        let polled = self.check_in(on);
        self.unless_dark(polled, on)
    }

    /// Checks for updates of everything but the app.
    ///
    /// # Errors
    /// As [`poll`](Self::poll).
    pub fn poll_partitions(&mut self, on: &mut Observer<'_>) -> Result<Polled, DeviceError> {
        let polled = self.check_all_partitions(Vec::new(), on);
        self.unless_dark(polled, on)
    }

    /// Without power everything fails, each in its own words.
    pub(super) fn unless_dark(
        &mut self,
        polled: Result<Polled, DeviceError>,
        on: &mut Observer<'_>,
    ) -> Result<Polled, DeviceError> {
        match polled {
            Err(_) if !self.parts.flash.lock().has_power() => {
                self.parts.note_power_cut(on);
                Ok(Polled::PowerLost)
            }
            result => result,
        }
    }

    /// Tells the server how the last update ended, of the app and of a set, if it does not know. A server that cannot be reached is told with the
    /// next check.
    pub fn tell(&mut self, on: &mut Observer<'_>) {
        self.tell_of_app(on);
        self.tell_of_set(on);
    }

    fn tell_of_app(&mut self, on: &mut Observer<'_>) {
        let Some(due) = self.due().filter(|due| due.state != State::Interrupted) else {
            return;
        };
        let question = Question {
            method: Method::Head,
            begun: None,
            partition: None,
            due: Some(&due),
        };
        if let Ok(answered) = self.ask(&question) {
            // Whether it took: a failing flash will show at the next use of it.
            let _ = self.note_told(&due, answered.head.status, on);
        }
    }

    fn check_in(&mut self, on: &mut Observer<'_>) -> Result<Polled, DeviceError> {
        // A partition that is not whole comes first: the app may need it, and its copy may lie where the next app goes.
        let mut finished = Vec::new();
        if let Some(polled) = self.finish_partitions(&mut finished, on)? {
            return Ok(polled);
        }
        let mut refused = None;
        match self.check_set(on)? {
            Polled::UpToDate => {}
            Polled::PartitionsUpdated { names } => finished.extend(names),
            Polled::Refused { reason } => refused = Some(reason),
            polled => return Ok(polled),
        }
        // The app of a set comes in no other way.
        let has_app = self.parts.set.as_ref().is_some_and(Unit::has_app);
        let app = if has_app {
            Polled::UpToDate
        } else {
            self.check_app(on)?
        };
        match app {
            Polled::UpToDate => {}
            Polled::Refused { reason } => refused = Some(reason),
            app => return Ok(app),
        }
        match (self.check_all_partitions(finished, on)?, refused) {
            (Polled::UpToDate | Polled::PartitionsUpdated { .. }, Some(reason)) => {
                Ok(Polled::Refused { reason })
            }
            (polled, _) => Ok(polled),
        }
    }

    fn check_app(&mut self, on: &mut Observer<'_>) -> Result<Polled, DeviceError> {
        let begun = match self.updater.status() {
            Status::Downloading { offer, durable } if 0 < durable && durable < offer.length => {
                Some((offer, durable))
            }
            _ => None,
        };
        match self.check_app_once(begun, on)? {
            Some(polled) => Ok(polled),
            // The server has no rest of what was begun: ask for all of what it has.
            None => match self.check_app_once(None, on)? {
                Some(polled) => Ok(polled),
                None => Err(HttpRefusal::WrongRange.into()),
            },
        }
    }

    /// `None`: the rest of what was `begun` is not to be had.
    fn check_app_once(
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
        let answered = self.ask(&Question {
            method: Method::Get,
            begun,
            partition: None,
            due: due.as_ref(),
        })?;
        if let Some(due) = &due {
            self.note_told(due, answered.head.status, on)?;
        }
        match understand(answered, begun, None)? {
            Reply::UpToDate => {
                on(&Event::UpToDate);
                Ok(Some(Polled::UpToDate))
            }
            Reply::Later {
                status,
                retry_after,
            } => Ok(Some(later(status, retry_after, on))),
            Reply::StartAgain => Ok(None),
            Reply::Image {
                offer,
                first,
                version,
                mut source,
            } => {
                self.parts.offered_version = version;
                self.take(offer, first, &mut source, on)
            }
        }
    }

    /// Takes the image of `offer`, of which `source` has the bytes from `first` on.
    pub(super) fn take(
        &mut self,
        offer: Offer,
        first: u32,
        source: &mut Source<'_>,
        on: &mut Observer<'_>,
    ) -> Result<Option<Polled>, DeviceError> {
        let version = self.parts.offered_version.clone();
        match self.receive(offer, first, source, on) {
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
                        reason: Some(reason.into()),
                    });
                }
                self.tell_of_app(on);
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
        source: &mut Source<'_>,
        on: &mut Observer<'_>,
    ) -> Result<Received, DeviceError> {
        self.plan_data(&offer, on)?;
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
        if let Err(error) = block_on(self.updater.begin(offer, check, &mut buffer))
            && !self.make_way(&error, on)?
        {
            return Err(error.into());
        }
        let download = block_on(self.updater.begin(offer, check, &mut buffer))?;
        let version = self.parts.offered_version.clone();
        let length = offer.length;
        feed(
            self.parts,
            download,
            (length, first),
            source,
            &mut |step| match step {
                Step::Begins(offset) => on(&Event::Offered {
                    version: version.clone(),
                    size: length,
                    offset,
                }),
                Step::Taken => {}
                Step::At(at) => on(&Event::Progress { at, size: length }),
                Step::Verifying => on(&Event::Verifying),
            },
        )
    }

    /// The request with this report was answered.
    fn note_told(
        &mut self,
        due: &Due,
        status: u16,
        on: &mut Observer<'_>,
    ) -> Result<(), DeviceError> {
        if !is_told(due, status) {
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
