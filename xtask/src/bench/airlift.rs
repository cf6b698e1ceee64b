//! Airlift's own server, as a user starts it: `airlift serve`, then `airlift publish`.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::Stdio,
    thread,
};

use anyhow::{Context, Result};

use super::server::{Process, free_port};
use crate::workspace::{Workspace, output, run};

/// What a device asks for: organization, project, node, key.
pub(super) const PATH: &str = "/ota_update/dev/lotus/esp32-6c5e0e/sht30_d1_mini";

/// A running server with an empty catalog.
#[derive(Debug)]
pub(super) struct Airlift<'a> {
    workspace: &'a Workspace,
    binary: PathBuf,
    pub(super) process: Process,
    pub(super) port: u16,
    pub(super) token: String,
}

impl<'a> Airlift<'a> {
    /// Builds it in release mode and starts it with its data in `folder` and these arguments of `airlift serve`.
    ///
    /// # Errors
    /// Fails if it does not build or start, or prints no token.
    pub(super) fn start(
        workspace: &'a Workspace,
        folder: &Path,
        arguments: &[&str],
    ) -> Result<Self> {
        run(workspace.cargo().args([
            "build",
            "--release",
            "--locked",
            "--package",
            "airlift-cli",
        ]))?;
        let binary = workspace.target.join("release/airlift");
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let log = folder.join("serve.log");

        let port = free_port()?;
        let mut command = Process::command(workspace, &binary);
        command
            .arg("serve")
            .args(arguments)
            .arg("--data")
            .arg(folder.join("data"))
            .args(["--http", &format!("127.0.0.1:{port}")]);
        command.stdout(Stdio::piped()).stderr(File::create(&log)?);
        let mut process = Process::start("airlift serve", &mut command)?;
        let started = process.wait_for(port);
        started.with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
        let token = read_token(&mut process)
            .context("`airlift serve` printed no line `export AIRLIFT_TOKEN=…`")?;
        Ok(Self {
            workspace,
            binary,
            process,
            port,
            token,
        })
    }

    /// Publishes the image for the devices with the key of [`PATH`].
    ///
    /// # Errors
    /// Fails if the server refuses it.
    pub(super) fn publish(&self, image: &Path) -> Result<()> {
        let mut command = self.workspace.command(&self.binary);
        command
            .arg("publish")
            .arg(image)
            .args(["--server", &format!("http://127.0.0.1:{}", self.port)]);
        command.args([
            "--token",
            &self.token,
            "--org",
            "dev",
            "--project",
            "lotus",
            "--key",
            "sht30_d1_mini",
        ]);
        output(command.args(["--version", "2.0.0"]))?;
        Ok(())
    }
}

/// The admin token that the first start prints; whatever else it prints is read and dropped, so that it never waits.
fn read_token(process: &mut Process) -> Option<String> {
    let mut lines = BufReader::new(process.child().stdout.take()?)
        .lines()
        .map_while(Result::ok);
    let token = lines.find_map(|line| Some(line.split_once("AIRLIFT_TOKEN=")?.1.trim().to_owned()));
    thread::spawn(move || lines.for_each(drop));
    token
}
