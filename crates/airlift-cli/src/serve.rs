//! `airlift serve`: the update server, until it is told to stop.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use airlift_server::{Config, RunningServer, Server, StartError};
use anyhow::Context;

use crate::output::{self, Look};
use crate::stop::Stop;

/// Run the update server
///
/// Everything is kept in one folder. The first start makes it and prints an admin token, once: with it firmware is
/// published and devices are looked at. Stop the server with Ctrl-C; what it acknowledged is on disk.
///
/// The environment variable `RUST_LOG` sets what is logged on standard error (default: info).
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder of the database and the images; made at the first start
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Address and port where devices, tools and people connect; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    http: SocketAddr,
    /// Largest image that may be published, for example 4MB
    #[arg(long, value_name = "SIZE", default_value = "16MB", value_parser = output::parse_size)]
    max_image_size: u64,
    /// Address and port where devices connect over MQTT without TLS [default: 127.0.0.1:1883, if that is free]
    #[arg(long, value_name = "ADDRESS")]
    mqtt: Option<SocketAddr>,
    /// Do not listen for MQTT without TLS
    #[arg(long, conflicts_with_all = ["mqtt", "mqtt_anonymous"])]
    no_mqtt: bool,
    /// Address and port where devices connect over MQTT with TLS, for example 0.0.0.0:8883
    #[arg(long, value_name = "ADDRESS")]
    mqtts: Option<SocketAddr>,
    /// Host name or address by which devices know this server over TLS; may be repeated [default: the address, the name of this
    /// machine, localhost]
    #[arg(long = "mqtts-name", value_name = "NAME", requires = "mqtts")]
    mqtts_names: Vec<String>,
    /// Let clients in over MQTT that prove nothing, on a loopback address: the client identifier is the name of a thing
    /// [default: of default/default]
    #[arg(
        long,
        value_name = "ORG/PROJECT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "default/default",
        value_parser = parse_place
    )]
    mqtt_anonymous: Option<(String, String)>,
}

/// Where MQTT is listened for when nothing is said.
const MQTT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1883);

fn parse_place(text: &str) -> Result<(String, String), String> {
    let place = text
        .split_once('/')
        .filter(|(_, project)| !project.contains('/'));
    let (organization, project) = place.ok_or_else(|| {
        format!("{text:?} is not an organization and a project: write ORG/PROJECT")
    })?;
    Ok((organization.to_owned(), project.to_owned()))
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    crate::log_to_stderr("info");
    raise_descriptor_limit();
    let runtime = tokio::runtime::Runtime::new().context("cannot start threads")?;
    runtime.block_on(serve(args))
}

/// A connection is a descriptor, and systems allow 1024 unless they are asked for more.
fn raise_descriptor_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "the limit of open files cannot be raised");
        }
    }
}

/// Starts the server. The default port of MQTT may be somebody else's, which is no reason not to serve the rest.
async fn start(args: &Args) -> Result<RunningServer, StartError> {
    let config = |mqtt| {
        let mut config = Config::new(&args.data, args.http);
        config.max_image_size = args.max_image_size;
        config.mqtt.plain = mqtt;
        config.mqtt.tls = args.mqtts;
        config.mqtt.tls_names.clone_from(&args.mqtts_names);
        config.mqtt.anonymous.clone_from(&args.mqtt_anonymous);
        config
    };
    let mqtt = match args.mqtt {
        None if args.no_mqtt => None,
        asked => Some(asked.unwrap_or(MQTT)),
    };
    let started = Server::start(config(mqtt)).await;
    let is_wanted = args.mqtt.is_some() || args.mqtt_anonymous.is_some();
    match started {
        Err(StartError::Listen { address, .. }) if address == MQTT && !is_wanted => {
            Server::start(config(None)).await
        }
        started => started,
    }
}

async fn serve(args: &Args) -> anyhow::Result<()> {
    let look = Look::stdout();
    // Before anything is announced: a signal that comes right after must not be lost.
    let mut stop = Stop::listen().context("cannot listen for signals")?;
    let server = start(args).await?;
    let url = format!("http://{}", server.local_addr());

    let mut text = format!(
        "{} {}\n  data     {}\n  address  {}\n",
        look.bold("Airlift server"),
        env!("CARGO_PKG_VERSION"),
        args.data.display(),
        look.name(&url),
    );
    match server.mqtt_addr() {
        Some(address) => {
            text += &format!("  mqtt     {}\n", look.name(&format!("mqtt://{address}")));
        }
        None if args.no_mqtt => {}
        None => {
            let why = format!("{MQTT} is in use; give another address with --mqtt");
            text += &format!("  mqtt     {}: {why}\n", look.warn("off"));
        }
    }
    if let Some(address) = server.mqtts_addr() {
        text += &format!("  mqtts    {}\n", look.name(&format!("mqtts://{address}")));
    }
    if let Some((organization, project)) = &args.mqtt_anonymous {
        text += &format!(
            "  {}\n",
            look.warn(&format!(
                "MQTT clients on this machine need no proof: they are things of {organization}/{project}"
            ))
        );
    }
    if let Some(token) = &server.admin_token() {
        text += &format!(
            "\n{}\n  {}\n\nNext, publish a firmware for the devices with the key sht30_d1_mini:\n  {}\n  {}\n",
            look.bold("Admin token, shown only now: keep it"),
            look.warn(token),
            look.name(&format!("export AIRLIFT_TOKEN={token}")),
            look.name(&format!(
                "airlift publish FILE --server {url} --org dev --project lotus --key sht30_d1_mini --version 1.2.0"
            )),
        );
    }
    text += &format!("\n{}\n", look.dim("Press Ctrl-C to stop."));
    output::print(&text);
    if let Some(token) = server.admin_token().filter(|_| output::reader_is_gone()) {
        // It is shown once and kept nowhere: better in the log than lost.
        eprintln!(
            "airlift: standard output cannot be written; the admin token, shown only now: {token}"
        );
    }

    stop.wait().await;
    tracing::info!("stopping: finishing the requests under way");
    server.shutdown().await;
    Ok(())
}
