//! nginx as its documentation says to set it up for static files, without an access log.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use super::Server;
use crate::{
    bench::server::{CpuTime, Process, free_port},
    requirements::is_root,
    workspace::{Workspace, program},
};

/// Where the image is: with a matching `If-None-Match` the answer is 304.
pub(super) const IMAGE: &str = "/firmware.bin";
/// A location that answers 304 to everything: the fastest that nginx can be.
pub(super) const RETURN_304: &str = "/not-modified";

/// A running nginx.
#[derive(Debug)]
pub(super) struct Nginx {
    process: Process,
    port: u16,
}

impl Nginx {
    /// Starts it over a copy of the image in `folder`.
    ///
    /// # Errors
    /// Fails if it does not start.
    pub(super) fn start(workspace: &Workspace, folder: &Path, image: &Path) -> Result<Self> {
        let root = folder.join("root");
        fs::create_dir_all(&root).with_context(|| format!("cannot make {}", root.display()))?;
        fs::copy(image, root.join(IMAGE.trim_start_matches('/')))?;
        let port = free_port()?;
        let file = folder.join("nginx.conf");
        fs::write(&file, configuration(port, &root.display().to_string()))?;

        let nginx = program("nginx").context("nginx is not there")?;
        let mut command = Process::command(workspace, &nginx);
        command
            .arg("-p")
            .arg(folder)
            .arg("-c")
            .arg(&file)
            .args(["-e", "error.log"]);
        let mut process = Process::start("nginx", &mut command)?;
        process.wait_for(port)?;
        Ok(Self { process, port })
    }
}

impl Server for Nginx {
    fn port(&self) -> u16 {
        self.port
    }

    fn cpu_time(&self) -> Result<CpuTime> {
        self.process.cpu_time()
    }
}

fn configuration(port: u16, root: &str) -> String {
    // Started by root, the workers would be another user's, who may not read the folder.
    let user = if is_root() { "user root;" } else { "" };
    format!(
        "daemon off;
{user}
worker_processes auto;
pid nginx.pid;
error_log error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000000;
    open_file_cache max=16;
    client_body_temp_path temp; proxy_temp_path temp; fastcgi_temp_path temp; uwsgi_temp_path temp; scgi_temp_path temp;
    server {{
        listen 127.0.0.1:{port};
        root {root};
        location = {RETURN_304} {{ return 304; }}
    }}
}}
"
    )
}
