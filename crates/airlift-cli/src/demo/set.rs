//! The act about a set: four parts as one, through a power cut while they are applied, and back from an app that does not work. Of the second image, only
//! two parts are fetched.

use std::path::PathBuf;

use airlift_formats::esp::app_image::ChipId;
use airlift_formats::esp::partition_table::{Options, csv};
use airlift_formats::matter::image::ImageBuilder;
use airlift_formats::nxp::{Descriptor, FactoryData, PayloadBuilder, tag};
use airlift_sim::client::{
    Event, Faults, Identity, PartPlan, Running, SET_PLACE, ServerAddress, SetPartPlan, SetPlan,
    SetPolicy, Settled, VirtualDevice, provision,
};
use airlift_sim::flash::{Cut, CutKind, Flash};
use anyhow::{Context, bail};
use serde::Serialize;

use super::act::{observe, update};
use super::cast::{Actor, FLASH_SIZE, Role};
use super::data::title;
use super::stage::{ORGANIZATION, PROJECT, Stage};
use super::{NEW, OLD};
use crate::api::KnownDevice;
use crate::firmware;
use crate::output::Look;
use crate::screen::Screen;

/// Devices of this act are of a kind of their own.
const LAMP_KEY: &str = "lamp_esp32";
const NODE: &str = "esp32-5e7001";
/// The version whose app does not work.
const BROKEN: &str = "3.0.0";
const VENDOR: u16 = 0xFFF1;
const PRODUCT: u16 = 0x8001;
/// Tag of the part that lies in another flash.
const SOUNDS: u32 = tag::FIRST_CUSTOM;

/// A table with a boot loader for another chip, factory data, and room for both twice.
const TABLE: &str = "\
nvs,      data, nvs,       0x9000,   0x4000
otadata,  data, ota,       0xd000,   0x2000
phy_init, data, phy,       0xf000,   0x1000
ota_0,    app,  ota_0,     0x10000,  0x180000
ota_1,    app,  ota_1,     0x190000, 0x180000
ssbl,     data, 0x40,      0x310000, 0x10000
keys,     data, 0x41,      0x320000, 0x1000
spare,    data, 0x42,      0x321000, 0x22000
airlift,  data, undefined, 0x3fc000, 0x4000
";

/// The parts of one version.
struct Content {
    app: Vec<u8>,
    ssbl: Vec<u8>,
    keys: Vec<u8>,
    sounds: Vec<u8>,
}

impl Content {
    fn of(version: &str, seed: u64) -> anyhow::Result<Self> {
        let seed = version
            .bytes()
            .fold(seed, |seed, byte| seed * 31 + u64::from(byte));
        let certificate = firmware::noise(400, seed ^ 3);
        let keys = FactoryData {
            dac_certificate: Some(&certificate),
            ..FactoryData::default()
        };
        Ok(Self {
            app: firmware::sample(ChipId::ESP32, PROJECT, version, 200_000, seed)?,
            ssbl: firmware::noise(60_000, seed ^ 2),
            keys: keys.emit(),
            sounds: firmware::noise(40_000, seed ^ 100),
        })
    }

    /// The Matter OTA image of them.
    fn image(&self, number: u32, version: &str) -> anyhow::Result<Vec<u8>> {
        let descriptor = Descriptor::new(number, version, "2026-11-26")?;
        let mut payload = PayloadBuilder::default();
        payload.custom(SOUNDS, &[], &self.sounds)?;
        payload.factory_data(&FactoryData::parse(&self.keys).context("factory data")?)?;
        payload.bootloader(&descriptor, &self.ssbl)?;
        payload.application(&descriptor, &self.app)?;
        let image = ImageBuilder::new(VENDOR, PRODUCT, number, version);
        Ok(image.build(&payload.build_with_manifest(&[])?)?)
    }
}

/// What a device is to hold of a set in the end.
pub(super) struct Parts {
    plan: SetPlan,
    content: Content,
    /// The images that stayed and that did not, by their digests.
    stayed: String,
    undone: String,
}

