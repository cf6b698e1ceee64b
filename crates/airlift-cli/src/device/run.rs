//! `airlift device run`: a virtual device that asks a server for updates.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use airlift_formats::esp::app_image::ChipId;
use airlift_sim::client::{
    AddressError, DeviceError, Event, MqttAddress, Polled, SET_PLACE, ServerAddress, Settled,
    VirtualDevice, default_table,
};
use anyhow::bail;

use super::jobs::{self, MqttArgs};
use super::new;
use super::settings::Settings;
use super::web::Desk;
use crate::output::{self, Look};
use crate::screen::Screen;

/// Run a virtual device: it asks the server for updates as an ESP32 does, and installs them into its flash file
///
/// A flash file that does not exist is made, with a built-in app of version 1.0.0. Stopping this program is a power cut for
/// the device: the next start goes on where it was.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Configuration in TOML: what is not said here, and the partitions that are updated (docs/virtual-device.md)
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// The flash file of the device
    #[arg(long, value_name = "FILE", required_unless_present = "config")]
    pub(super) flash: Option<PathBuf>,
    /// Address of the server
    #[arg(
        long,
        value_name = "URL",
        env = "AIRLIFT_SERVER",
        help = "Address of the server [default: http://127.0.0.1:8080]"
    )]
    pub(super) server: Option<Address>,
    /// How the device learns of updates: it asks (http), or is told by jobs (mqtt) [default: what the address says]
    #[arg(long, value_enum)]
    pub(super) protocol: Option<Protocol>,
    /// Organization that the device belongs to
    #[arg(long, value_name = "NAME", required_unless_present_any = ["config", "thing"])]
    pub(super) org: Option<String>,
    /// Project that the device belongs to
    #[arg(long, value_name = "NAME", required_unless_present_any = ["config", "thing"])]
    pub(super) project: Option<String>,
    /// Name of this device
    #[arg(long, value_name = "NODE", required_unless_present_any = ["config", "thing"])]
    pub(super) node: Option<String>,
    /// Kind of device
    #[arg(long, value_name = "KEY", required_unless_present_any = ["config", "thing"])]
    pub(super) key: Option<String>,
    #[command(flatten)]
    pub(super) mqtt: MqttArgs,
    /// Ask once, see the update through if there is one, and exit: 0 if all is well, 1 if not
    #[arg(long)]
    pub(super) once: bool,
    /// Time between two checks [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = output::parse_duration)]
    pub(super) interval: Option<Duration>,
    /// Print each step as a line of JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Chip of a device that is made because its flash file does not exist [default: esp32]
    #[arg(long, value_name = "CHIP")]
    pub(super) chip: Option<ChipId>,
    /// Serve a web page of the device at this address: its state, and updates from an address
    #[arg(long, value_name = "ADDRESS")]
    pub(super) web: Option<SocketAddr>,
    /// Token that starts updates on the web page [default: one is made and printed]
    #[arg(long, value_name = "TOKEN")]
    pub(super) web_token: Option<String>,
    /// Let GET /ota?url= start updates without a token, as the TWO-STEP OTA demo does
    #[arg(long)]
    pub(super) web_compat_get: bool,
    /// Fault: the power fails when this byte of an image has arrived
    #[arg(
        long,
        value_name = "BYTE",
        help_heading = "Faults to try out (each happens once)"
    )]
    pub(super) power_cut_at: Option<u32>,
    /// Fault: the power fails at this operation of the flash, counted from the start of the first download, over restarts
    #[arg(
        long,
        value_name = "NUMBER",
        conflicts_with = "power_cut_at",
        help_heading = "Faults to try out (each happens once)"
    )]
    pub(super) power_cut_at_operation: Option<u64>,
    /// Fault: a bit of this byte of an image flips on the way
    #[arg(
        long,
        value_name = "BYTE",
        help_heading = "Faults to try out (each happens once)"
    )]
    pub(super) flip_byte: Option<u32>,
    /// Fault: the next app that runs on trial finds that it does not work
    #[arg(long, help_heading = "Faults to try out (each happens once)")]
    pub(super) fail_self_test: bool,
}

/// How a device learns of updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Protocol {
    /// It asks, as ESP32 update clients do
    Http,
    /// It is told by AWS IoT Jobs, and fetches blocks of streams
    Mqtt,
}

