//! The acts about data: a partition with a backup whose update loses power, and an app with its data, in two steps.

use airlift_sim::client::{
    Event, Faults, Identity, PartitionPlan, Polled, PowerCut, RoomPlan, SchemePlan, Settled,
    VirtualDevice, default_table, provision,
};
use airlift_sim::flash::{Cut, CutKind};
use anyhow::{Context, bail};

use super::act::{PACE, observe, update};
use super::cast::{Actor, FLASH_SIZE, Role};
use super::stage::{KEY, ORGANIZATION, PROJECT, Stage};
use super::{NEW, OLD};
use crate::firmware;
use crate::output::{self, Look};
use crate::screen::Screen;

/// The partition of the first act, and where it lies in the default table.
const STORAGE: &str = "storage";
const STORAGE_AT: u32 = 0x37_0000;
const STORAGE_SIZE: usize = 0x8_c000;
/// The release of the second act.
const MODEL: &str = "model";
/// Devices of the second act are of a kind of their own.
const VOICE_KEY: &str = "voice_esp32";
/// Version of the data.
pub(super) const DATA_VERSION: &str = "7.1";

/// What a device is to hold beside its app.
pub(super) struct Data {
    pub(super) name: &'static str,
    pub(super) bytes: Vec<u8>,
    /// The old content was found in its place, whole, after the power cut.
    pub(super) put_back: Option<bool>,
}

/// How the device of an act is configured: also when it is looked at in the end.
pub(super) fn configure(device: &mut VirtualDevice, role: Role) -> anyhow::Result<()> {
    let plan = PartitionPlan {
        name: STORAGE.to_owned(),
        scheme: SchemePlan::Backup {
            room: RoomPlan::PassiveSlot,
            used: None,
            after_cut: airlift_device::partition::AfterCut::Restore,
        },
    };
    match role {
        Role::BackupCut => device.set_partitions(&[plan], None)?,
        Role::TwoStep => device.set_partitions(&[], Some(MODEL))?,
        _ => {}
    }
    Ok(())
}

fn enter(
    stage: &Stage,
    node: &str,
    key: &str,
    app: &str,
    role: Role,
    data: Data,
) -> anyhow::Result<Actor> {
    let server = stage.url().parse()?;
    let file = stage.folder().join(format!("{node}.flash"));
    let size = FLASH_SIZE as usize;
    provision(&file, size, &default_table(size)?, &stage.image(app)?)?;
    let identity = Identity::new(ORGANIZATION, PROJECT, node, key)?;
    let mut device = VirtualDevice::open(&file, identity, Clone::clone(&server))
        .with_context(|| format!("device {node}"))?;
    configure(&mut device, role)?;
    Ok(Actor {
        device,
        role,
        file,
        server,
        events: Vec::new(),
        data: Some(data),
        parts: None,
    })
}

pub(super) fn title(look: Look, quiet: bool, name: &str, story: &str) -> Option<Screen> {
    (!quiet).then(|| {
        let name = look.bold(&look.name(name));
        output::print(&format!("\n{name}  {}\n", look.bold(story)));
        Screen::new(look, "  ", PACE)
    })
}

/// New data for a partition; the power fails while they are written over the old ones.
pub(super) fn backup(stage: &Stage, seed: u64, look: Look, quiet: bool) -> anyhow::Result<Actor> {
    let old = firmware::noise(STORAGE_SIZE, seed ^ 0x01d);
    let new = firmware::noise(400_000, seed ^ 0x4e3);
    stage.publish_data(KEY, STORAGE, DATA_VERSION, &new)?;
    let data = Data {
        name: STORAGE,
        bytes: new,
        put_back: None,
    };
    let mut actor = enter(stage, "esp32-b4c80a", KEY, NEW, Role::BackupCut, data)?;
    let flash = actor.device.flash().clone();
    flash.lock().overwrite(STORAGE_AT, &old)?;
    actor.device.set_faults(Faults {
        // Some 280 operations copy the old content away, then three write each sector of the new one.
        power_cut: Some(PowerCut::AtOperation(Cut::at_call(
            400 + seed % 100,
            CutKind::TornProgram { seed },
        ))),
        ..Faults::default()
    });
    let story = "new data for a partition; the power fails over the old";
    let mut screen = title(look, quiet, actor.name(), story);
    let settled = super::act::check(&mut actor, screen.as_mut())?;
    if settled != Settled::PowerLost {
        bail!("{}: expected a power cut: {settled:?}", actor.name());
    }
    if let Some(screen) = &mut screen {
        screen.note("the power is back");
    }
    let Actor {
        device,
        events,
        data,
        ..
    } = &mut actor;
    let mut on = |event: &Event| observe(events, screen.as_mut(), event);
    let mut running = device.power_on(&mut on)?.context("no power")?;
    let held = flash
        .lock()
        .cells()
        .get(STORAGE_AT as usize..)
        .map(<[u8]>::to_vec);
    let put_back = held.is_some_and(|held| held.starts_with(&old));
    if let Some(data) = data {
        data.put_back = Some(put_back);
    }
    let polled = running.poll(&mut on)?;
    drop(running);
    if !matches!(polled, Polled::PartitionsUpdated { .. }) {
        bail!("{}: expected an update: {polled:?}", actor.name());
    }
    Ok(actor)
}

/// An app into the other slot, then its data into the slot that the old app left; the power fails in between.
pub(super) fn two_step(stage: &Stage, seed: u64, look: Look, quiet: bool) -> anyhow::Result<Actor> {
    let bytes = firmware::noise(600_000, seed ^ 0x2572);
    stage.publish_data(VOICE_KEY, MODEL, DATA_VERSION, &bytes)?;
    stage.publish_for(VOICE_KEY, NEW)?;
    let data = Data {
        name: MODEL,
        bytes,
        put_back: None,
    };
    let mut actor = enter(stage, "esp32-70e57a", VOICE_KEY, OLD, Role::TwoStep, data)?;
    let story = "an app and its data, in two steps; the power fails between";
    let mut screen = title(look, quiet, actor.name(), story);
    {
        let Actor { device, events, .. } = &mut actor;
        let mut on = |event: &Event| observe(events, screen.as_mut(), event);
        let mut running = device.power_on(&mut on)?.context("no power")?;
        let polled = running.poll(&mut on)?;
        if polled != Polled::Restart {
            bail!("{}: expected a new app: {polled:?}", actor.name());
        }
    }
    actor.device.set_faults(Faults {
        power_cut: Some(PowerCut::AtOperation(Cut::at_call(
            150 + seed % 100,
            CutKind::TornProgram { seed },
        ))),
        ..Faults::default()
    });
    update(&mut actor, screen)?;
    Ok(actor)
}
