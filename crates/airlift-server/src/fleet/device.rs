//! One device.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use airlift_rollout::Millis;
use airlift_rollout::filter::Facts;
use serde::Serialize;

use super::partition::{MAX_PARTITIONS, Partition, PartitionCheckIn};
use super::report::{PartitionFacts, Report, ResultState};
use super::update_state::{Blindly, UpdateState};
use crate::catalog::release::{Family, Release};
use crate::catalog::snapshot::Organization;
use crate::clock::Timestamp;
use crate::decide::{Decision, Facts as Known, History, Wanted};
use crate::digest::{Md5, Sha256};
use crate::store::fleet::{DeviceChange, DeviceRow, EventRow, PartitionRow};

/// Most events of one device that wait for the next write to the database. Of more only the newest are kept: such a device
/// changes its story every few milliseconds.
const MAX_WAITING_EVENTS: usize = 32;

/// What a device says when it checks in. Texts are bounded by the door that made this.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CheckIn<'a> {
    pub(crate) project: &'a str,
    pub(crate) key: &'a str,
    /// `None`: it came through something that does not say.
    pub(crate) address: Option<IpAddr>,
    pub(crate) user_agent: Option<&'a str>,
    /// `None`: not an update client that describes itself. Then nothing known about the device is overwritten.
    pub(crate) about: Option<About<'a>>,
    /// The release whose digest the device reports, when we know it.
    pub(crate) build: Option<&'a Release>,
    /// The partition that it asks for; `None` when it asks for the app, or when nobody can tell which one it means.
    pub(crate) partition: Option<PartitionCheckIn<'a>>,
    /// The version in `about` is that of a file system: clients that have only a mode say it there.
    pub(crate) version_is_of_file_system: bool,
    /// About the partition, if the device named one; otherwise about the app.
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
    /// The group that a person put it in.
    pub(crate) group: Option<Box<str>>,
    /// The tags that people gave it, in the order of the alphabet.
    pub(crate) tags: Vec<Box<str>>,
    /// How updates of the app go.
    #[serde(flatten)]
    app: UpdateState,
    /// At most [`MAX_PARTITIONS`], in the order of their names.
    partitions: Vec<Partition>,
    #[serde(skip)]
    waiting_events: Vec<EventRow>,
    /// In the queue of the writer.
    #[serde(skip)]
    queued: bool,
}

