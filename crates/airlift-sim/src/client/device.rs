//! The device: a board, its flash file, and the engine from boot to boot.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use airlift_device::install::{EspLayout, EspOtadata};
use airlift_device::notify::esp_http::{Report, State, is_report_text};
use airlift_device::partition::Partition;
use airlift_device::{Outcome, Refusal, Status, Updater};
use airlift_formats::esp::app_image::{ChipId, HEADER_LEN, Header, MAGIC};
use airlift_formats::esp::partition_table::{DEFAULT_OFFSET, PartitionTable, Rules, TABLE_LEN};

use super::app::App;
use super::plan::{Ground, Planned};
use super::provision::{SECTOR, WORD};
use super::report::named;
use super::set::{SetPlan, SetPlanError, Unit};
use super::{DeviceError, Event, Faults, Identity, PartitionPlan, PlanError, ServerAddress};
use crate::board::{Board, Build, EspBoard, EspChip, Region, Slot};
use crate::flash::{Flash, Geometry, Nor, SimFlash, block_on};

/// More restarts in a row than any update needs.
const MAX_RESTARTS: u32 = 12;

/// Reason that the app gives to the engine when its self-test fails.
pub(super) const SELF_TEST_FAILED: u8 = 1;

/// Where events go.
pub(super) type Observer<'o> = dyn FnMut(&Event) + 'o;

/// A device with its flash in a file.
pub struct VirtualDevice {
    pub(super) parts: Parts,
    layout: EspLayout,
}

/// Why an app did not stay, in one word.
pub(super) fn why_rolled_back(started: bool, reason: u8) -> &'static str {
    match (started, reason) {
        (false, _) => "never-started",
        (true, SELF_TEST_FAILED) => "self-test",
        (true, _) => "not-confirmed",
    }
}

/// What stays over a restart.
pub(super) struct Parts {
    pub(super) flash: Flash,
    board: EspBoard,
    pub(super) identity: Identity,
    pub(super) server: ServerAddress,
    pub(super) faults: Faults,
    pub(super) counters: Counters,
    /// Version of the image that was offered last, for the report.
    pub(super) offered_version: Option<String>,
    /// Where the stream was when the power failed between two flash operations.
    pub(super) cut_at_byte: Option<u32>,
    /// The partitions of the table.
    pub(super) named: Vec<(String, Partition)>,
    /// Those that are updated.
    pub(super) planned: Vec<Planned>,
    /// Name of the data release that goes with the app.
    pub(super) two_step: Option<String>,
    /// The parts that are updated as one.
    pub(super) set: Option<Unit>,
    /// Versions that were offered for partitions, by name, with the digest that they belong to. A device forgets them when it is switched off.
    pub(super) versions: HashMap<String, ([u8; 32], String)>,
    /// Refusals of partitions that the journal does not know of, and results of data: by name.
    pub(super) unsaved: HashMap<String, Due>,
    pub(super) rules: Rules,
    pub(super) layout: EspLayout,
    /// Somebody else judges an app on trial, and decides when one that is staged is tried.
    pub(super) does_jobs: bool,
}

/// What a device did since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes of images that came over the network.
    pub bytes_fetched: u64,
    /// Power cuts.
    pub power_cuts: u32,
}

