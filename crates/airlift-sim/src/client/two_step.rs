//! The data of the app: a two-step update, and new data for the app that runs.

use airlift_device::download::http::Refusal as HttpRefusal;
use airlift_device::notify::esp_http::{Method, PartitionFacts, State, is_report_text};
use airlift_device::partition::{DataDescription, MAX_VERSION};
use airlift_device::verify::AnyImage;
use airlift_device::{Error as EngineError, Offer, Refusal};

use super::ask::{Question, Reply, hex, is_told, understand};
use super::device::{Due, Observer, Running};
use super::poll::later;
use super::report::data_of;
use super::transfer::{BUFFER, Received, Source, Step, feed};
use super::{DataReport, DeviceError, Event, Polled, UpdateUrl};
use crate::flash::block_on;

impl Running<'_> {
    /// Step one: before an app is fetched, the journal learns which data it will work with.
    pub(super) fn plan_data(
        &mut self,
        app: &Offer,
        on: &mut Observer<'_>,
    ) -> Result<(), DeviceError> {
        let Some(name) = self.parts.two_step.clone() else {
            return Ok(());
        };
        let answered = self.ask(&Question {
            method: Method::Head,
            begun: None,
            // The app to come has none.
            partition: Some(facts(&name, None, None)),
            due: None,
        })?;
        let named = answered.partition.clone();
        let Reply::Image { offer, version, .. } = understand(answered, None, None)? else {
            // An app without data.
            return Ok(());
        };
        check_named(&name, named.as_deref())?;
        let source = self.door();
        let version = short(version);
        let description = DataDescription {
            offer,
            version: &version,
            source: &source,
        };
        block_on(self.updater.plan_data(app, &description))?;
        on(&Event::DataPlanned {
            name,
            version,
            size: offer.length,
        });
        Ok(())
    }

    /// Step two, and new data for the app that runs.
    pub(super) fn check_data(&mut self, on: &mut Observer<'_>) -> Result<Polled, DeviceError> {
        let Some(name) = self.parts.two_step.clone() else {
            return Ok(Polled::UpToDate);
        };
        let known = data_of(&mut self.updater)?;
        let begun = known
            .as_ref()
            .filter(|data| data.state == "fetching" && 0 < data.durable && data.durable < data.size)
            .map(|data| (data.offer, data.durable));
        match self.check_data_once(&name, known.as_ref(), begun, on)? {
            Some(polled) => Ok(polled),
            None => match self.check_data_once(&name, known.as_ref(), None, on)? {
                Some(polled) => Ok(polled),
                None => Err(HttpRefusal::WrongRange.into()),
            },
        }
    }

    /// `None`: the rest of what was `begun` is not to be had.
    fn check_data_once(
        &mut self,
        name: &str,
        known: Option<&DataReport>,
        begun: Option<(Offer, u32)>,
        on: &mut Observer<'_>,
    ) -> Result<Option<Polled>, DeviceError> {
        let present = known.filter(|data| data.state == "present");
        let due = self.parts.unsaved.get(name).cloned();
        on(&Event::PartitionNotify {
            partition: name.to_owned(),
            resume_at: begun.map(|(_, durable)| durable),
            report: due.as_ref().map(|due| due.state.token()),
        });
        let version = present.map(|data| data.version.as_str());
        // The plan says where they are to be had; that is this device's server, unless it has moved since.
        let elsewhere = known
            .filter(|data| data.state != "present" && data.source != self.door())
            .and_then(|data| data.source.parse::<UpdateUrl>().ok());
        let there = elsewhere.and_then(|url| {
            // If they are not to be had there any more, this device's server may have them.
            let answered = self.ask_at(&url, begun, Some(name)).ok();
            let answered = answered.filter(|answered| matches!(answered.head.status, 200 | 206));
            Some((url.to_string(), answered?))
        });
        let (from, answered, planned) = match there {
            // A plain file server says neither whose data they are nor their digest; the plan does.
            Some((url, mut answered)) => {
                answered.partition.get_or_insert_with(|| name.to_owned());
                let unsaid = answered.head.sha256.is_none();
                let planned = known.filter(|_| unsaid).map(|data| data.offer.sha256);
                (url, answered, planned)
            }
            None => {
                let answered = self.ask(&Question {
                    method: Method::Get,
                    begun,
                    partition: Some(facts(name, present.map(|data| data.offer.sha256), version)),
                    due: due.as_ref(),
                })?;
                if let Some(due) = due {
                    self.note_data_told(name, &due, answered.head.status, on);
                }
                (self.door(), answered, None)
            }
        };
        let named = answered.partition.clone();
        match understand(answered, begun, planned)? {
            Reply::UpToDate => {
                on(&Event::PartitionUpToDate {
                    partition: name.to_owned(),
                });
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
                check_named(name, named.as_deref())?;
                let same = known.filter(|data| data.offer == offer);
                let version = version.or_else(|| same.map(|data| data.version.clone()));
                let data = Wanted {
                    name,
                    offer,
                    first,
                    version: &short(version),
                    from: &from,
                };
                self.fetch_data(&data, &mut source, on)
            }
        }
    }

    /// Data that are to be had: the running app works with them from now on, and they are fetched.
    pub(super) fn fetch_data(
        &mut self,
        data: &Wanted<'_>,
        source: &mut Source<'_>,
        on: &mut Observer<'_>,
    ) -> Result<Option<Polled>, DeviceError> {
        let name = || data.name.to_owned();
        match self.receive_data(data, source, on) {
            Ok(Received::All) => {
                on(&Event::DataPresent {
                    name: name(),
                    version: data.version.to_owned(),
                    sha256: hex(&data.offer.sha256),
                });
                self.tell_of_data(data, State::Confirmed, None, on);
                Ok(Some(Polled::PartitionsUpdated {
                    names: vec![name()],
                }))
            }
            Ok(Received::NotFromHere) => Ok(None),
            Ok(Received::Part(message)) => {
                let known = data_of(&mut self.updater)?;
                on(&Event::Interrupted {
                    durable: known.map_or(0, |known| known.durable),
                    message,
                });
                Ok(Some(Polled::Interrupted))
            }
            Err(DeviceError::Engine(EngineError::Refused(refusal))) => {
                let reason = Refusal::token(refusal.code());
                let known = data_of(&mut self.updater)?;
                on(&Event::PartitionRefused {
                    partition: name(),
                    reason: reason.to_owned(),
                    message: refusal.to_string(),
                    whole: known.is_none_or(|known| known.state == "present"),
                });
                self.tell_of_data(data, State::Refused, Some(reason), on);
                Ok(Some(Polled::Refused { reason }))
            }
            Err(error) => Err(error),
        }
    }

    fn receive_data(
        &mut self,
        data: &Wanted<'_>,
        source: &mut Source<'_>,
        on: &mut Observer<'_>,
    ) -> Result<Received, DeviceError> {
        let known = data_of(&mut self.updater)?;
        if known.is_none_or(|known| known.offer != data.offer) {
            block_on(self.updater.want_data(&DataDescription {
                offer: data.offer,
                version: data.version,
                source: data.from,
            }))?;
        }
        let mut buffer = [0; BUFFER];
        if let Err(error) = block_on(self.updater.begin_data(AnyImage, &mut buffer))
            && !self.make_way(&error, on)?
        {
            return Err(error.into());
        }
        let download = block_on(self.updater.begin_data(AnyImage, &mut buffer))?;
        let length = data.offer.length;
        let version = Some(data.version).filter(|version| !version.is_empty());
        feed(
            self.parts,
            download,
            (length, data.first),
            source,
            &mut |step| match step {
                Step::Begins(offset) => on(&Event::PartitionOffered {
                    partition: data.name.to_owned(),
                    version: version.map(str::to_owned),
                    size: length,
                    offset,
                }),
                Step::Taken => {}
                Step::At(at) => on(&Event::PartitionProgress {
                    partition: data.name.to_owned(),
                    at,
                    size: length,
                }),
                Step::Verifying => on(&Event::Verifying),
            },
        )
    }

    /// The journal does not keep what was told of data, so it is told until the device is switched off.
    fn tell_of_data(
        &mut self,
        data: &Wanted<'_>,
        state: State,
        reason: Option<&'static str>,
        on: &mut Observer<'_>,
    ) {
        let due = Due {
            state,
            sha256: Some(data.offer.sha256),
            version: Some(data.version.to_owned()),
            reason: reason.map(Into::into),
        };
        self.parts.unsaved.insert(data.name.to_owned(), due.clone());
        let installed = Some(data.offer.sha256).filter(|_| state == State::Confirmed);
        let version = installed.and(Some(data.version));
        let answered = self.ask(&Question {
            method: Method::Head,
            begun: None,
            partition: Some(facts(data.name, installed, version)),
            due: Some(&due),
        });
        if let Ok(answered) = answered {
            self.note_data_told(data.name, &due, answered.head.status, on);
        }
    }

    fn note_data_told(&mut self, name: &str, due: &Due, status: u16, on: &mut Observer<'_>) {
        if is_told(due, status) {
            self.parts.unsaved.remove(name);
            on(&Event::PartitionReported {
                partition: name.to_owned(),
                state: due.state.token(),
            });
        }
    }
}

/// Data that are to be had.
pub(super) struct Wanted<'w> {
    pub(super) name: &'w str,
    pub(super) offer: Offer,
    /// First byte that comes.
    pub(super) first: u32,
    pub(super) version: &'w str,
    /// Where they come from: kept, so that it can go on there.
    pub(super) from: &'w str,
}

fn facts<'f>(
    name: &'f str,
    sha256: Option<[u8; 32]>,
    version: Option<&'f str>,
) -> PartitionFacts<'f> {
    PartitionFacts {
        name,
        sha256,
        version: version.filter(|version| is_report_text(version)),
    }
}

fn check_named(name: &str, named: Option<&str>) -> Result<(), DeviceError> {
    if named == Some(name) {
        Ok(())
    } else {
        Err(DeviceError::OtherPartition {
            partition: name.to_owned(),
        })
    }
}

/// As much of a version as the journal keeps.
pub(super) fn short(version: Option<String>) -> String {
    let mut version = version.unwrap_or_default();
    while version.len() > MAX_VERSION {
        version.pop();
    }
    version
}
