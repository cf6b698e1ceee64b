//! `airlift device run --protocol mqtt`: a virtual device that is told by jobs what to do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use airlift_device::Retry;
use airlift_formats::esp::app_image::ChipId;
use airlift_sim::client::{
    Credentials, Faults, JobEnd, JobSettings, MqttAddress, VirtualDevice, Worked,
};
use anyhow::{Context as _, anyhow, bail, ensure};
use p256::elliptic_curve::sec1::ToEncodedPoint as _;
use p256::pkcs8::DecodePublicKey as _;

use super::config::File;
use super::run::{self, Address, Args, Protocol};
use super::{set, settings};
use crate::output;

/// How long the device listens for jobs before it looks whether somebody is still there to see it.
const LISTEN: Duration = Duration::from_secs(5 * 60);

/// What only `--protocol mqtt` knows.
#[derive(clap::Args)]
#[command(next_help_heading = "Over MQTT, as AWS IoT has it")]
pub(super) struct MqttArgs {
    /// Name of the device at the MQTT server
    #[arg(long, value_name = "NAME")]
    pub(super) thing: Option<String>,
    /// Bytes in a block of an image: 256 to 131072
    #[arg(long, value_name = "BYTES", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(256..=131_072))]
    block_size: u32,
    /// Blocks that are on their way at once, at most 128 KiB
    #[arg(long, value_name = "BLOCKS", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=32))]
    window: u32,
    /// Let blocks come in JSON instead of CBOR
    #[arg(long)]
    json_blocks: bool,
    /// Ask byte for byte as the C library of AWS does: one block at a time
    #[arg(long)]
    like_c_library: bool,
    /// How long to wait for an answer before asking again; the wait doubles each time [default: 5s]
    #[arg(long, value_name = "TIME", value_parser = output::parse_duration)]
    patience: Option<Duration>,
    /// Public key (P-256, PEM) that images must be signed with; twice, while one key takes the place of another [default: no signature is looked at]
    #[arg(long, value_name = "KEY.pem")]
    trust: Vec<PathBuf>,
    /// Certificate of the device, for mqtts://
    #[arg(long, value_name = "CERT.pem", requires = "key_file")]
    cert: Option<PathBuf>,
    /// Private key to that
    #[arg(long, value_name = "KEY.pem", requires = "cert")]
    key_file: Option<PathBuf>,
    /// Certificates of those who say which server is the right one, for mqtts://
    #[arg(long, value_name = "CA.pem")]
    ca: Option<PathBuf>,
    /// User name, for a server that wants one
    #[arg(long, value_name = "NAME", requires = "password")]
    user: Option<String>,
    /// Password to that
    #[arg(
        long,
        value_name = "PASSWORD",
        env = "AIRLIFT_DEVICE_PASSWORD",
        hide_env_values = true,
        requires = "user"
    )]
    password: Option<String>,
}