/// Something that happened, to the app or to a partition.
struct Event<'a> {
    name: &'static str,
    partition: Option<&'a str>,
    version: Option<&'a str>,
    sha256: Option<Sha256>,
    reason: Option<&'a str>,
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
            group: None,
            tags: Vec::new(),
            app: UpdateState::new(),
            partitions: Vec::new(),
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
            state.sketch_sha256 = row
                .sketch_sha256
                .as_ref()
                .and_then(|hex| Sha256::parse(hex.as_bytes()));
            state.sketch_size = number(row.sketch_size);
            state.free_space = number(row.free_space);
            state.chip_size = number(row.chip_size);
            state.sdk_version = text(&row.sdk_version);
            state.last_seen = Timestamp(row.last_seen);
            state.check_ins = u64::try_from(row.check_ins).unwrap_or(0);
            state.group = text(&row.device_group);
            state.tags = row.tags.split_ascii_whitespace().map(Box::from).collect();
            state.app = UpdateState::restore(&row.update);
        }
        device
    }

    /// A partition as it was stored.
    pub(super) fn restore_partition(&self, row: &PartitionRow) {
        let mut state = self.lock();
        if let Err(at) = state.position_of(&row.name)
            && state.partitions.len() < MAX_PARTITIONS
        {
            state.partitions.insert(at, Partition::restore(row));
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while it was held would leave facts of one check-in beside those of another: no reason to stop serving.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be written. The device is then no longer queued.
    pub(super) fn take_change(&self) -> DeviceChange {
        let mut state = self.lock();
        state.queued = false;
        let events = std::mem::take(&mut state.waiting_events);
        let changed = state
            .partitions
            .iter_mut()
            .filter_map(|partition| std::mem::take(&mut partition.changed).then_some(&*partition));
        let partitions = changed
            .map(|partition| partition.row(self.organization, &self.node))
            .collect();
        DeviceChange {
            device: state.row(self.organization, &self.node),
            partitions,
            events,
        }
    }

    /// Undoes [`take_change`](Self::take_change). Whether the device must get in line again: it may have done so since.
    pub(super) fn put_back(&self, change: DeviceChange) -> bool {
        let mut state = self.lock();
        let mut events = change.events;
        events.append(&mut state.waiting_events);
        events.drain(..events.len().saturating_sub(MAX_WAITING_EVENTS));
        state.waiting_events = events;
        for row in &change.partitions {
            if let Some(partition) = state.partition(&row.name) {
                partition.changed = true;
            }
        }
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
        self.address = check_in.address.or(self.address);
        set_option(&mut self.user_agent, check_in.user_agent);
        if let Some(about) = &check_in.about {
            self.learn(device, about, check_in, now);
        }
        if let Some(partition) = &check_in.partition {
            self.hear_of_partition(device, partition, now);
        }
        if let Some(report) = &check_in.report {
            let named = check_in.partition.filter(|partition| partition.named);
            self.note_result(device, named.map(|named| named.facts.name), report, now);
        }
    }

    fn learn(
        &mut self,
        device: &Device,
        about: &About<'_>,
        check_in: &CheckIn<'_>,
        now: Timestamp,
    ) {
        let (build, says_version) = (check_in.build, !check_in.version_is_of_file_system);
        let runs_the_same = self.sketch_md5 == about.md5
            && self.sketch_sha256 == about.sha256
            && (!says_version || self.version.as_deref() == about.version);
        self.family = Some(about.family);
        set_option(&mut self.chip_id, about.chip_id);
        set_option(&mut self.base_mac, about.base_mac);
        set_option(&mut self.sta_mac, about.sta_mac);
        set_option(&mut self.ap_mac, about.ap_mac);
        if says_version {
            set_option(&mut self.version, about.version);
        }
        self.sketch_md5 = about.md5;
        self.sketch_sha256 = about.sha256;
        self.sketch_size = about.sketch_size;
        self.free_space = about.free_space;
        self.chip_size = about.chip_size;
        set_option(&mut self.sdk_version, about.sdk_version);
        if !runs_the_same {
            // A device that sends only an MD5 still shows up with version and digest, if it runs one of ours.
            let said = about.version.filter(|_| says_version);
            let running = Event {
                name: "running",
                partition: None,
                version: build.map(|build| build.version.as_str()).or(said),
                sha256: build.map(|build| build.sha256).or(about.sha256),
                reason: None,
            };
            self.note_event(device, now, &running);
        }
    }

    /// Takes down what became of a release that the device was told to install otherwise than by an answer to a check-in.
    pub(crate) fn hear_of_release(
        &mut self,
        device: &Device,
        release: &Release,
        report: &Report<'_>,
        now: Timestamp,
    ) {
        let is_installed = report.state == ResultState::Confirmed;
        match release.partition.as_deref() {
            None if is_installed => self.runs(device, release, now),
            None => {}
            Some(name) => {
                let facts = PartitionFacts {
                    name,
                    sha256: is_installed.then_some(release.sha256),
                    version: is_installed.then_some(&release.version),
                };
                // What is not installed says nothing of what lies there.
                let named = is_installed;
                self.hear_of_partition(device, &PartitionCheckIn { facts, named }, now);
            }
        }
        self.note_result(device, release.partition.as_deref(), report, now);
    }

    /// Takes down that the device runs this release, though it did not say by what digest it knows it.
    pub(crate) fn runs(&mut self, device: &Device, release: &Release, now: Timestamp) {
        if release.is_running(self.sketch_md5, self.sketch_sha256) {
            return;
        }
        self.sketch_md5 = None;
        self.sketch_sha256 = Some(release.sha256);
        self.sketch_size = Some(release.size);
        set_option(&mut self.version, Some(&release.version));
        let running = Event {
            name: "running",
            partition: None,
            version: Some(&release.version),
            sha256: Some(release.sha256),
            reason: None,
        };
        self.note_event(device, now, &running);
    }

    fn hear_of_partition(
        &mut self,
        device: &Device,
        check_in: &PartitionCheckIn<'_>,
        now: Timestamp,
    ) {
        let facts = &check_in.facts;
        if let Err(at) = self.position_of(facts.name)
            && self.partitions.len() < MAX_PARTITIONS
        {
            self.partitions.insert(at, Partition::new(facts.name, now));
        }
        let partition = self.partition(facts.name);
        if partition.is_some_and(|partition| partition.hear(check_in, now)) {
            let installed = Event {
                name: "installed",
                partition: Some(facts.name),
                version: facts.version,
                sha256: facts.sha256,
                reason: None,
            };
            self.note_event(device, now, &installed);
        }
    }

    /// Where the partition of this name is, or would be.
    fn position_of(&self, name: &str) -> Result<usize, usize> {
        self.partitions
            .binary_search_by(|partition| (*partition.name).cmp(name))
    }

    /// `None`: it is not recorded.
    fn partition(&mut self, name: &str) -> Option<&mut Partition> {
        let at = self.position_of(name).ok()?;
        self.partitions.get_mut(at)
    }

    /// Of the app, or of a partition; `None` when that is not recorded.
    fn update(&self, partition: Option<&str>) -> Option<&UpdateState> {
        match partition {
            None => Some(&self.app),
            Some(name) => {
                let at = self.position_of(name).ok()?;
                Some(&self.partitions.get(at)?.update)
            }
        }
    }

    /// The same, to be changed.
    fn update_of(&mut self, partition: Option<&str>) -> Option<&mut UpdateState> {
        match partition {
            None => Some(&mut self.app),
            Some(name) => Some(&mut self.partition(name)?.update),
        }
    }

    fn note_result(
        &mut self,
        device: &Device,
        partition: Option<&str>,
        report: &Report<'_>,
        now: Timestamp,
    ) {
        let update = self.update_of(partition);
        if update.is_some_and(|update| update.hear(report, now)) {
            let reported = Event {
                name: report.state.as_str(),
                partition,
                version: report.version,
                sha256: report.sha256,
                reason: report.reason,
            };
            self.note_event(device, now, &reported);
        }
    }

    /// Takes down what the device was told, of its app or of a partition. `sent`: whether the image goes out from its first
    /// byte, and then whether to a device that does not say what it runs.
    pub(crate) fn told(
        &mut self,
        device: &Device,
        partition: Option<&str>,
        decision: &Decision<'_>,
        sent: Option<Blindly>,
        now: Timestamp,
    ) {
        let update = self.update_of(partition);
        if let Some(release) = update.and_then(|update| update.told(decision, sent, now)) {
            let offered = Event {
                name: "offered",
                partition,
                version: Some(&release.version),
                sha256: Some(release.sha256),
                reason: None,
            };
            self.note_event(device, now, &offered);
        }
    }

    fn note_event(&mut self, device: &Device, at: Timestamp, event: &Event<'_>) {
        if self.waiting_events.len() >= MAX_WAITING_EVENTS {
            self.waiting_events.remove(0);
        }
        self.waiting_events.push(EventRow {
            organization_id: device.organization,
            node: device.node.to_string(),
            at: at.0,
            event: event.name.to_owned(),
            partition: event.partition.map(str::to_owned),
            version: event.version.map(str::to_owned),
            sha256: event.sha256.map(|digest| digest.to_string()),
            reason: event.reason.map(str::to_owned),
        });
    }

    /// What filters look at.
    pub(crate) fn facts<'a>(&'a self, node: &'a str, organization: &'a Organization) -> Facts<'a> {
        let build = organization.build(self.sketch_md5, self.sketch_sha256);
        let published = build.map(|build| build.version.as_str());
        Facts {
            node,
            project: &self.project,
            key: &self.key,
            group: self.group.as_deref(),
            tags: &self.tags,
            version: published.or(self.version.as_deref()),
            family: self.family.map(Family::as_str),
            sdk: self.sdk_version.as_deref(),
            decision: self.app.decision,
            result: self.app.result(),
            first_seen: Millis(self.first_seen.0),
            last_seen: Millis(self.last_seen.0),
        }
    }

    /// Whether a report, of the app or of a partition, is not what was reported before.
    pub(crate) fn is_news(&self, partition: Option<&str>, report: &Report<'_>) -> bool {
        let update = self.update(partition);
        update.is_none_or(|update| !update.has_heard(report))
    }

    /// What decides about a release for the app, or for a partition, by what is known of the device.
    pub(crate) fn known<'a>(
        &'a self,
        partition: Option<&'a str>,
        organization: &'a Organization,
    ) -> Known<'a> {
        let Some(name) = partition else {
            let build = organization.build(self.sketch_md5, self.sketch_sha256);
            return Known {
                wanted: Wanted::App,
                family: self.family,
                running_chip: build.and_then(|build| build.chip_id),
                running_md5: self.sketch_md5,
                running_sha256: self.sketch_sha256,
                running_version: self.version.as_deref(),
                running_build: build.map(|build| &**build),
                free_space: self.free_space,
                ..Known::default()
            };
        };
        let at = self.position_of(name).ok();
        let there = at.and_then(|at| self.partitions.get(at));
        Known {
            wanted: Wanted::Partition(name),
            family: self.family,
            running_sha256: there.and_then(|there| there.sha256),
            running_version: there.and_then(|there| there.version.as_deref()),
            ..Known::default()
        }
    }

    /// How often the app, or the data of a partition, was sent before does not count any more.
    pub(crate) fn forget_offers(&mut self, partition: Option<&str>) {
        match partition {
            None => self.app.forget_offers(),
            Some(name) => {
                if let Some(partition) = self.partition(name) {
                    partition.update.forget_offers();
                    partition.changed = true;
                }
            }
        }
    }

    /// What the decision needs of the past of the app, or of a partition.
    pub(crate) fn history(&self, partition: Option<&str>) -> History {
        self.update(partition)
            .map_or_else(History::default, UpdateState::history)
    }

    /// Marks the device as one to write; `false` if it already was.
    pub(crate) fn queue(&mut self) -> bool {
        !std::mem::replace(&mut self.queued, true)
    }

    fn row(&self, organization_id: i64, node: &str) -> DeviceRow {
        let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
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
            device_group: text(&self.group),
            tags: self.tags.join(" "),
            update: self.app.row(),
        }
    }
}

fn set(slot: &mut Box<str>, value: &str) {
    if **slot != *value {
        *slot = value.into();
    }
}

pub(super) fn set_option(slot: &mut Option<Box<str>>, value: Option<&str>) {
    if slot.as_deref() != value {
        *slot = value.map(Box::from);
    }
}
