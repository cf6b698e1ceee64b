//! One device.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::report::{RESET_ON_TRIAL, Report, ResultState};
use crate::catalog::release::{Family, Release};
use crate::clock::Timestamp;
use crate::decide::{Decision, History, Offers};
use crate::digest::{Md5, Sha256};
use crate::store::fleet::{DeviceRow, EventRow};

/// Most events of one device that wait for the next write to the database. Of more only the newest are kept: such a device
/// changes its story every few milliseconds.
const MAX_WAITING_EVENTS: usize = 32;

/// What a device says when it checks in. Texts are bounded by the door that made this.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CheckIn<'a> {
    pub(crate) project: &'a str,
    pub(crate) key: &'a str,
    pub(crate) address: IpAddr,
    pub(crate) user_agent: Option<&'a str>,
    /// `None`: not an update client that describes itself. Then nothing known about the device is overwritten.
    pub(crate) about: Option<About<'a>>,
    /// The release whose digest the device reports, when we know it.
    pub(crate) build: Option<&'a Release>,
    pub(crate) report: Option<Report<'a>>,
}

/// How an update client describes the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct About<'a> {
    pub(crate) family: Family,
    pub(crate) chip_id: Option<&'a str>,
    pub(crate) base_mac: Option<&'a str>,
    pub(crate) sta_mac: Option<&'a str>,
    pub(crate) ap_mac: Option<&'a str>,
    pub(crate) version: Option<&'a str>,
    pub(crate) md5: Option<Md5>,
    pub(crate) sha256: Option<Sha256>,
    pub(crate) sketch_size: Option<u64>,
    pub(crate) free_space: Option<u64>,
    pub(crate) chip_size: Option<u64>,
    pub(crate) sdk_version: Option<&'a str>,
}

/// A device in the registry.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) organization: i64,
    pub(crate) node: Box<str>,
    state: Mutex<State>,
}

/// What is known of a device.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct State {
    pub(crate) project: Box<str>,
    pub(crate) key: Box<str>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) user_agent: Option<Box<str>>,
    pub(crate) family: Option<Family>,
    pub(crate) chip_id: Option<Box<str>>,
    pub(crate) base_mac: Option<Box<str>>,
    pub(crate) sta_mac: Option<Box<str>>,
    pub(crate) ap_mac: Option<Box<str>>,
    pub(crate) version: Option<Box<str>>,
    pub(crate) sketch_md5: Option<Md5>,
    pub(crate) sketch_sha256: Option<Sha256>,
    pub(crate) sketch_size: Option<u64>,
    pub(crate) free_space: Option<u64>,
    pub(crate) chip_size: Option<u64>,
    pub(crate) sdk_version: Option<Box<str>>,
    pub(crate) first_seen: Timestamp,
    pub(crate) last_seen: Timestamp,
    pub(crate) check_ins: u64,
    /// Name of the last decision.
    pub(crate) decision: &'static str,
    pub(crate) decision_release: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) offered: Option<Offered>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<LastResult>,
    #[serde(skip)]
    waiting_events: Vec<EventRow>,
    /// In the queue of the writer.
    #[serde(skip)]
    queued: bool,
}

/// Whether the device that is sent an image does not say what it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Blindly(pub(crate) bool);

/// The image that was last sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Offered {
    pub(crate) sha256: Sha256,
    pub(crate) count: u32,
    /// How often of these the device had sent no digest.
    pub(crate) blindly: u32,
    pub(crate) at: Timestamp,
}

/// The last report, and when it first came in these words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct LastResult {
    #[serde(serialize_with = "state_name")]
    pub(crate) state: ResultState,
    pub(crate) sha256: Option<Sha256>,
    pub(crate) version: Option<Box<str>>,
    pub(crate) reason: Option<Box<str>>,
    pub(crate) at: Timestamp,
}

fn state_name<S: serde::Serializer>(state: &ResultState, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(state.as_str())
}

impl Device {
    /// A device that is heard of for the first time.
    pub(super) fn new(organization: i64, node: &str, now: Timestamp) -> Self {
        let state = State {
            project: Box::default(),
            key: Box::default(),
            address: None,
            user_agent: None,
            family: None,
            chip_id: None,
            base_mac: None,
            sta_mac: None,
            ap_mac: None,
            version: None,
            sketch_md5: None,
            sketch_sha256: None,
            sketch_size: None,
            free_space: None,
            chip_size: None,
            sdk_version: None,
            first_seen: now,
            last_seen: now,
            check_ins: 0,
            decision: "none",
            decision_release: None,
            offered: None,
            result: None,
            waiting_events: Vec::new(),
            queued: false,
        };
        Self {
            organization,
            node: node.into(),
            state: Mutex::new(state),
        }
    }

