//! Updates of the partitions of the configuration.

use std::borrow::Cow;

use airlift_device::download::http::Refusal as HttpRefusal;
use airlift_device::flash::Region;
use airlift_device::notify::esp_http::{Method, PartitionFacts, State, is_report_text};
use airlift_device::partition::{
    Partition, PartitionKind, PartitionOutcome, PartitionState, Scheme,
};
use airlift_device::verify::{AnyImage, EspBootLoader, EspTable, ImageCheck};
use airlift_device::{Error as EngineError, Offer, Refusal};

use super::ask::{Question, Reply, hex, is_told, understand};
use super::connection::Answered;
use super::device::{Due, Observer, Running};
use super::plan::{Planned, Way};
use super::poll::later;
use super::transfer::{BUFFER, Received, Source, Step, feed};
use super::{DeviceError, Event, Polled};
use crate::flash::{FlashError, block_on};

/// How the update of a partition ended that did not fail.
#[derive(Clone, Copy)]
pub(super) enum Ended {
    Updated,
    Interrupted,
    Refused(&'static str),
    /// The bytes from before the stream are needed.
    StartAgain,
}

impl Running<'_> {
    /// Finishes what a power cut left in pieces, and notes the names. `Some`: the check ends here.
    pub(super) fn finish_partitions(
        &mut self,
        finished: &mut Vec<String>,
        on: &mut Observer<'_>,
    ) -> Result<Option<Polled>, DeviceError> {
        for planned in self.parts.planned.clone() {
            let state = block_on(self.updater.partition_state(&planned.partition))?;
            if !matches!(state, PartitionState::Damaged { .. }) {
                continue;
            }
            match self.check_partition(&planned, on)? {
                Polled::PartitionsUpdated { names } => finished.extend(names),
                Polled::UpToDate | Polled::Refused { .. } => {}
                polled => return Ok(Some(polled)),
            }
            // The server has nothing for it any more.
            self.put_back(&planned.partition, on)?;
        }
        Ok(None)
    }

    /// Asks for all partitions, and for the data of the app; `updated` are those that are new already.
    pub(super) fn check_all_partitions(
        &mut self,
        mut updated: Vec<String>,
        on: &mut Observer<'_>,
    ) -> Result<Polled, DeviceError> {
        let mut refused = None;
        for planned in self.parts.planned.clone() {
            match self.check_partition(&planned, on)? {
                Polled::UpToDate => {}
                Polled::PartitionsUpdated { names } => updated.extend(names),
                Polled::Refused { reason } => refused = Some(reason),
                polled => return Ok(polled),
            }
        }
        match self.check_data(on)? {
            Polled::UpToDate => {}
            Polled::PartitionsUpdated { names } => updated.extend(names),
            Polled::Refused { reason } => refused = Some(reason),
            polled => return Ok(polled),
        }
        Ok(match refused {
            Some(reason) => Polled::Refused { reason },
            None if updated.is_empty() => Polled::UpToDate,
            None => Polled::PartitionsUpdated { names: updated },
        })
    }

    fn check_partition(
        &mut self,
        planned: &Planned,
        on: &mut Observer<'_>,
    ) -> Result<Polled, DeviceError> {
        let state = block_on(self.updater.partition_state(&planned.partition))?;
        let begun = match state {
            PartitionState::Pending { offer, durable }
            | PartitionState::Damaged { offer, durable, .. }
                if 0 < durable && durable < offer.length =>
            {
                Some((offer, durable))
            }
            _ => None,
        };
        match self.check_partition_once(planned, begun, on)? {
            Some(polled) => Ok(polled),
            None => match self.check_partition_once(planned, None, on)? {
                Some(polled) => Ok(polled),
                None => Err(HttpRefusal::WrongRange.into()),
            },
        }
    }

