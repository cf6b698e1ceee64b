//! `cargo xtask bench mqtt`: the MQTT door beside mosquitto.
//!
//! A file is fetched in blocks, with so many requests on their way; beside it, mosquitto relays messages of the same size from one
//! client to another, which is what a service behind a broker would be bound by. The two take turns in every round. Then the same
//! through a delay, where the window decides; the memory of devices that only listen; and a thousand downloads at once.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    path::Path,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{airlift::Airlift, median, server::free_port, sorted};
use crate::{
    requirements::{self, Requirement, Source},
    terminal::{Style, Table},
    workspace::{Workspace, program},
};

mod client;
mod delay;
mod mosquitto;

use client::Client;
use mosquitto::Mosquitto;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How often each rate is taken
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long each time, in seconds
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// How many idle devices are connected
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=18_000))]
    idle: u32,
}

/// Length of a block.
const BLOCK: usize = 4096;
/// What stands around a block: topic, CBOR.
const AROUND: usize = 26;
/// Length of the file that is fetched again and again.
const FILE: usize = 4 << 20;
/// Length of the file that a thousand devices fetch at once.
const SMALL_FILE: usize = 256 << 10;
/// How many devices do that.
const FLEET: usize = 1000;
/// Requests on their way.
const WINDOWS: [usize; 3] = [1, 4, 16];
/// The way there, or back.
const ONE_WAY: Duration = Duration::from_millis(25);

fn requirements() -> Vec<Requirement> {
    vec![Requirement {
        what: "mosquitto",
        why: "the peer that the server is compared with",
        source: Source::Debian(&["mosquitto"]),
        is_met: || program("mosquitto").is_some(),
    }]
}

/// Starts both servers, measures and prints the tables.
///
/// # Errors
/// Fails if a server cannot be started, or answers otherwise than it must.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    requirements::provide(&requirements())?;
    let folder = workspace.target.join("bench-mqtt");
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot empty {}", folder.display()));
        }
        _ => {}
    }
    throughput(workspace, &folder, arguments)?;
    idle(workspace, &folder, arguments.idle)?;
    fleet(workspace, &folder)
}

/// A server, and where it listens for MQTT.
fn server<'a>(workspace: &'a Workspace, folder: &Path) -> Result<(Airlift<'a>, u16)> {
    let port = free_port()?;
    let address = format!("127.0.0.1:{port}");
    let arguments = ["--mqtt", &address, "--mqtt-anonymous"];
    let airlift = Airlift::start(workspace, folder, &arguments)?;
    Ok((airlift, port))
}

fn throughput(workspace: &Workspace, folder: &Path, arguments: &Arguments) -> Result<()> {
    let (airlift, port) = server(workspace, &folder.join("airlift"))?;
    let mosquitto = Mosquitto::start(workspace, &folder.join("mosquitto"))?;
    drop(Client::connect(port, "dev-1", 1 << 10)?);
    give_file(&airlift, "bench", &["dev-1".to_owned()], FILE)?;
    let slow = delay::listen(port, ONE_WAY)?;
    let time = Duration::from_secs(arguments.seconds.into());

    let mut near = vec![Vec::new(); WINDOWS.len()];
    let mut relay = Vec::new();
    let mut far = vec![Vec::new(); WINDOWS.len()];
    for round in 1..=arguments.rounds {
        println!(
            "{}",
            Style::Quiet.paint(format!("round {round} of {}", arguments.rounds))
        );
        relay.push(mosquitto.relayed(BLOCK + AROUND, time)?);
        for (rates, window) in near.iter_mut().zip(WINDOWS) {
            rates.push(blocks(port, "dev-1", window, time)?);
        }
        for (rates, window) in far.iter_mut().zip(WINDOWS) {
            rates.push(blocks(slow, "dev-1", window, time)?);
        }
    }

    let mut table = Table::new(["", "messages/s", "spread", "MB/s", "airlift is"]);
    table.row(vec!["4 KiB blocks, loopback".into()]);
    let relay = sorted(relay.into_iter());
    row(&mut table, "mosquitto, relaying", &relay, String::new());
    for (rates, window) in near.into_iter().zip(WINDOWS) {
        let rates = sorted(rates.into_iter());
        let ratio = format!("{:.2} of it", median(&rates) / median(&relay));
        row(
            &mut table,
            &format!("airlift, window {window}"),
            &rates,
            ratio,
        );
    }
    table.row(vec!["the same with 50 ms there and back".into()]);
    let mut single = f64::NAN;
    for (rates, window) in far.into_iter().zip(WINDOWS) {
        let rates = sorted(rates.into_iter());
        if window == 1 {
            single = median(&rates);
        }
        let ratio = format!("{:.1} of window 1", median(&rates) / single);
        row(
            &mut table,
            &format!("airlift, window {window}"),
            &rates,
            ratio,
        );
    }
    println!("\n{table}");
    println!(
        "Medians of {} runs of {} s.\n",
        arguments.rounds, arguments.seconds
    );
    Ok(())
}