/// How it ended with one part of a set.
#[derive(Debug, Serialize)]
pub(super) struct PartEnding {
    tag: u32,
    place: &'static str,
    /// It is there, byte for byte.
    whole: bool,
}

fn plan(external: PathBuf) -> SetPlan {
    let partition = |name: &str| PartPlan::Partition {
        name: name.to_owned(),
        room: None,
        save: None,
    };
    let external = PartPlan::External {
        file: external,
        size: 64 << 10,
        descriptor: 0,
    };
    let parts = [
        (tag::APPLICATION, PartPlan::App),
        (tag::BOOTLOADER, partition("ssbl")),
        (tag::FACTORY_DATA, partition("keys")),
        (SOUNDS, external),
    ];
    SetPlan {
        vendor: VENDOR,
        product: PRODUCT,
        software_version: 1,
        allows_downgrade: false,
        unknown: airlift_device::set::UnknownTags::Refuse,
        policy: SetPolicy::AllOrNothing,
        notes: "nvs".to_owned(),
        spare: "spare".to_owned(),
        parts: parts.map(|(tag, to)| SetPartPlan { tag, to }).into(),
    }
}

impl Parts {
    pub(super) fn configure(&self, device: &mut VirtualDevice) -> anyhow::Result<()> {
        Ok(device.declare_set(&self.plan)?)
    }

    /// Whether each part is where it should be, byte for byte; and what is wrong.
    pub(super) fn check(
        &self,
        flash: &Flash,
        running: &mut Running<'_>,
        problems: &mut Vec<String>,
    ) -> Vec<PartEnding> {
        let partitions = running.partitions().unwrap_or_default();
        let holds = |name: &str, bytes: &[u8]| {
            let mut all = partitions.iter();
            let at = all
                .find(|partition| partition.name == name)
                .map(|found| found.offset);
            let flash = flash.lock();
            let held = at.and_then(|at| flash.cells().get(at as usize..));
            held.is_some_and(|held| held.starts_with(bytes))
        };
        let slot = running.slot();
        let sounds = running.external(SOUNDS);
        let parts = [
            (tag::APPLICATION, "app", holds(&slot, &self.content.app)),
            (tag::BOOTLOADER, "ssbl", holds("ssbl", &self.content.ssbl)),
            (tag::FACTORY_DATA, "keys", holds("keys", &self.content.keys)),
            (
                SOUNDS,
                "sounds",
                sounds.as_deref() == Some(&self.content.sounds),
            ),
        ];
        let report = running.set().ok().flatten();
        if report.is_none_or(|report| report.state != "undone") {
            problems.push(format!("the device does not say that {BROKEN} was undone"));
        }
        parts
            .map(|(tag, place, whole)| {
                if !whole {
                    problems.push(format!("{place} is not that of {NEW}"));
                }
                PartEnding { tag, place, whole }
            })
            .into()
    }

    /// Whether the server heard of both images.
    pub(super) fn check_known(&self, known: &KnownDevice, problems: &mut Vec<String>) {
        let place = known
            .partitions
            .iter()
            .find(|place| place.name == SET_PLACE);
        if place.and_then(|place| place.sha256.as_ref()) != Some(&self.stayed) {
            problems.push(format!("the server does not know that {NEW} is in place"));
        }
        for (event, sha256) in [("confirmed", &self.stayed), ("rolled-back", &self.undone)] {
            let told = known
                .events
                .iter()
                .filter(|known| known.event == event && known.sha256.as_ref() == Some(sha256));
            let count = told.count();
            if count != 1 {
                problems.push(format!("the server was told {count} times: {event}"));
            }
        }
    }
}

