//! Updates that no poll asked for: from a file that is here, or from an address that somebody names.

use airlift_device::Offer;
use airlift_device::partition::{PartitionOutcome, PartitionState};
use sha2::{Digest as _, Sha256};

use super::ask::{Reply, understand};
use super::device::{Observer, Running};
use super::partitions::Ended;
use super::plan::Ground;
use super::poll::later;
use super::transfer::Source;
use super::two_step::{Wanted, short};
use super::{DeviceError, Event, PartitionPlan, Polled, UpdateUrl};
use crate::flash::block_on;

/// How an update of a partition, or of a set, from a file ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Put {
    /// The partition holds the content now; all parts of the set are in place.
    Updated,
    /// It held it before: an interrupted update was finished at boot, or there was none to make.
    WasThere,
    /// It was refused.
    Refused {
        /// The cause as one word.
        reason: &'static str,
    },
    /// All parts of a set are in place but the app, which is to be tried: switch the device off and on.
    Restart,
    /// The power failed: switch the device on again.
    PowerLost,
}

/// An update that somebody orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Where the image is.
    pub url: UpdateUrl,
    /// The partition of the configuration that it is for, or the name of the app's data; without one, it is an app.
    pub partition: Option<String>,
    /// Its SHA-256. Without one, the server has to send `x-SHA256`.
    pub sha256: Option<[u8; 32]>,
}

impl Running<'_> {
    /// Updates a partition with these bytes.
    ///
    /// # Errors
    /// [`DeviceError`]; also if the plan does not suit the flash.
    pub fn put(
        &mut self,
        plan: &PartitionPlan,
        bytes: &[u8],
        on: &mut Observer<'_>,
    ) -> Result<Put, DeviceError> {
        let done = self.put_once(plan, bytes, on);
        match done {
            Err(_) if !self.parts.flash.lock().has_power() => {
                self.parts.note_power_cut(on);
                Ok(Put::PowerLost)
            }
            result => result,
        }
    }

    fn put_once(
        &mut self,
        plan: &PartitionPlan,
        bytes: &[u8],
        on: &mut Observer<'_>,
    ) -> Result<Put, DeviceError> {
        let ground = Ground {
            named: &self.parts.named,
            layout: &self.parts.layout,
            two_step: false,
        };
        let planned = ground.resolve(plan)?;
        let offer = Offer {
            // What is longer than any flash is refused as too big.
            length: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            sha256: Sha256::digest(bytes).into(),
        };
        let state = block_on(self.updater.partition_state(&planned.partition))?;
        if let PartitionState::Whole {
            last: Some((PartitionOutcome::Updated, sha256, _)),
        } = state
            && sha256 == offer.sha256
        {
            let flash = self.parts.flash.lock();
            let start = planned.partition.region.offset as usize;
            let cells = flash.cells().get(start..).unwrap_or_default();
            if cells.get(..bytes.len()) == Some(bytes) {
                return Ok(Put::WasThere);
            }
        }
        let mut source = Source::Here(bytes);
        match self.fill(&planned, offer, 0, None, &mut source, on)? {
            Ended::Updated => Ok(Put::Updated),
            Ended::Refused(reason) => Ok(Put::Refused { reason }),
            // Bytes from a slice neither break off nor start in the middle.
            Ended::Interrupted | Ended::StartAgain => Ok(Put::PowerLost),
        }
    }

    /// Carries out an order.
    ///
    /// # Errors
    /// [`DeviceError`]; when [`is_passing`](DeviceError::is_passing), trying again later can help.
    pub fn obey(&mut self, order: &Order, on: &mut Observer<'_>) -> Result<Polled, DeviceError> {
        let polled = self.obey_once(order, on);
        self.unless_dark(polled, on)
    }

    /// Whether an order can be carried out at all: the partition is one of the configuration.
    #[must_use]
    pub fn knows(&self, order: &Order) -> bool {
        let Some(name) = &order.partition else {
            return true;
        };
        let mut planned = self.parts.planned.iter();
        planned.any(|planned| planned.name == *name)
            || self.parts.two_step.as_ref() == Some(name)
            || (self.parts.set.is_some() && name == super::set::PLACE)
    }

    fn obey_once(&mut self, order: &Order, on: &mut Observer<'_>) -> Result<Polled, DeviceError> {
        let wanted = order.partition.as_deref();
        on(&Event::Ordered {
            url: order.url.to_string(),
            partition: order.partition.clone(),
        });
        let answered = self.ask_at(&order.url, None, wanted)?;
        if let Some(named) = &answered.partition
            && Some(named.as_str()) != wanted
        {
            return Err(DeviceError::OtherPartition {
                partition: wanted.unwrap_or("app").to_owned(),
            });
        }
        match understand(answered, None, order.sha256)? {
            Reply::Image {
                offer,
                first,
                version,
                mut source,
            } => {
                let Some(name) = wanted else {
                    self.parts.offered_version = version;
                    let polled = self.take(offer, first, &mut source, on)?;
                    return Ok(polled.unwrap_or(Polled::Interrupted));
                };
                if self.parts.set.is_some() && name == super::set::PLACE {
                    return self.install_from(&order.url, offer, version, source, on);
                }
                let planned = self.parts.planned.iter();
                let planned = { planned }.find(|planned| planned.name == name).cloned();
                let polled = match planned {
                    Some(planned) => {
                        let ended = self.fill(&planned, offer, first, version, &mut source, on)?;
                        self.end(&planned, ended, on)?
                    }
                    None => {
                        let data = Wanted {
                            name,
                            offer,
                            first,
                            version: &short(version),
                            from: &order.url.to_string(),
                        };
                        self.fetch_data(&data, &mut source, on)?
                    }
                };
                Ok(polled.unwrap_or(Polled::Interrupted))
            }
            Reply::Later {
                status,
                retry_after,
            } => Ok(later(status, retry_after, on)),
            Reply::UpToDate | Reply::StartAgain => {
                on(&Event::UpToDate);
                Ok(Polled::UpToDate)
            }
        }
    }
}
