//! `cargo xtask bench http`: Airlift's server beside nginx, under the requests of an ESP32.
//!
//! Both serve the same app image on loopback ports of the same machine. The loads take turns in every round, so that
//! whatever else the machine does hits all of them alike; the table has the median and the spread. The processor time that each server
//! spends on a request, in user and in kernel mode, says where the rest of the time goes.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};

use super::{
    airlift::{self, Airlift},
    median,
    server::CpuTime,
    sorted,
};
use crate::{
    requirements::{self, Requirement, Source},
    terminal::{Style, Table},
    workspace::{Workspace, program},
};

mod app_image;
mod client;
mod nginx;
mod wrk;

use nginx::Nginx;
use wrk::Sample;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How often each load is applied
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long each load is applied every time
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
}

/// Length of the image that is downloaded: 1 MiB.
const IMAGE_LEN: usize = 1 << 20;

/// The subjects of the table.
const CHECK: &str = "update check, answer 304";
const CLOSE: &str = "the same, a connection each";
const DOWNLOAD: &str = "1 MiB download";

/// The name of our rows.
const OURS: &str = "airlift";

/// What an ESP32 sends with an update check, apart from the MD5 of what it runs.
const HEADERS: &[(&str, &str)] = &[
    ("User-Agent", "ESP32-http-Update"),
    ("Cache-Control", "no-cache"),
    ("x-ESP32-BASE-MAC", "24:0A:C4:6C:5E:0E"),
    ("x-ESP32-STA-MAC", "24:0A:C4:6C:5E:0E"),
    ("x-ESP32-AP-MAC", "24:0A:C4:6C:5E:0F"),
    ("x-ESP32-free-space", "1966080"),
    ("x-ESP32-sketch-size", "1048576"),
    ("x-ESP32-chip-size", "4194304"),
    ("x-ESP32-sdk-version", "v5.3.2"),
    ("x-ESP32-mode", "sketch"),
    ("x-ESP32-version", "1.0.0"),
];

/// What the benchmark needs.
fn requirements() -> Vec<Requirement> {
    vec![
        Requirement {
            what: "nginx",
            why: "the peer that the server is compared with",
            source: Source::Debian(&["nginx-light"]),
            is_met: || program("nginx").is_some(),
        },
        Requirement {
            what: "wrk",
            why: "the client that applies the load",
            source: Source::Debian(&["wrk"]),
            is_met: || program("wrk").is_some(),
        },
    ]
}

/// Starts both servers, applies the loads and prints the table.
///
/// # Errors
/// Fails if a server cannot be started, or answers otherwise than with the status that the load is about.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    requirements::provide(&requirements())?;
    let folder = workspace.target.join("bench-http");
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot empty {}", folder.display()));
        }
        _ => fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?,
    }
    let image = folder.join("firmware.bin");
    app_image::write(&image, IMAGE_LEN)?;

    let airlift = Airlift::start(workspace, &folder.join("airlift"), &["--no-mqtt"])?;
    airlift.publish(&image)?;
    let nginx = Nginx::start(workspace, &folder.join("nginx"), &image)?;
    let loads = loads(&folder, &airlift, &nginx)?;

    let runs = u32::try_from(loads.len())? * arguments.rounds;
    let time = runs * (arguments.seconds + 1);
    println!(
        "{runs} runs of {} s, about {time} s in all: wrk -t1 -c{}",
        arguments.seconds,
        wrk::CONNECTIONS
    );
    let mut samples: Vec<Vec<Measured>> = loads.iter().map(|_| Vec::new()).collect();
    for round in 1..=arguments.rounds {
        println!(
            "{}",
            Style::Quiet.paint(format!("round {round} of {}", arguments.rounds))
        );
        for (load, samples) in loads.iter().zip(&mut samples) {
            let (before, before_client) = (load.server.cpu_time()?, CpuTime::of_ended_children()?);
            let sample = wrk::run(
                workspace,
                load,
                Duration::from_secs(arguments.seconds.into()),
            )?;
            samples.push(Measured {
                sample,
                server: load.server.cpu_time()? - before,
                client: CpuTime::of_ended_children()? - before_client,
            });
        }
    }
    report(&loads, &samples);
    Ok(())
}

/// One kind of request to one server.
struct Load<'a> {
    /// What is asked for: rows with the same subject are compared.
    subject: &'static str,
    server: &'a dyn Server,
    /// Which server this is and what it is configured to do.
    name: &'static str,
    path: &'static str,
    /// Fields beside [`HEADERS`].
    fields: Vec<Field>,
    /// The script that makes wrk send them.
    script: PathBuf,
}

/// A header field: name and value.
type Field = (&'static str, String);

impl<'a> Load<'a> {
    fn new(
        subject: &'static str,
        server: &'a dyn Server,
        name: &'static str,
        path: &'static str,
        fields: Vec<Field>,
    ) -> Self {
        Self {
            subject,
            server,
            name,
            path,
            fields,
            script: PathBuf::new(),
        }
    }

    /// Length of the body that must come; none with a 304.
    fn body_len(&self) -> Option<usize> {
        (self.subject == DOWNLOAD).then_some(IMAGE_LEN)
    }

    /// Sends the request once and looks at the whole answer.
    fn check(&self) -> Result<()> {
        let status = if self.body_len().is_some() { 200 } else { 304 };
        client::get(self.server.port(), self.path, &fields(&self.fields))?
            .expect(status, self.body_len())
    }
}

/// A server under load.
trait Server {
    /// Its port on 127.0.0.1.
    fn port(&self) -> u16;

    /// The processor time that it has used since it was started.
    fn cpu_time(&self) -> Result<CpuTime>;
}

impl Server for Airlift<'_> {
    fn port(&self) -> u16 {
        self.port
    }

    fn cpu_time(&self) -> Result<CpuTime> {
        self.process.cpu_time()
    }
}