/// The address of a server, of either kind.
#[derive(Debug, Clone)]
pub(super) enum Address {
    Http(ServerAddress),
    Mqtt(MqttAddress),
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text.split_once("://") {
            Some(("mqtt" | "mqtts", _)) => text.parse().map(Self::Mqtt),
            _ => text.parse().map(Self::Http),
        }
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if jobs::is_meant(args) {
        return jobs::run(args);
    }
    let settings = Settings::of(args)?;
    make_if_new(&settings.flash, settings.chip, settings.json)?;
    let (identity, server) = (settings.identity.clone(), settings.server.clone());
    let mut device = VirtualDevice::open(&settings.flash, identity, server)?;
    settings.apply(&mut device)?;
    let mut observer = observer(settings.json);
    if settings.once {
        let settled = device.check(&mut observer)?;
        drop(observer);
        return outcome(&settled);
    }
    let targets = settings.partitions.iter().map(|plan| plan.name.clone());
    let set = settings.set.as_ref().map(|_| SET_PLACE.to_owned());
    let targets = targets.chain(settings.two_step.clone()).chain(set);
    let targets = targets.collect();
    let desk = Arc::new(Desk::new(&settings.identity.node, targets));
    let web = settings.web.as_ref();
    let _web = web.map(|web| web.start(&desk, settings.json)).transpose()?;
    run_for_ever(&mut device, settings.interval, &desk, &mut |event| {
        desk.note(event);
        observer(event);
    })
}

/// Shows what happens, to people or to programs.
pub(super) fn observer(json: bool) -> impl FnMut(&Event) {
    let mut screen = Screen::new(Look::stdout(), "", Duration::from_millis(8));
    move |event: &Event| {
        if json {
            // The events are plain data: they always have a JSON form.
            let line = serde_json::to_string(event).unwrap_or_default();
            output::print(&format!("{line}\n"));
        } else {
            screen.show(event);
        }
    }
}

/// Makes a device with a built-in app, if there is none.
pub(super) fn make_if_new(flash: &Path, chip: ChipId, json: bool) -> anyhow::Result<()> {
    if flash.exists() {
        return Ok(());
    }
    let table = default_table(new::USUAL_SIZE as usize)?;
    let app = new::built_in(chip)?;
    new::create(flash, new::USUAL_SIZE, &table, &app)?;
    let (flash, version) = (flash.display(), new::BUILT_IN_VERSION);
    output::print(&if json {
        let made =
            serde_json::json!({ "event": "made", "flash": flash.to_string(), "version": version });
        format!("{made}\n")
    } else {
        let size = output::size(new::USUAL_SIZE);
        format!(
            "{flash} did not exist: made a virtual device, {size} of flash, app version {version}\n"
        )
    });
    Ok(())
}

pub(super) fn outcome(settled: &Settled) -> anyhow::Result<()> {
    match settled {
        Settled::UpToDate | Settled::Updated { .. } | Settled::PartitionsUpdated { .. } => Ok(()),
        Settled::RolledBack { version } => {
            bail!("the new image did not confirm itself; version {version} runs again")
        }
        Settled::Refused { reason } => bail!(
            "an image was refused ({reason}) and the server was told; what ran before runs on"
        ),
        Settled::JobFailed { status, reason } => bail!(
            "the job ended as {status} ({reason}) and the server was told; what ran before runs on"
        ),
        Settled::Later { retry_after } => match retry_after {
            Some(seconds) => bail!("the server is busy; try again in {seconds} s"),
            None => bail!("the server is busy; try again later"),
        },
        Settled::Interrupted => {
            bail!("the download broke off; run this again and it goes on where it stopped")
        }
        Settled::PowerLost => {
            bail!("the power failed; run this again and the device goes on where it was")
        }
        other => bail!("the check ended in a way that this program does not know: {other:?}"),
    }
}

fn run_for_ever(
    device: &mut VirtualDevice,
    interval: Duration,
    desk: &Desk,
    observer: &mut dyn FnMut(&Event),
) -> anyhow::Result<()> {
    while !output::reader_is_gone() {
        let Some(mut running) = device.power_on(observer)? else {
            continue;
        };
        running.tell(observer);
        desk.settle(&mut running)?;
        while !output::reader_is_gone() {
            let polled = match desk.take_order() {
                Some(order) => running.obey(&order, observer),
                None => running.poll(observer),
            };
            desk.note_end(&polled);
            let mut wait = interval;
            match polled {
                // An update is at its end when the device has started again.
                Ok(Polled::Restart | Polled::PowerLost) => break,
                Ok(Polled::Later { retry_after }) => {
                    wait = wait.max(Duration::from_secs(retry_after.unwrap_or(0).into()));
                }
                Ok(_) => {}
                Err(error) if error.is_passing() => report_passing(&error, interval),
                Err(error) => return Err(error.into()),
            }
            desk.settle(&mut running)?;
            desk.wait(wait);
        }
    }
    Ok(())
}

pub(super) fn report_passing(error: &DeviceError, interval: Duration) {
    eprintln!("airlift: {error}; trying again in {interval:?}");
}