impl VirtualDevice {
    /// The device of this flash file, which [`provision`](super::provision) made or which was dumped from a chip. The chip
    /// is the one that the first app in it was built for.
    ///
    /// # Errors
    /// If the file cannot be opened (also when another process uses it), or has no partition table for updates.
    pub fn open(
        path: &Path,
        identity: Identity,
        server: ServerAddress,
    ) -> Result<Self, DeviceError> {
        let len = std::fs::metadata(path)
            .map_err(|source| crate::flash::FlashFileError::Io {
                path: path.to_owned(),
                source,
            })?
            .len();
        let size = usize::try_from(len).unwrap_or(usize::MAX);
        let geometry = Geometry::new(WORD, SECTOR, size)?;
        let flash = Flash::new(Nor::open_file(path, geometry)?);

        let mut table = [0; TABLE_LEN];
        let chip = {
            let mut nor = flash.lock();
            nor.read(DEFAULT_OFFSET, &mut table)
                .map_err(airlift_device::Error::Flash)?;
            chip_of(&mut nor, &table, size)
        };
        let rules = Rules::new(u32::try_from(size).unwrap_or(u32::MAX)).without_md5();
        let table = PartitionTable::parse(&table, &rules)?;
        let layout = EspLayout::new(&table)?;
        let named = named(&table);
        let board = EspBoard::new(flash.clone(), Build::Rollback)?.with_chip(EspChip::new(chip));
        Ok(Self {
            parts: Parts {
                flash,
                board,
                identity,
                server,
                faults: Faults::default(),
                counters: Counters::default(),
                offered_version: None,
                cut_at_byte: None,
                named,
                planned: Vec::new(),
                two_step: None,
                set: None,
                versions: HashMap::new(),
                unsaved: HashMap::new(),
                rules,
                layout,
                does_jobs: false,
            },
            layout,
        })
    }

    /// As [`open`](Self::open), for a device that asks no server: it is only [updated by hand](Running::put).
    ///
    /// # Errors
    /// As `open`.
    pub fn open_offline(path: &Path) -> Result<Self, DeviceError> {
        // Never said to anybody.
        let identity = Identity {
            organization: String::new(),
            project: String::new(),
            node: String::new(),
            key: String::new(),
            mac: [0; 6],
        };
        let nowhere = ServerAddress {
            authority: String::new(),
            host: String::new(),
            port: 0,
            prefix: String::new(),
        };
        Self::open(path, identity, nowhere)
    }

    /// Which partitions are updated from now on, and whether the app works with data in the other slot, whose releases have this name.
    ///
    /// # Errors
    /// If a plan does not suit the flash; nothing has changed then.
    pub fn set_partitions(
        &mut self,
        plans: &[PartitionPlan],
        two_step: Option<&str>,
    ) -> Result<(), PlanError> {
        let ground = Ground {
            named: &self.parts.named,
            layout: &self.layout,
            two_step: two_step.is_some(),
        };
        self.parts.planned = ground.resolve_all(plans)?;
        self.parts.two_step = two_step.map(str::to_owned);
        Ok(())
    }

    /// Which parts are updated as one from now on; to be said after [`set_partitions`](Self::set_partitions). The files of parts in other flashes are made if
    /// they do not exist.
    ///
    /// # Errors
    /// If the plan does not suit the flash; nothing has changed then.
    pub fn declare_set(&mut self, plan: &SetPlan) -> Result<(), SetPlanError> {
        let ground = Ground {
            named: &self.parts.named,
            layout: &self.layout,
            two_step: self.parts.two_step.is_some(),
        };
        let unit = plan.resolve(&ground, &self.parts.planned, &self.parts.flash)?;
        self.parts.set = Some(unit);
        Ok(())
    }

    /// Whether a plan suits the flash, for [`Running::put`].
    ///
    /// # Errors
    /// If it does not.
    pub fn check_plan(&self, plan: &PartitionPlan) -> Result<(), PlanError> {
        let ground = Ground {
            named: &self.parts.named,
            layout: &self.layout,
            two_step: false,
        };
        ground.resolve(plan).map(|_| ())
    }

