//! The devices of the demo, and what will happen to each.

use std::path::PathBuf;

use airlift_sim::client::{
    Event, Faults, Identity, PowerCut, ServerAddress, VirtualDevice, default_table, provision,
};
use airlift_sim::flash::{Cut, CutKind};
use anyhow::Context;
use serde::Serialize;

use super::OLD;
use super::data::Data;
use super::set::Parts;
use super::stage::{KEY, ORGANIZATION, PROJECT, Stage};

/// Size of a device's flash.
pub(super) const FLASH_SIZE: u64 = 4 << 20;

/// What happens to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Role {
    /// Nothing special.
    Ordinary,
    /// It loses power in the middle of the download.
    PowerCut,
    /// A bit of the image flips on the way to it.
    CorruptedImage,
    /// A partition is updated with a backup, and the power fails.
    BackupCut,
    /// An app and its data, and the power fails in between.
    TwoStep,
    /// Several parts as one: through a power cut, and back from an app that does not work.
    Set,
    /// A job over MQTT, and the power fails between blocks.
    Jobs,
}

/// One device, and its story so far.
pub(super) struct Actor {
    pub(super) device: VirtualDevice,
    pub(super) role: Role,
    pub(super) file: PathBuf,
    pub(super) server: ServerAddress,
    pub(super) events: Vec<Event>,
    pub(super) data: Option<Data>,
    pub(super) parts: Option<Parts>,
}

impl Actor {
    pub(super) fn name(&self) -> &str {
        &self.device.identity().node
    }
}

/// Makes the devices: each a flash file with version 1.0.0, as it leaves the factory.
pub(super) fn enter(stage: &Stage, devices: u16, seed: u64) -> anyhow::Result<Vec<Actor>> {
    let server: ServerAddress = stage.url().parse()?;
    let table = default_table(FLASH_SIZE as usize)?;
    let app = stage.image(OLD)?;
    let mut cast = Vec::new();
    for number in 0..devices {
        // Odd, so that no two numbers give the same name.
        let serial = (0x0085_ea2b + u32::from(number) * 0x0003_1415) & 0x00ff_ffff;
        let node = format!("esp32-{serial:06x}");
        let file = stage.folder().join(format!("{node}.flash"));
        provision(&file, FLASH_SIZE as usize, &table, &app)?;
        let identity = Identity::new(ORGANIZATION, PROJECT, &node, KEY)?;
        let mut device = VirtualDevice::open(&file, identity, server.clone())
            .with_context(|| format!("device {node}"))?;
        let role = role(number, devices);
        device.set_faults(faults(role, seed));
        cast.push(Actor {
            device,
            role,
            file,
            server: server.clone(),
            events: Vec::new(),
            data: None,
            parts: None,
        });
    }
    Ok(cast)
}

/// With one device, it is the power cut that is shown; with two, the corrupted image as well.
fn role(number: u16, devices: u16) -> Role {
    match (number, devices) {
        (0, 1 | 2) | (1, 3..) => Role::PowerCut,
        (1, 2) | (2, _) => Role::CorruptedImage,
        _ => Role::Ordinary,
    }
}

fn faults(role: Role, seed: u64) -> Faults {
    match role {
        // The acts about data, sets and jobs bring theirs.
        Role::Ordinary | Role::BackupCut | Role::TwoStep | Role::Set | Role::Jobs => {
            Faults::default()
        }
        Role::PowerCut => Faults {
            // Of the operations of a download of 1 MiB, three for each sector of 4 KiB, one around the middle.
            power_cut: Some(PowerCut::AtOperation(Cut::at_call(
                380 + seed % 100,
                CutKind::TornProgram { seed },
            ))),
            ..Faults::default()
        },
        Role::CorruptedImage => Faults {
            flip_byte: Some(500_000 + (seed % 100_000) as u32),
            ..Faults::default()
        },
    }
}