/// Whether the device is told by jobs what to do.
pub(super) fn is_meant(args: &Args) -> bool {
    args.protocol == Some(Protocol::Mqtt) || matches!(args.server, Some(Address::Mqtt(_)))
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let settings = job_settings(args)?;
    let config = args.config.as_deref();
    let file = config.map(File::read).transpose()?.unwrap_or_default();
    let flash = args.flash.clone().or_else(|| file.flash.clone());
    let flash = flash.context("--flash is needed")?;
    if settings.keys.is_none() {
        eprintln!(
            "airlift: no key is trusted (--trust KEY.pem): images are taken whoever signed them, or nobody"
        );
    }
    let json = args.json || file.json.unwrap_or(false);
    run::make_if_new(&flash, args.chip.unwrap_or(ChipId::ESP32), json)?;
    let mut device = VirtualDevice::open_offline(&flash)?;
    if let Some(config) = config {
        declare_set(&mut device, &file, config)?;
    }
    device.set_does_jobs();
    device.set_faults(Faults {
        power_cut: settings::power_cut(
            args.power_cut_at.or(file.power_cut_at),
            args.power_cut_at_operation.or(file.power_cut_at_operation),
        )?,
        flip_byte: args.flip_byte.or(file.flip_byte),
        self_test_fails: args.fail_self_test || file.fail_self_test.unwrap_or(false),
    });
    let mut observer = run::observer(json);
    if args.once || file.once.unwrap_or(false) {
        let settled = device.work(&settings, &mut observer)?;
        drop(observer);
        return run::outcome(&settled);
    }
    let pause = args.interval.unwrap_or(Duration::from_secs(5));
    while !output::reader_is_gone() {
        let Some(mut running) = device.power_on(&mut observer)? else {
            continue;
        };
        while !output::reader_is_gone() {
            match running.work(&settings, Some(LISTEN), &mut observer) {
                Ok(Worked::Restart | Worked::PowerLost) => break,
                Ok(Worked::NoJob(end)) => note_failure(end.as_ref()),
                Ok(_) => {}
                Err(error) if error.is_passing() => {
                    run::report_passing(&error, pause);
                    std::thread::sleep(pause);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

fn note_failure(end: Option<&JobEnd>) {
    if let Some(end) = end.filter(|end| end.status != "SUCCEEDED") {
        eprintln!("airlift: the job ended as {} ({})", end.status, end.reason);
    }
}

fn declare_set(device: &mut VirtualDevice, file: &File, config: &Path) -> anyhow::Result<()> {
    match file.set(config)? {
        Some(plan) => set::declare(device, &plan, config),
        None => Ok(()),
    }
}

fn job_settings(args: &Args) -> anyhow::Result<JobSettings> {
    let mqtt = &args.mqtt;
    let server: MqttAddress = match &args.server {
        Some(Address::Mqtt(server)) => server.clone(),
        Some(Address::Http(server)) => {
            bail!("--protocol mqtt needs an mqtt:// or mqtts:// address, not {server}")
        }
        None => "mqtt://127.0.0.1:1883".parse()?,
    };
    ensure!(
        args.protocol != Some(Protocol::Http),
        "{server} is the address of an MQTT server: use --protocol mqtt, or an http:// address"
    );
    ensure!(
        server.is_tls() || (mqtt.cert.is_none() && mqtt.ca.is_none()),
        "--cert and --ca are for encrypted connections: use an mqtts:// address"
    );
    let keys = mqtt.trust.iter().map(|path| public_key(path));
    let keys = keys.collect::<anyhow::Result<Vec<_>>>()?;
    Ok(JobSettings {
        server,
        thing: mqtt
            .thing
            .clone()
            .context("--thing is needed: the name of the device at the MQTT server")?,
        credentials: Credentials {
            certificate: mqtt.cert.clone().zip(mqtt.key_file.clone()),
            ca: mqtt.ca.clone(),
            login: mqtt.user.clone().zip(mqtt.password.clone()),
        },
        block_size: mqtt.block_size,
        window: mqtt.window,
        json_blocks: mqtt.json_blocks,
        like_c_library: mqtt.like_c_library,
        keys: Some(keys).filter(|keys| !keys.is_empty()),
        retry: retry(mqtt.patience),
    })
}

fn retry(patience: Option<Duration>) -> Retry {
    let usual = Retry::default();
    let Some(patience) = patience else {
        return usual;
    };
    let first = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
    let first = first.clamp(1, 60 * 60 * 1000);
    Retry {
        first,
        longest: first.saturating_mul(usual.longest / usual.first),
        ..usual
    }
}

/// The point of a public key in PEM, as SEC 1 has it.
fn public_key(path: &Path) -> anyhow::Result<Vec<u8>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let key = p256::PublicKey::from_public_key_pem(&text).map_err(|error| {
        anyhow!(
            "{}: not a public key for P-256 in PEM; make it from the private one with `openssl ec -in KEY.pem -pubout` ({error})",
            path.display()
        )
    })?;
    Ok(key.to_encoded_point(false).as_bytes().to_vec())
}