    /// Who it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.parts.identity
    }

    /// A handle to its flash.
    #[must_use]
    pub fn flash(&self) -> &Flash {
        &self.parts.flash
    }

    /// What goes wrong from now on.
    pub fn set_faults(&mut self, faults: Faults) {
        self.parts.faults = faults;
    }

    /// What it did since it was opened.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.parts.counters
    }

    /// Sectors of its flash that were erased since it was opened.
    #[must_use]
    pub fn sectors_erased(&self) -> u64 {
        self.parts.flash.lock().statistics().sectors_erased
    }

    /// Switches the device on: the boot loader starts an app, and the app starts the engine, which finishes what a
    /// restart or a power cut interrupted: it restarts as often as that needs. An app on trial tests itself, and stays or
    /// goes.
    ///
    /// `None`: the power failed meanwhile ([`Event::PowerCut`]); switch on again.
    ///
    /// # Errors
    /// If the board does not start, or the engine cannot work on its flash.
    pub fn power_on(&mut self, on: &mut Observer<'_>) -> Result<Option<Running<'_>>, DeviceError> {
        let Self { parts, layout } = self;
        for _ in 0..MAX_RESTARTS {
            match parts.start(layout, on) {
                Ok(Some((updater, app))) => {
                    return Ok(Some(Running {
                        parts,
                        updater,
                        app,
                        unsaved: None,
                    }));
                }
                Ok(None) => on(&Event::Restarting),
                Err(_) if !parts.flash.lock().has_power() => {
                    parts.note_power_cut(on);
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
        Err(DeviceError::RestartsForEver)
    }
}

pub(super) type Engine<'d> = Updater<'d, SimFlash<WORD, SECTOR>, EspOtadata>;

impl Parts {
    /// One boot. `None`: the device has to restart.
    fn start<'d>(
        &mut self,
        layout: &'d EspLayout,
        on: &mut Observer<'_>,
    ) -> Result<Option<(Engine<'d>, App)>, DeviceError> {
        let booted = self.board.boot()?;
        let running = match booted.slot {
            Slot::Ota(slot) => Some(slot),
            Slot::Factory => None,
            Slot::Test => return Err(DeviceError::TestApp),
        };
        on(&Event::Booted {
            slot: booted.slot.to_string(),
            version: booted.app.version.clone(),
            trial: booted.trial,
        });
        let flash = self
            .flash
            .typed()
            .map_err(|_| crate::board::EspFlashError { sector: 0 })?;
        let (mut updater, told) = self.recover(flash, layout, running, on)?;
        self.tell_of_recovery(&told, on);
        self.tell_of_damage(&mut updater, on)?;
        match updater.status() {
            Status::OnTrial { .. } | Status::Staged { .. } if self.does_jobs => {}
            Status::OnTrial { .. } if std::mem::take(&mut self.faults.self_test_fails) => {
                block_on(updater.reject(SELF_TEST_FAILED))?;
                on(&Event::Rejected {
                    version: booted.app.version,
                });
                return Ok(None);
            }
            Status::OnTrial { .. } => {
                self.confirm(&mut updater)?;
                on(&Event::Confirmed {
                    version: booted.app.version.clone(),
                });
            }
            // An app of a set is held back until the rest of it is in place.
            Status::Staged { .. } => {
                let slot = updater.passive().map_or_else(String::new, slot_name);
                block_on(updater.activate())?;
                on(&Event::Installed { slot });
                return Ok(None);
            }
            Status::Armed { .. } | Status::Rejected { .. } => return Ok(None),
            Status::Idle {
                last: Some((Outcome::RolledBack { started, .. }, _, false)),
            } => on(&Event::RolledBack {
                version: booted.app.version.clone(),
                started,
            }),
            _ => {}
        }
        self.settle_set(&mut updater, on)?;
        let app = App::read(&self.flash, booted)?;
        Ok(Some((updater, app)))
    }

    /// Name of the partition at this address.
    pub(super) fn name_of(&self, offset: u32) -> String {
        let mut named = self.named.iter();
        match named.find(|(_, partition)| partition.region.offset == offset) {
            Some((name, _)) => name.clone(),
            None => format!("{offset:#x}"),
        }
    }

    /// The power went.
    pub(super) fn note_power_cut(&mut self, on: &mut Observer<'_>) {
        self.counters.power_cuts += 1;
        let message = match self.cut_at_byte.take() {
            Some(byte) => format!("when byte {byte} of the image had arrived"),
            None => match self.flash.lock().last_cut() {
                Some(cut) => format!("{}: {}", cut.operation, cut.effect),
                None => "between two operations of the flash".to_owned(),
            },
        };
        on(&Event::PowerCut { message });
    }

    /// Version of the image in the slot that does not run, if there is a good one.
    fn passive_version(&self, engine: &Engine<'_>) -> Option<String> {
        let region = engine.passive_region()?;
        let region = Region {
            offset: region.offset,
            len: region.len,
        };
        Some(self.board.verify(region).ok()?.version)
    }

    pub(super) fn chip(&self) -> EspChip {
        self.board.chip()
    }
}

/// The chip of the first app; an ESP32 if there is none to tell.
fn chip_of(nor: &mut Nor, table: &[u8; TABLE_LEN], size: usize) -> ChipId {
    let Ok(table) = crate::board::BootTable::parse(table, size) else {
        return ChipId::ESP32;
    };
    let slots = [Slot::Factory].into_iter().chain((0..16).map(Slot::Ota));
    for region in slots.filter_map(|slot| table.app(slot)) {
        let mut header = [0; HEADER_LEN];
        if nor.read(region.offset, &mut header).is_ok() && header[0] == MAGIC {
            return Header::parse(&header).chip;
        }
    }
    ChipId::ESP32
}

pub(super) fn slot_name(slot: u8) -> String {
    Slot::Ota(slot).to_string()
}

/// A device that is on: see [`poll`](Self::poll).
pub struct Running<'d> {
    pub(super) parts: &'d mut Parts,
    pub(super) updater: Engine<'d>,
    pub(super) app: App,
    /// A refusal that came before anything was begun, so that the engine's journal does not know of it.
    pub(super) unsaved: Option<Due>,
}

/// What the server is to be told.
#[derive(Debug, Clone)]
pub(super) struct Due {
    pub(super) state: State,
    pub(super) sha256: Option<[u8; 32]>,
    pub(super) version: Option<String>,
    pub(super) reason: Option<Cow<'static, str>>,
}

impl Due {
    pub(super) fn report(&self) -> Report<'_> {
        Report {
            state: self.state,
            sha256: self.sha256,
            version: self.version.as_deref().filter(|text| is_report_text(text)),
            reason: self.reason.as_deref(),
        }
    }
}

