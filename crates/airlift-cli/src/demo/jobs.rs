//! The act about jobs: a device over MQTT, as those of AWS IoT, is told of the same release as all others. It checks the image's signature.

use airlift_device::Retry;
use airlift_sim::client::{
    Credentials, Event, Faults, Identity, JobSettings, MqttAddress, PowerCut, Settled,
    VirtualDevice, default_table, provision,
};
use anyhow::{Context, bail};

use super::act::observe;
use super::cast::{Actor, FLASH_SIZE, Role};
use super::data::title;
use super::stage::{KEY, ORGANIZATION, PROJECT, Stage};
use super::{NEW, OLD};
use crate::output::Look;
use crate::signing::Key;

/// More rounds than the story has.
const MAX_ROUNDS: usize = 4;

/// A new version by a job; the power fails in the middle of the blocks.
pub(super) fn jobs(stage: &Stage, seed: u64, look: Look, quiet: bool) -> anyhow::Result<Actor> {
    let node = "esp32-3c71bf";
    let key = Key::of_seed(seed)?;
    stage.publish_signed_for(node, NEW, &key)?;

    let server = stage.url().parse()?;
    let file = stage.folder().join(format!("{node}.flash"));
    let size = FLASH_SIZE as usize;
    provision(&file, size, &default_table(size)?, &stage.image(OLD)?)?;
    let identity = Identity::new(ORGANIZATION, PROJECT, node, KEY)?;
    let mut device = VirtualDevice::open(&file, identity, Clone::clone(&server))
        .with_context(|| format!("device {node}"))?;
    device.set_faults(Faults {
        power_cut: Some(PowerCut::AtByte(600_000 + (seed % 100_000) as u32)),
        ..Faults::default()
    });
    let settings = JobSettings {
        server: stage.mqtt()?,
        thing: node.to_owned(),
        credentials: Credentials::default(),
        block_size: 4096,
        window: 8,
        json_blocks: false,
        like_c_library: false,
        keys: Some(vec![key.public_point()]),
        retry: Retry::default(),
    };
    let mut actor = Actor {
        device,
        role: Role::Jobs,
        file,
        server,
        events: Vec::new(),
        data: None,
        parts: None,
    };
    let story = "a job over MQTT, as AWS IoT has them, and a power cut";
    let mut screen = title(look, quiet, actor.name(), story);
    for _ in 0..MAX_ROUNDS {
        let Actor { device, events, .. } = &mut actor;
        let worked = device.work(&settings, &mut |event: &Event| {
            observe(events, screen.as_mut(), event);
        });
        match worked.with_context(|| format!("device {node}"))? {
            Settled::Updated { .. } => return Ok(actor),
            Settled::PowerLost => {
                if let Some(screen) = &mut screen {
                    screen.note("the power is back");
                }
            }
            other => bail!("{node}: did not expect this: {other:?}"),
        }
    }
    bail!("{node}: still not at {NEW} after {MAX_ROUNDS} rounds")
}

impl Stage {
    fn mqtt(&self) -> anyhow::Result<MqttAddress> {
        let address = self.server().mqtt_addr();
        let address = address.context("the server does not listen for MQTT")?;
        Ok(format!("mqtt://{address}").parse()?)
    }
}