    /// A device as it was stored.
    pub(super) fn restore(row: &DeviceRow) -> Self {
        let device = Self::new(row.organization_id, &row.node, Timestamp(row.first_seen));
        {
            let text = |text: &Option<String>| text.as_deref().map(Box::from);
            let number = |number: Option<i64>| number.and_then(|n| u64::try_from(n).ok());
            let sha256 =
                |hex: &Option<String>| hex.as_ref().and_then(|hex| Sha256::parse(hex.as_bytes()));
            let mut state = device.lock();
            state.project = row.project.as_str().into();
            state.key = row.key.as_str().into();
            state.address = row.address.parse().ok();
            state.user_agent = text(&row.user_agent);
            state.family = row.family.as_deref().and_then(Family::parse);
            state.chip_id = text(&row.chip_id);
            state.base_mac = text(&row.base_mac);
            state.sta_mac = text(&row.sta_mac);
            state.ap_mac = text(&row.ap_mac);
            state.version = text(&row.version);
            state.sketch_md5 = row
                .sketch_md5
                .as_ref()
                .and_then(|hex| Md5::parse(hex.as_bytes()));
            state.sketch_sha256 = sha256(&row.sketch_sha256);
            state.sketch_size = number(row.sketch_size);
            state.free_space = number(row.free_space);
            state.chip_size = number(row.chip_size);
            state.sdk_version = text(&row.sdk_version);
            state.last_seen = Timestamp(row.last_seen);
            state.check_ins = u64::try_from(row.check_ins).unwrap_or(0);
            state.decision = crate::decide::name_of(&row.decision);
            state.decision_release = row.decision_release;
            state.offered = sha256(&row.offered_sha256).map(|sha256| Offered {
                sha256,
                count: u32::try_from(row.offered_count).unwrap_or(0),
                blindly: u32::try_from(row.offered_blindly).unwrap_or(0),
                at: Timestamp(row.offered_at.unwrap_or(0)),
            });
            state.result = row
                .result_state
                .as_deref()
                .and_then(ResultState::parse)
                .map(|result| LastResult {
                    state: result,
                    sha256: sha256(&row.result_sha256),
                    version: text(&row.result_version),
                    reason: text(&row.result_reason),
                    at: Timestamp(row.result_at.unwrap_or(0)),
                });
        }
        device
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while it was held would leave facts of one check-in beside those of another: no reason to stop serving.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be written: the row, and the events since the last time. The device is then no longer queued.
    pub(super) fn take_row(&self) -> (DeviceRow, Vec<EventRow>) {
        let mut state = self.lock();
        state.queued = false;
        let events = std::mem::take(&mut state.waiting_events);
        (state.row(self.organization, &self.node), events)
    }

    /// Undoes [`take_row`](Self::take_row). Whether the device must get in line again: it may have done so since.
    pub(super) fn put_back(&self, mut events: Vec<EventRow>) -> bool {
        let mut state = self.lock();
        events.append(&mut state.waiting_events);
        events.drain(..events.len().saturating_sub(MAX_WAITING_EVENTS));
        state.waiting_events = events;
        state.queue()
    }
}

impl State {
    /// Takes in what the device says. Nothing is allocated for what it said before in the same words.
    pub(crate) fn hear(&mut self, device: &Device, check_in: &CheckIn<'_>, now: Timestamp) {
        self.last_seen = now;
        self.check_ins += 1;
        set(&mut self.project, check_in.project);
        set(&mut self.key, check_in.key);
        self.address = Some(check_in.address);
        set_option(&mut self.user_agent, check_in.user_agent);
        if let Some(about) = &check_in.about {
            self.learn(device, about, check_in.build, now);
        }
        if let Some(report) = &check_in.report {
            self.note_result(device, report, now);
        }
    }

    fn learn(
        &mut self,
        device: &Device,
        about: &About<'_>,
        build: Option<&Release>,
        now: Timestamp,
    ) {
        let runs_the_same = self.sketch_md5 == about.md5
            && self.sketch_sha256 == about.sha256
            && self.version.as_deref() == about.version;
        self.family = Some(about.family);
        set_option(&mut self.chip_id, about.chip_id);
        set_option(&mut self.base_mac, about.base_mac);
        set_option(&mut self.sta_mac, about.sta_mac);
        set_option(&mut self.ap_mac, about.ap_mac);
        set_option(&mut self.version, about.version);
        self.sketch_md5 = about.md5;
        self.sketch_sha256 = about.sha256;
        self.sketch_size = about.sketch_size;
        self.free_space = about.free_space;
        self.chip_size = about.chip_size;
        set_option(&mut self.sdk_version, about.sdk_version);
        if !runs_the_same {
            // A device that sends only an MD5 still shows up with version and digest, if it runs one of ours.
            let digest = build
                .map(|build| build.sha256)
                .or(about.sha256)
                .map(|sha256| sha256.to_string());
            let version = build.map(|build| build.version.as_str()).or(about.version);
            self.note_event(device, now, "running", version, digest, None);
        }
    }

    fn note_result(&mut self, device: &Device, report: &Report<'_>, now: Timestamp) {
        let heard_before = self.result.as_ref().is_some_and(|last| {
            last.state == report.state
                && last.sha256 == report.sha256
                && last.version.as_deref() == report.version
                && last.reason.as_deref() == report.reason
        });
        if heard_before {
            return;
        }
        self.result = Some(LastResult {
            state: report.state,
            sha256: report.sha256,
            version: report.version.map(Box::from),
            reason: report.reason.map(Box::from),
            at: now,
        });
        let digest = report.sha256.map(|sha256| sha256.to_string());
        self.note_event(
            device,
            now,
            report.state.as_str(),
            report.version,
            digest,
            report.reason,
        );
    }