impl Running<'_> {
    /// What the device can truthfully say of its updates.
    #[must_use]
    pub fn status(&self) -> Status {
        self.updater.status()
    }

    /// Version of the running app.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.app.summary.version
    }

    /// Name of the project that the running app belongs to.
    #[must_use]
    pub fn project(&self) -> &str {
        &self.app.summary.project
    }

    /// What the server does not know yet.
    pub(super) fn due(&self) -> Option<Due> {
        if self.parts.set.as_ref().is_some_and(Unit::has_app) {
            return None; // It comes and goes with the set, and so does what is told of it.
        }
        if let Some(due) = &self.unsaved {
            return Some(due.clone());
        }
        let due = |state, sha256: [u8; 32], version, reason: Option<&'static str>| Due {
            state,
            // An image that came by other means than an offer has no known digest.
            sha256: Some(sha256).filter(|digest| *digest != [0; 32]),
            version,
            reason: reason.map(Cow::Borrowed),
        };
        match self.updater.status() {
            Status::Downloading { offer, .. } => {
                let version = self.parts.offered_version.clone();
                Some(due(State::Interrupted, offer.sha256, version, None))
            }
            Status::Idle {
                last: Some((outcome, sha256, false)),
            } => Some(match outcome {
                Outcome::Confirmed => {
                    let version = Some(self.app.summary.version.clone());
                    due(State::Confirmed, sha256, version, None)
                }
                Outcome::RolledBack { started, reason } => {
                    let why = why_rolled_back(started, reason);
                    let version = self.parts.passive_version(&self.updater);
                    due(State::RolledBack, sha256, version, Some(why))
                }
                Outcome::Refused(code) => {
                    let version = self.parts.offered_version.clone();
                    due(State::Refused, sha256, version, Some(Refusal::token(code)))
                }
                _ => return None,
            }),
            _ => None,
        }
    }
}
