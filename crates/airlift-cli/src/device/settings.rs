//! What a virtual device runs with: flags first, then the configuration file, then what is usual.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use airlift_device::notify::esp_http::is_partition_name;
use airlift_formats::esp::app_image::ChipId;
use airlift_sim::client::{
    Faults, Identity, PartitionPlan, PowerCut, ServerAddress, SetPlan, VirtualDevice,
};
use airlift_sim::flash::{Cut, CutKind};
use anyhow::{Context, anyhow, bail};

use super::config::File;
use super::run::{Address, Args};
use super::set;
use super::web::WebSettings;
use crate::output;

const USUAL_SERVER: &str = "http://127.0.0.1:8080";
const USUAL_INTERVAL: Duration = Duration::from_secs(30);

/// All of it, checked as far as it can be without the flash.
pub(super) struct Settings {
    pub(super) flash: PathBuf,
    pub(super) server: ServerAddress,
    pub(super) identity: Identity,
    pub(super) once: bool,
    pub(super) interval: Duration,
    pub(super) json: bool,
    pub(super) chip: ChipId,
    pub(super) faults: Faults,
    pub(super) partitions: Vec<PartitionPlan>,
    pub(super) two_step: Option<String>,
    pub(super) set: Option<SetPlan>,
    pub(super) web: Option<WebSettings>,
    /// Where partitions and data come from, for messages.
    config: Option<PathBuf>,
}

impl Settings {
    pub(super) fn of(args: &Args) -> anyhow::Result<Self> {
        let config = args.config.as_deref();
        let file = config.map(File::read).transpose()?.unwrap_or_default();
        let partitions = config.map_or(Ok(Vec::new()), |path| file.plans(path))?;
        let set = config.map_or(Ok(None), |path| file.set(path))?;
        let in_file = |key: &str, message: &dyn std::fmt::Display| {
            let path = config.unwrap_or(Path::new("")).display();
            anyhow!("{path}: {key}: {message}")
        };
        let needed = |flag: &Option<String>, in_file: &Option<String>, key: &str| {
            flag.clone()
                .or_else(|| in_file.clone())
                .with_context(|| missing(key, config))
        };
        let server = match (&args.server, &file.server) {
            (Some(Address::Http(server)), _) => server.clone(),
            (Some(Address::Mqtt(server)), _) => {
                bail!("{server} is the address of an MQTT server: use --protocol mqtt")
            }
            (None, Some(text)) => text.parse().map_err(|error| in_file("server", &error))?,
            (None, None) => USUAL_SERVER.parse()?,
        };
        let interval = match (args.interval, &file.interval) {
            (Some(interval), _) => interval,
            (None, Some(text)) => {
                output::parse_duration(text).map_err(|error| in_file("interval", &error))?
            }
            (None, None) => USUAL_INTERVAL,
        };
        let chip = match (args.chip, &file.chip) {
            (Some(chip), _) => chip,
            (None, Some(text)) => text.parse().map_err(|error| in_file("chip", &error))?,
            (None, None) => ChipId::ESP32,
        };
        let once = args.once || file.once.unwrap_or(false);
        let address = match (args.web, &file.web) {
            (Some(address), _) => Some(address),
            (None, Some(text)) => {
                let address = text.parse::<SocketAddr>();
                let message = "not an address to listen at: write for example 127.0.0.1:8088";
                Some(address.map_err(|_| in_file("web", &message))?)
            }
            (None, None) => None,
        };
        let web = address.map(|address| WebSettings {
            address,
            token: args.web_token.clone().or_else(|| file.web_token.clone()),
            compat_get: args.web_compat_get || file.web_compat_get.unwrap_or(false),
        });
        if let Some(web) = &web {
            web.check()?;
            anyhow::ensure!(
                !once,
                "a web page and a device that asks only once do not go together: remove --web or --once"
            );
        }
        if let Some(name) = &file.two_step {
            if !is_partition_name(name) {
                let message = "not a name that can be asked for: 1 to 16 of A-Z a-z 0-9 - _ . + :";
                return Err(in_file("two_step", &message));
            }
            if partitions.iter().any(|plan| plan.name == *name) {
                let message = format!("{name:?} is a [[partition]] as well; use another name");
                return Err(in_file("two_step", &message));
            }
        }
        let flash = args.flash.clone().or_else(|| file.flash.clone());
        Ok(Self {
            flash: flash.with_context(|| missing("flash", config))?,
            server,
            identity: Identity::new(
                &needed(&args.org, &file.org, "org")?,
                &needed(&args.project, &file.project, "project")?,
                &needed(&args.node, &file.node, "node")?,
                &needed(&args.key, &file.key, "key")?,
            )?,
            once,
            web,
            interval,
            json: args.json || file.json.unwrap_or(false),
            chip,
            faults: Faults {
                power_cut: power_cut(
                    args.power_cut_at.or(file.power_cut_at),
                    args.power_cut_at_operation.or(file.power_cut_at_operation),
                )?,
                flip_byte: args.flip_byte.or(file.flip_byte),
                self_test_fails: args.fail_self_test || file.fail_self_test.unwrap_or(false),
            },
            partitions,
            two_step: file.two_step,
            set,
            config: args.config.clone(),
        })
    }

    /// Tells the device what it updates.
    pub(super) fn apply(&self, device: &mut VirtualDevice) -> anyhow::Result<()> {
        let path = self.config.as_deref().unwrap_or(Path::new("")).display();
        device
            .set_partitions(&self.partitions, self.two_step.as_deref())
            .map_err(|error| anyhow!("{path}: partition {:?}: {error}", error.partition))?;
        if let (Some(set), Some(config)) = (&self.set, &self.config) {
            set::declare(device, set, config)?;
        }
        device.set_faults(self.faults);
        Ok(())
    }
}

/// At a byte of an image, or at an operation of the flash.
pub(super) fn power_cut(
    byte: Option<u32>,
    operation: Option<u64>,
) -> anyhow::Result<Option<PowerCut>> {
    match (byte, operation) {
        (Some(_), Some(_)) => {
            bail!("the power fails once: give power-cut-at or power-cut-at-operation")
        }
        (Some(byte), None) => Ok(Some(PowerCut::AtByte(byte))),
        (None, operation) => Ok(operation.map(cut_at_operation)),
    }
}

/// A cut that tears what the flash is programming.
pub(super) fn cut_at_operation(at: u64) -> PowerCut {
    PowerCut::AtOperation(Cut::at_call(at, CutKind::TornProgram { seed: at }))
}

fn missing(key: &str, config: Option<&Path>) -> String {
    match config {
        Some(path) => format!(
            "{}: there is no `{key}`; write it there, or use --{key}",
            path.display()
        ),
        None => format!("--{key} is needed"),
    }
}