fn row(table: &mut Table, name: &str, rates: &[f64], ratio: String) {
    let (low, high) = (rates.first().unwrap_or(&0.0), rates.last().unwrap_or(&0.0));
    table.row(vec![
        format!("  {name}"),
        format!("{:.0}", median(rates)),
        format!("{low:.0} to {high:.0}"),
        format!("{:.1}", median(rates) * BLOCK as f64 / 1e6),
        ratio,
    ]);
}

/// Blocks a second, with so many requests on their way.
fn blocks(port: u16, thing: &str, window: usize, time: Duration) -> Result<f64> {
    let mut client = Client::connect(port, thing, 1 << 18)?;
    let stream = stream_of_next(&mut client, thing)?;
    let mut next = 0;
    let mut request = || {
        let bytes = get(thing, &stream, next);
        next = (next + 1) % (FILE / BLOCK);
        bytes
    };
    for _ in 0..window {
        client.send(&request()?)?;
    }
    let (started, mut received) = (Instant::now(), 0_u64);
    while started.elapsed() < time {
        let length = client.receive()?.len();
        ensure!(length > BLOCK, "an answer without a block");
        received += 1;
        client.send(&request()?)?;
    }
    Ok(received as f64 / started.elapsed().as_secs_f64())
}

/// The request for one block.
fn get(thing: &str, stream: &str, block: usize) -> Result<Vec<u8>> {
    // {"c": "rdy", "f": 0, "l": 4096, "o": block, "n": 1}
    let mut payload = b"\xa5\x61c\x63rdy\x61f\x00\x61l\x19\x10\x00\x61o\x19".to_vec();
    payload.extend_from_slice(&u16::try_from(block)?.to_be_bytes());
    payload.extend_from_slice(b"\x61n\x01");
    client::publish(
        &format!("$aws/things/{thing}/streams/{stream}/get/cbor"),
        &payload,
    )
}

/// Starts the next job, and says which stream its file comes in.
fn stream_of_next(client: &mut Client, thing: &str) -> Result<String> {
    let topic = format!("$aws/things/{thing}/jobs/start-next");
    client.send(&client::publish(&topic, b"{}")?)?;
    let answer = String::from_utf8_lossy(client.receive()?).into_owned();
    let (_, rest) = answer
        .split_once("\"streamname\":\"")
        .with_context(|| format!("no stream in {answer}"))?;
    Ok(rest.split('"').next().unwrap_or_default().to_owned())
}

fn idle(workspace: &Workspace, folder: &Path, count: u32) -> Result<()> {
    let (airlift, port) = server(workspace, &folder.join("idle"))?;
    let mosquitto = Mosquitto::start(workspace, &folder.join("idle-mosquitto"))?;
    let mut table = Table::new(["", "connected", "bytes a device", "MB in all"]);
    for (name, process, port) in [
        ("mosquitto", &mosquitto.process, mosquitto.port),
        ("airlift", &airlift.process, port),
    ] {
        // What the first ones make a server set up is not theirs alone.
        let mut clients = connect(port, 0..100)?;
        let before = process.memory()?;
        clients.extend(connect(port, 100..100 + count)?);
        // What was used on the way in is given back.
        thread::sleep(Duration::from_secs(3));
        let after = process.memory()?;
        table.row(vec![
            format!("  {name}"),
            count.to_string(),
            (after.saturating_sub(before) / u64::from(count)).to_string(),
            format!("{:.1}", after as f64 / 1e6),
        ]);
    }
    println!("{table}");
    println!(
        "Each device has subscribed to its next job. With airlift it is a thing in the database and the registry, too.\n"
    );
    Ok(())
}

