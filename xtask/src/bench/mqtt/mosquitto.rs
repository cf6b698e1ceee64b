//! mosquitto as a relay between two clients.

use std::{
    fs,
    io::Write,
    path::Path,
    process::Stdio,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::client::{self, Client};
use crate::{
    bench::server::{Process, free_port},
    workspace::{Workspace, program},
};

/// Messages that may be on their way: enough that nobody waits for anybody, and few enough that none is dropped.
const ON_THE_WAY: u64 = 256;

/// A running mosquitto.
#[derive(Debug)]
pub(super) struct Mosquitto {
    pub(super) process: Process,
    pub(super) port: u16,
}

impl Mosquitto {
    /// Starts it without persistence and without a log.
    ///
    /// # Errors
    /// Fails if it does not start.
    pub(super) fn start(workspace: &Workspace, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let port = free_port()?;
        let file = folder.join("mosquitto.conf");
        let user = if crate::requirements::is_root() {
            "user root\n"
        } else {
            ""
        };
        let configuration = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\n{user}persistence false\nlog_dest none\nmax_queued_messages 0\nset_tcp_nodelay true\n"
        );
        fs::write(&file, configuration)?;
        let mosquitto = program("mosquitto").context("mosquitto is not there")?;
        let mut command = Process::command(workspace, &mosquitto);
        command
            .arg("-c")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut process = Process::start("mosquitto", &mut command)?;
        process.wait_for(port)?;
        Ok(Self { process, port })
    }

    /// Messages of this size that it relays in a second from one client to another.
    ///
    /// # Errors
    /// Fails if a connection breaks.
    pub(super) fn relayed(&self, size: usize, time: Duration) -> Result<f64> {
        let mut subscriber = Client::connect(self.port, "subscriber", 1 << 18)?;
        subscriber.subscribe("relay/data")?;
        let publisher = Client::connect(self.port, "publisher", 1 << 10)?;
        let message = client::publish("relay/data", &vec![7; size])?;
        let mut writer = publisher.writer()?;
        let (received, stops) = (AtomicU64::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            let sending = scope.spawn(|| {
                let mut sent = 0;
                while !stops.load(Relaxed) {
                    if sent - received.load(Relaxed) < ON_THE_WAY {
                        writer.write_all(&message)?;
                        sent += 1;
                    } else {
                        thread::yield_now();
                    }
                }
                std::io::Result::Ok(())
            });
            let started = Instant::now();
            while started.elapsed() < time {
                subscriber.receive()?;
                received.fetch_add(1, Relaxed);
            }
            let rate = received.load(Relaxed) as f64 / started.elapsed().as_secs_f64();
            stops.store(true, Relaxed);
            let _ = sending.join();
            Ok(rate)
        })
    }
}