    /// Takes down what the device was told. `sent`: whether the image goes out from its first byte, and then whether to a
    /// device that does not say what it runs.
    pub(crate) fn told(
        &mut self,
        device: &Device,
        decision: &Decision<'_>,
        sent: Option<Blindly>,
        now: Timestamp,
    ) {
        self.decision = decision.as_str();
        let (Decision::Offer(release) | Decision::Tell(release)) = decision else {
            self.decision_release = None;
            return;
        };
        self.decision_release = Some(release.id);
        if let Some(blindly) = sent {
            self.note_offer(device, release, blindly, now);
        }
    }

    fn note_offer(
        &mut self,
        device: &Device,
        release: &Release,
        Blindly(blindly): Blindly,
        now: Timestamp,
    ) {
        let before = self
            .offered
            .filter(|offered| offered.sha256 == release.sha256);
        let (count, before) = before.map_or((0, 0), |offered| (offered.count, offered.blindly));
        self.offered = Some(Offered {
            sha256: release.sha256,
            count: count.saturating_add(1),
            blindly: before.saturating_add(u32::from(blindly)),
            at: now,
        });
        let digest = Some(release.sha256.to_string());
        self.note_event(device, now, "offered", Some(&release.version), digest, None);
    }

    fn note_event(
        &mut self,
        device: &Device,
        at: Timestamp,
        event: &'static str,
        version: Option<&str>,
        sha256: Option<String>,
        reason: Option<&str>,
    ) {
        if self.waiting_events.len() >= MAX_WAITING_EVENTS {
            self.waiting_events.remove(0);
        }
        self.waiting_events.push(EventRow {
            organization_id: device.organization,
            node: device.node.to_string(),
            at: at.0,
            event: event.to_owned(),
            version: version.map(str::to_owned),
            sha256,
            reason: reason.map(str::to_owned),
        });
    }

    /// What the decision needs of the past.
    pub(crate) fn history(&self) -> History {
        History {
            offers: self.offered.map(|offered| Offers {
                sha256: offered.sha256,
                count: offered.count,
                blindly: offered.blindly,
            }),
            result: self
                .result
                .as_ref()
                .map(|result| (result.state, result.sha256)),
            reset_on_trial: self
                .result
                .as_ref()
                .is_some_and(|result| result.reason.as_deref() == Some(RESET_ON_TRIAL)),
        }
    }

    /// Marks the device as one to write; `false` if it already was.
    pub(crate) fn queue(&mut self) -> bool {
        !std::mem::replace(&mut self.queued, true)
    }

    fn row(&self, organization_id: i64, node: &str) -> DeviceRow {
        let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let result = self.result.as_ref();
        DeviceRow {
            organization_id,
            node: node.to_owned(),
            project: self.project.to_string(),
            key: self.key.to_string(),
            family: self.family.map(|family| family.as_str().to_owned()),
            chip_id: text(&self.chip_id),
            base_mac: text(&self.base_mac),
            sta_mac: text(&self.sta_mac),
            ap_mac: text(&self.ap_mac),
            version: text(&self.version),
            sketch_md5: self.sketch_md5.map(|digest| digest.to_string()),
            sketch_sha256: self.sketch_sha256.map(|digest| digest.to_string()),
            sketch_size: self.sketch_size.map(number),
            free_space: self.free_space.map(number),
            chip_size: self.chip_size.map(number),
            sdk_version: text(&self.sdk_version),
            user_agent: text(&self.user_agent),
            address: self
                .address
                .map(|address| address.to_string())
                .unwrap_or_default(),
            first_seen: self.first_seen.0,
            last_seen: self.last_seen.0,
            check_ins: number(self.check_ins),
            decision: self.decision.to_owned(),
            decision_release: self.decision_release,
            offered_sha256: self.offered.map(|offered| offered.sha256.to_string()),
            offered_count: self.offered.map_or(0, |offered| i64::from(offered.count)),
            offered_blindly: self.offered.map_or(0, |offered| i64::from(offered.blindly)),
            offered_at: self.offered.map(|offered| offered.at.0),
            result_state: result.map(|result| result.state.as_str().to_owned()),
            result_sha256: result
                .and_then(|result| result.sha256)
                .map(|digest| digest.to_string()),
            result_version: result.and_then(|result| text(&result.version)),
            result_reason: result.and_then(|result| text(&result.reason)),
            result_at: result.map(|result| result.at.0),
        }
    }
}

fn set(slot: &mut Box<str>, value: &str) {
    if **slot != *value {
        *slot = value.into();
    }
}

fn set_option(slot: &mut Option<Box<str>>, value: Option<&str>) {
    if slot.as_deref() != value {
        *slot = value.map(Box::from);
    }
}