/// One application of a load.
struct Measured {
    sample: Sample,
    server: CpuTime,
    client: CpuTime,
}

impl Measured {
    /// Microseconds a request.
    fn each(&self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e6 / self.sample.requests as f64
    }
}

/// Asks each server once, checks the answer, and writes wrk's scripts.
fn loads<'a>(folder: &Path, airlift: &'a Airlift<'_>, nginx: &'a Nginx) -> Result<Vec<Load<'a>>> {
    let old = [(
        "x-ESP32-sketch-md5",
        "8d5197091f2414a028367fe6f4594518".to_owned(),
    )];
    let offer = client::get(airlift.port(), airlift::PATH, &fields(&old))?;
    offer.expect(200, Some(IMAGE_LEN))?;
    let md5 = offer
        .field("x-md5")
        .context("the server offers an image without x-MD5")?
        .to_owned();
    let same = [("x-ESP32-sketch-md5", md5)];
    let file = client::get(nginx.port(), nginx::IMAGE, &fields(&old))?;
    file.expect(200, Some(IMAGE_LEN))?;
    let tag = file
        .field("etag")
        .context("nginx sends no ETag")?
        .to_owned();
    let known = [("If-None-Match", tag)];

    let closing = |fields: &[Field]| [fields, &[("Connection", "close".to_owned())]].concat();

    let nginx_file = "nginx conditional file";
    let mut loads = vec![
        Load::new(CHECK, airlift, OURS, airlift::PATH, same.to_vec()),
        Load::new(
            CHECK,
            nginx,
            "nginx return 304",
            nginx::RETURN_304,
            same.to_vec(),
        ),
        Load::new(
            CHECK,
            nginx,
            nginx_file,
            nginx::IMAGE,
            [same.as_slice(), &known].concat(),
        ),
        Load::new(CLOSE, airlift, OURS, airlift::PATH, closing(&same)),
        Load::new(
            CLOSE,
            nginx,
            "nginx return 304",
            nginx::RETURN_304,
            closing(&same),
        ),
        Load::new(DOWNLOAD, airlift, OURS, airlift::PATH, old.to_vec()),
        Load::new(
            DOWNLOAD,
            nginx,
            "nginx static file",
            nginx::IMAGE,
            old.to_vec(),
        ),
    ];
    for (number, load) in loads.iter_mut().enumerate() {
        let (subject, name) = (load.subject, load.name);
        load.check().with_context(|| format!("{subject}: {name}"))?;
        load.script = folder.join(format!("load{number}.lua"));
        fs::write(&load.script, wrk::script(load.path, &fields(&load.fields)))
            .with_context(|| format!("cannot write {}", load.script.display()))?;
    }
    Ok(loads)
}

/// The fields of a request: those of every ESP32, then its own.
fn fields(own: &[Field]) -> Vec<(&str, &str)> {
    let own = own.iter().map(|(name, value)| (*name, value.as_str()));
    HEADERS.iter().copied().chain(own).collect()
}

fn report(loads: &[Load<'_>], samples: &[Vec<Measured>]) {
    let titles = [
        "",
        "requests/s",
        "spread",
        "p50 ms",
        "p99 ms",
        "user",
        "kernel",
        "client",
        "waiting",
        "airlift is",
    ];
    let processors = std::thread::available_parallelism().map_or(1.0, |count| count.get() as f64);
    let mut table = Table::new(titles);
    let mut subject = "";
    let mut ours = 0.0;
    for (load, measured) in loads.iter().zip(samples) {
        if load.subject != subject {
            subject = load.subject;
            table.row(vec![subject.to_owned()]);
        }
        let rates = sorted(measured.iter().map(|run| run.sample.per_second()));
        let rate = median(&rates);
        let is_airlift = load.name == OURS;
        if is_airlift {
            ours = rate;
        }
        let of = |value: &dyn Fn(&Measured) -> f64| median(&sorted(measured.iter().map(value)));
        let passes = |run: &Measured| processors * 1e6 / run.sample.per_second();
        let used = |run: &Measured| run.each(run.server.total() + run.client.total());
        table.row(vec![
            format!("  {}", load.name),
            format!("{rate:.0}"),
            format!(
                "{:.0} to {:.0}",
                rates.first().unwrap_or(&0.0),
                rates.last().unwrap_or(&0.0)
            ),
            format!("{:.2}", of(&|run| run.sample.p50_ms)),
            format!("{:.2}", of(&|run| run.sample.p99_ms)),
            format!("{:.1}", of(&|run| run.each(run.server.user))),
            format!("{:.1}", of(&|run| run.each(run.server.kernel))),
            format!("{:.1}", of(&|run| run.each(run.client.total()))),
            format!("{:.1}", of(&|run| (passes(run) - used(run)).max(0.0))),
            if is_airlift {
                String::new()
            } else {
                format!("{:.2} of it", ours / rate)
            },
        ]);
    }
    let rounds = samples.first().map_or(0, Vec::len);
    println!("\n{table}");
    println!(
        "Medians of {rounds} runs. Where the time goes, in microseconds of a processor a request: user and kernel are the"
    );
    println!(
        "server's, client is wrk's; waiting is what the {processors} processors had left or gave to other programs."
    );
}