    /// `None`: the rest of what was `begun` is not to be had.
    fn check_partition_once(
        &mut self,
        planned: &Planned,
        begun: Option<(Offer, u32)>,
        on: &mut Observer<'_>,
    ) -> Result<Option<Polled>, DeviceError> {
        let due = self.partition_due(planned)?;
        on(&Event::PartitionNotify {
            partition: planned.name.clone(),
            resume_at: begun.map(|(_, durable)| durable),
            report: due.as_ref().map(|due| due.state.token()),
        });
        let answered = self.ask_for(planned, Method::Get, begun, due.as_ref())?;
        if let Some(due) = &due {
            self.note_partition_told(planned, due, answered.head.status, on)?;
        }
        let named = answered.partition.clone();
        match understand(answered, begun, None)? {
            Reply::UpToDate => {
                on(&Event::PartitionUpToDate {
                    partition: planned.name.clone(),
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
                if named.as_deref() != Some(&planned.name) {
                    // A server of other make answers with whatever it has, even with an app.
                    return Err(DeviceError::OtherPartition {
                        partition: planned.name.clone(),
                    });
                }
                let ended = self.fill(planned, offer, first, version, &mut source, on)?;
                self.end(planned, ended, on)
            }
        }
    }

    /// What follows from the end of an update.
    pub(super) fn end(
        &mut self,
        planned: &Planned,
        ended: Ended,
        on: &mut Observer<'_>,
    ) -> Result<Option<Polled>, DeviceError> {
        let polled = match ended {
            Ended::StartAgain => return Ok(None),
            Ended::Interrupted => return Ok(Some(Polled::Interrupted)),
            Ended::Updated => Polled::PartitionsUpdated {
                names: vec![planned.name.clone()],
            },
            Ended::Refused(reason) => Polled::Refused { reason },
        };
        self.tell_of_partition(planned, on);
        Ok(Some(polled))
    }

    /// Asks for a partition, and says what was last installed there.
    fn ask_for(
        &mut self,
        planned: &Planned,
        method: Method,
        begun: Option<(Offer, u32)>,
        due: Option<&Due>,
    ) -> Result<Answered, DeviceError> {
        let state = block_on(self.updater.partition_state(&planned.partition))?;
        let sha256 = match state {
            PartitionState::Whole {
                last: Some((PartitionOutcome::Updated, sha256, _)),
            } => Some(sha256),
            _ => None,
        };
        let version = sha256.and_then(|sha256| self.version_of(&planned.name, sha256));
        self.ask(&Question {
            method,
            begun,
            partition: Some(PartitionFacts {
                name: &planned.name,
                sha256,
                version: version.as_deref(),
            }),
            due,
        })
    }

    /// The version that this content was offered with.
    pub(super) fn version_of(&self, name: &str, sha256: [u8; 32]) -> Option<String> {
        let (of, version) = self.parts.versions.get(name)?;
        Some(version.clone()).filter(|version| *of == sha256 && is_report_text(version))
    }

    /// What the server does not know yet of a partition.
    fn partition_due(&mut self, planned: &Planned) -> Result<Option<Due>, DeviceError> {
        if let Some(due) = self.parts.unsaved.get(&planned.name) {
            return Ok(Some(due.clone()));
        }
        let (state, sha256, reason) =
            match block_on(self.updater.partition_state(&planned.partition))? {
                PartitionState::Whole {
                    last: Some((outcome, sha256, false)),
                } => match outcome {
                    PartitionOutcome::Updated => (State::Confirmed, sha256, None),
                    PartitionOutcome::Restored(0) => {
                        (State::RolledBack, sha256, Some("interrupted"))
                    }
                    PartitionOutcome::Restored(code) => {
                        (State::RolledBack, sha256, Some(Refusal::token(code)))
                    }
                    PartitionOutcome::Refused(code) => {
                        (State::Refused, sha256, Some(Refusal::token(code)))
                    }
                    _ => return Ok(None),
                },
                PartitionState::Pending { offer, .. } | PartitionState::Damaged { offer, .. } => {
                    (State::Interrupted, offer.sha256, None)
                }
                _ => return Ok(None),
            };
        Ok(Some(Due {
            state,
            sha256: Some(sha256),
            version: self.version_of(&planned.name, sha256),
            reason: reason.map(Cow::Borrowed),
        }))
    }

    /// Tells how the update of a partition ended; a server that cannot be reached is told with the next check.
    fn tell_of_partition(&mut self, planned: &Planned, on: &mut Observer<'_>) {
        if self.parts.server.host.is_empty() {
            return;
        }
        let Ok(Some(due)) = self.partition_due(planned) else {
            return;
        };
        if due.state == State::Interrupted {
            return;
        }
        if let Ok(answered) = self.ask_for(planned, Method::Head, None, Some(&due)) {
            // As in `tell`.
            let _ = self.note_partition_told(planned, &due, answered.head.status, on);
        }
    }

    fn note_partition_told(
        &mut self,
        planned: &Planned,
        due: &Due,
        status: u16,
        on: &mut Observer<'_>,
    ) -> Result<(), DeviceError> {
        if !is_told(due, status) {
            return Ok(());
        }
        if self.parts.unsaved.remove(&planned.name).is_none() {
            block_on(self.updater.partition_reported(&planned.partition))?;
        }
        on(&Event::PartitionReported {
            partition: planned.name.clone(),
            state: due.state.token(),
        });
        Ok(())
    }

    /// Brings new content into a partition, by its scheme.
    pub(super) fn fill(
        &mut self,
        planned: &Planned,
        offer: Offer,
        first: u32,
        version: Option<String>,
        source: &mut Source<'_>,
        on: &mut Observer<'_>,
    ) -> Result<Ended, DeviceError> {
        if let Some(version) = &version {
            let known = (offer.sha256, version.clone());
            self.parts.versions.insert(planned.name.clone(), known);
        }
        let chip = self.parts.chip();
        let (partition, name) = (&planned.partition, planned.name.as_str());
        let job = Job {
            name,
            partition,
            offer,
            first,
            version: version.as_deref(),
        };
        let filled = match planned.way {
            Way::Direct(scheme) => self.fill_by(&job, scheme, AnyImage, source, on),
            Way::Backup(scheme) => self.fill_by(&job, scheme, AnyImage, source, on),
            Way::Staged(scheme) => self.fill_by(&job, scheme, AnyImage, source, on),
            Way::StagedBoot(scheme) if partition.kind == PartitionKind::BootLoader => {
                let mut check = EspBootLoader::new(chip.id);
                check.chip_revision = Some(chip.revision);
                self.fill_by(&job, scheme, check, source, on)
            }
            Way::StagedBoot(scheme) => {
                let check = EspTable {
                    rules: self.parts.rules,
                    layout: self.parts.layout,
                    running: self.updater.running(),
                };
                self.fill_by(&job, scheme, check, source, on)
            }
        };
        match filled {
            Ok(Received::All) => {
                on(&Event::PartitionUpdated {
                    partition: planned.name.clone(),
                    version,
                    sha256: hex(&offer.sha256),
                });
                Ok(Ended::Updated)
            }
            Ok(Received::NotFromHere) => Ok(Ended::StartAgain),
            Ok(Received::Part(message)) => {
                let durable = match block_on(self.updater.partition_state(partition))? {
                    PartitionState::Pending { durable, .. }
                    | PartitionState::Damaged { durable, .. } => durable,
                    _ => 0,
                };
                on(&Event::Interrupted { durable, message });
                Ok(Ended::Interrupted)
            }
            Err(DeviceError::Engine(EngineError::Refused(refusal))) => {
                self.refuse(planned, &offer, refusal, on)
            }
            Err(error) => Err(error),
        }
    }

    fn fill_by<C: ImageCheck, S: Scheme>(
        &mut self,
        job: &Job<'_>,
        scheme: S,
        check: C,
        source: &mut Source<'_>,
        on: &mut Observer<'_>,
    ) -> Result<Received, DeviceError> {
        let mut buffer = [0; BUFFER];
        let length = job.offer.length;
        let name = || job.name.to_owned();
        let state = block_on(self.updater.partition_state(job.partition))?;
        let saved = match (scheme.room(), state) {
            // There is a copy already, or none is made.
            (_, PartitionState::Damaged { copy: true, .. }) => None,
            (Some(_), _) if scheme.code() & 0x7F == BACKUP => {
                Some(scheme.needs(job.partition, &job.offer))
            }
            _ => None,
        };
        let download = block_on(self.updater.begin_partition(
            job.partition,
            scheme,
            job.offer,
            check,
            &mut buffer,
        ))?;
        let mut resumed = false;
        feed(
            self.parts,
            download,
            (length, job.first),
            source,
            &mut |step| match step {
                Step::Begins(offset) => {
                    resumed = offset > 0;
                    on(&Event::PartitionOffered {
                        partition: name(),
                        version: job.version.map(str::to_owned),
                        size: length,
                        offset,
                    });
                }
                Step::Taken => {
                    if let Some(bytes) = saved.filter(|_| !resumed) {
                        on(&Event::PartitionSaved {
                            partition: name(),
                            bytes,
                        });
                    }
                }
                Step::At(at) => on(&Event::PartitionProgress {
                    partition: name(),
                    at,
                    size: length,
                }),
                Step::Verifying => on(&Event::Verifying),
            },
        )
    }

    fn refuse(
        &mut self,
        planned: &Planned,
        offer: &Offer,
        refusal: Refusal,
        on: &mut Observer<'_>,
    ) -> Result<Ended, DeviceError> {
        let reason = Refusal::token(refusal.code());
        let partition = planned.name.clone();
        let state = block_on(self.updater.partition_state(&planned.partition))?;
        let (told, restored) = match state {
            PartitionState::Whole {
                last: Some((outcome, sha256, false)),
            } if sha256 == offer.sha256 => (true, matches!(outcome, PartitionOutcome::Restored(_))),
            _ => (false, false),
        };
        if !told {
            let due = Due {
                state: State::Refused,
                sha256: Some(offer.sha256),
                version: self.version_of(&planned.name, offer.sha256),
                reason: Some(reason.into()),
            };
            self.parts.unsaved.insert(planned.name.clone(), due);
        }
        let message = refusal.to_string();
        if restored {
            on(&Event::PartitionRestored {
                partition,
                reason: reason.to_owned(),
                message,
            });
        } else {
            on(&Event::PartitionRefused {
                partition,
                reason: reason.to_owned(),
                message,
                whole: !matches!(state, PartitionState::Damaged { .. }),
            });
        }
        Ok(Ended::Refused(reason))
    }

    /// Gives up an interrupted update, if there is a copy of what the partition held.
    pub(super) fn put_back(
        &mut self,
        partition: &Partition,
        on: &mut Observer<'_>,
    ) -> Result<bool, DeviceError> {
        let mut buffer = [0; BUFFER];
        let done = block_on(self.updater.restore_partition(partition, &mut buffer))?;
        if done {
            on(&Event::PartitionRestored {
                partition: self.parts.name_of(partition.region.offset),
                reason: "interrupted".to_owned(),
                message: "the interrupted update was given up".to_owned(),
            });
        }
        Ok(done)
    }

    /// What was to be written was refused because its place has the copy that an interrupted partition needs: that is put back, and the place is
    /// free. `false`: it was refused for another reason.
    pub(super) fn make_way(
        &mut self,
        error: &EngineError<FlashError>,
        on: &mut Observer<'_>,
    ) -> Result<bool, DeviceError> {
        let EngineError::Refused(Refusal::HoldsCopy { partition }) = error else {
            return Ok(false);
        };
        // The journal knows a partition by its start.
        self.put_back(&Partition::data(Region::new(*partition, 0)), on)
    }
}

/// The number that the journal keeps of the backup scheme.
const BACKUP: u8 = 2;

/// What is to be brought where.
struct Job<'j> {
    name: &'j str,
    partition: &'j Partition,
    offer: Offer,
    first: u32,
    version: Option<&'j str>,
}