fn connect(port: u16, numbers: std::ops::Range<u32>) -> Result<Vec<Client>> {
    let connect = |number| {
        let name = format!("idle-{number}");
        let mut client = Client::connect(port, &name, 64)?;
        client.subscribe(&format!("$aws/things/{name}/jobs/notify-next"))?;
        Ok(client)
    };
    numbers.map(connect).collect()
}

fn fleet(workspace: &Workspace, folder: &Path) -> Result<()> {
    let (airlift, port) = server(workspace, &folder.join("fleet"))?;
    let names: Vec<String> = (0..FLEET).map(|number| format!("node-{number}")).collect();
    for name in &names {
        drop(Client::connect(port, name, 64)?);
    }
    give_file(&airlift, "fleet", &names, SMALL_FILE)?;
    let before = airlift.process.memory()?;
    let begin = Barrier::new(FLEET + 1);
    let (time, most) = thread::scope(|scope| {
        let devices: Vec<_> = names
            .iter()
            .map(|name| {
                let begin = &begin;
                let device = thread::Builder::new().stack_size(128 << 10);
                device.spawn_scoped(scope, move || {
                    let client = Client::connect(port, name, 8 << 10);
                    begin.wait();
                    download(client?, name)
                })
            })
            .collect::<std::io::Result<_>>()?;
        begin.wait();
        let started = Instant::now();
        let mut most = 0;
        for device in devices {
            while !device.is_finished() {
                most = most.max(airlift.process.memory()?);
                thread::sleep(Duration::from_millis(20));
            }
            let received = device
                .join()
                .map_err(|_| anyhow::anyhow!("a device has panicked"))??;
            ensure!(
                received == SMALL_FILE / BLOCK,
                "a device has {received} blocks"
            );
        }
        anyhow::Ok((started.elapsed(), most))
    })?;
    let all = (FLEET * SMALL_FILE) as f64;
    println!(
        "{FLEET} devices at once, 256 KiB each, window 4: {:.1} s, {:.0} MB/s; {:.1} MB of memory more at most",
        time.as_secs_f64(),
        all / 1e6 / time.as_secs_f64(),
        most.saturating_sub(before) as f64 / 1e6
    );
    Ok(())
}

/// Fetches the file of the next job; how many blocks came.
fn download(mut client: Client, thing: &str) -> Result<usize> {
    let stream = stream_of_next(&mut client, thing)?;
    let blocks = SMALL_FILE / BLOCK;
    for block in 0..4 {
        client.send(&get(thing, &stream, block)?)?;
    }
    for received in 0..blocks {
        ensure!(client.receive()?.len() > BLOCK, "an answer without a block");
        if received + 4 < blocks {
            client.send(&get(thing, &stream, received + 4)?)?;
        }
    }
    Ok(blocks)
}

/// Makes a job with a file, of these things.
fn give_file(airlift: &Airlift<'_>, job: &str, things: &[String], size: usize) -> Result<()> {
    let file: Vec<u8> = (0..size).map(|at| (at / 5 % 251) as u8).collect();
    let place = "/api/v1/organizations/default";
    let uploaded = post(airlift, &format!("{place}/files"), &file)?;
    let (_, digest) = uploaded
        .split_once("\"sha256\":\"")
        .with_context(|| format!("no digest in {uploaded}"))?;
    let digest = digest.split('"').next().unwrap_or_default();
    let body = format!(
        "{{\"job_id\":\"{job}\",\"things\":[\"{}\"],\"files\":[{{\"sha256\":\"{digest}\",\"path\":\"firmware.bin\"}}]}}",
        things.join("\",\"")
    );
    post(airlift, &format!("{place}/jobs"), body.as_bytes()).map(drop)
}

/// The body of the answer.
fn post(airlift: &Airlift<'_>, path: &str, body: &[u8]) -> Result<String> {
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, airlift.port))?;
    write!(
        connection,
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        airlift.token,
        body.len()
    )?;
    connection.write_all(body)?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 201"), "POST {path}: {answer}");
    Ok(answer)
}