/// Four parts as one: an app, a boot loader, factory data, and sounds in another flash.
pub(super) fn set(stage: &Stage, seed: u64, look: Look, quiet: bool) -> anyhow::Result<Actor> {
    let (old, new) = (Content::of(OLD, seed)?, Content::of(NEW, seed)?);
    // Two of its parts are those that are in place.
    let broken = Content {
        keys: new.keys.clone(),
        sounds: new.sounds.clone(),
        ..Content::of(BROKEN, seed)?
    };
    let published = stage.publish_image(LAMP_KEY, NEW, &new.image(2, NEW)?)?;
    let mut actor = enter(stage, &old, new, published.sha256)?;
    let story = "four parts as one image; the power fails while they are applied";
    let screen = title(look, quiet, actor.name(), story);
    apply_through_a_cut(&mut actor, screen, seed)?;

    let published = stage.publish_image(LAMP_KEY, BROKEN, &broken.image(3, BROKEN)?)?;
    if let Some(parts) = &mut actor.parts {
        parts.undone = published.sha256;
    }
    let story = "two parts are new, and the app does not work: both go back";
    let mut screen = title(look, quiet, actor.name(), story);
    actor.device.set_faults(Faults {
        self_test_fails: true,
        ..Faults::default()
    });
    let settled = super::act::check(&mut actor, screen.as_mut())?;
    if !matches!(settled, Settled::RolledBack { .. }) {
        bail!("{}: expected a way back: {settled:?}", actor.name());
    }
    let mut events = actor.events.iter();
    if !events.any(|event| matches!(event, Event::SetPassedOver { bytes } if *bytes > 30_000)) {
        bail!("{}: fetched what has not changed", actor.name());
    }
    Ok(actor)
}

fn enter(stage: &Stage, old: &Content, new: Content, stayed: String) -> anyhow::Result<Actor> {
    let file = stage.folder().join(format!("{NODE}.flash"));
    let table = csv::compile(TABLE.as_bytes(), &Options::default(), &|_| None)?;
    let size = usize::try_from(FLASH_SIZE)?;
    provision(&file, size, table.binary(), &old.app)?;
    let identity = Identity::new(ORGANIZATION, PROJECT, NODE, LAMP_KEY)?;
    let server: ServerAddress = stage.url().parse()?;
    let mut device = VirtualDevice::open(&file, identity, server.clone())
        .with_context(|| format!("device {NODE}"))?;
    let parts = Parts {
        plan: plan(stage.folder().join(format!("{NODE}.sounds"))),
        content: new,
        stayed,
        undone: String::new(),
    };
    parts.configure(&mut device)?;
    for (at, bytes) in [(0x31_0000, &old.ssbl), (0x32_0000, &old.keys)] {
        device.flash().lock().overwrite(at, bytes)?;
    }
    Ok(Actor {
        device,
        role: Role::Set,
        file,
        server,
        events: Vec::new(),
        data: None,
        parts: Some(parts),
    })
}

/// The power fails when every part is whole where it waits, and some are in place.
fn apply_through_a_cut(
    actor: &mut Actor,
    mut screen: Option<Screen>,
    seed: u64,
) -> anyhow::Result<()> {
    let flash = actor.device.flash().clone();
    let Actor { device, events, .. } = actor;
    let settled = device.check(&mut |event: &Event| {
        observe(events, screen.as_mut(), event);
        if matches!(event, Event::Verifying) {
            // Some 20 operations later the other flash and the keys are done; then the boot loader's 16 sectors are saved, and written.
            let cut = Cut::at_call(60 + seed % 15, CutKind::TornProgram { seed });
            flash.lock().arm(cut);
        }
    })?;
    if settled != Settled::PowerLost {
        bail!("{}: expected a power cut: {settled:?}", actor.name());
    }
    if let Some(screen) = &mut screen {
        screen.note("the power is back");
    }
    update(actor, screen)?;
    let forward = actor
        .events
        .iter()
        .any(|event| matches!(event, Event::SetRecovered { content } if *content == "new"));
    if !forward {
        bail!("{}: the set was not rolled forward", actor.name());
    }
    Ok(())
}
