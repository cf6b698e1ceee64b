//! What the tasks need beyond a Rust toolchain: found, or installed from Debian's packages or crates.io after saying so.

use std::{
    fmt, fs,
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Result, bail};

use crate::{
    terminal::Style,
    workspace::{program, run, succeeds},
};

/// Something outside of this repository that a task cannot do without.
#[derive(Debug, Clone)]
pub(crate) struct Requirement {
    /// What it is, as a person says it.
    pub(crate) what: &'static str,
    /// What it is needed for.
    pub(crate) why: &'static str,
    /// Where it comes from.
    pub(crate) source: Source,
    /// Whether it is on this machine.
    pub(crate) is_met: fn() -> bool,
}

/// Where a requirement can be installed from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source {
    /// Debian's packages, by root.
    Debian(&'static [&'static str]),
    /// A crate that `cargo install` builds, by anyone.
    CratesIo(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Debian(packages) => write!(f, "Debian: {}", packages.join(" ")),
            Self::CratesIo(name) => write!(f, "crates.io: {name}"),
        }
    }
}

impl Requirement {
    /// `curl`, an HTTP client that is not ours.
    pub(crate) fn curl() -> Self {
        Self {
            what: "curl",
            why: "the server's tests talk to it with an HTTP client that is not ours",
            source: Source::Debian(&["curl"]),
            is_met: || program("curl").is_some(),
        }
    }

    /// `mosquitto_pub`, `mosquitto_sub` and `mosquitto_rr`, MQTT clients that are not ours.
    pub(crate) fn mosquitto_clients() -> Self {
        Self {
            what: "mosquitto_rr",
            why: "the server's tests talk to it with MQTT clients that are not ours",
            source: Source::Debian(&["mosquitto-clients"]),
            is_met: || program("mosquitto_rr").is_some(),
        }
    }
}

/// Finds each requirement or installs it; says what and why first.
///
/// # Errors
/// Fails, naming the packages, where something is missing and this is not Debian or the user is not root.
pub(crate) fn provide(requirements: &[Requirement]) -> Result<()> {
    let mut missing: Vec<&Requirement> = Vec::new();
    for requirement in requirements {
        if !(requirement.is_met)() && !missing.iter().any(|known| known.what == requirement.what) {
            missing.push(requirement);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }

    println!("{}", Style::Heading.paint("Missing on this machine:"));
    let mut packages = Vec::new();
    for Requirement {
        what, why, source, ..
    } in &missing
    {
        println!("  {what}: {why} ({source})");
        if let Source::Debian(names) = source {
            packages.extend_from_slice(names);
        }
    }
    if !packages.is_empty() {
        install_packages(&packages)?;
    }
    for requirement in &missing {
        if let Source::CratesIo(name) = requirement.source {
            run(Command::new("cargo")
                .args(["install", "--locked", name])
                .stdin(Stdio::null()))?;
        }
    }
    match missing.iter().find(|requirement| !(requirement.is_met)()) {
        Some(Requirement { what, source, .. }) => {
            bail!("{what} is still missing though it was installed ({source})")
        }
        None => Ok(()),
    }
}

fn install_packages(packages: &[&str]) -> Result<()> {
    let by_hand = format!("apt-get install {}", packages.join(" "));
    if program("apt-get").is_none() || !Path::new("/etc/debian_version").exists() {
        bail!(
            "this is not Debian: install what is listed above by other means (on Debian: `{by_hand}`), then try again"
        );
    }
    if !is_root() {
        bail!("only root can install packages: run `sudo {by_hand}`, then try again");
    }
    println!("Installing from Debian's packages: {}", packages.join(" "));
    // A fresh machine has no package lists; an old list may name versions that are no longer served.
    let known = succeeds(Command::new("apt-cache").arg("show").args(packages));
    if known && run(&mut install_command(packages)).is_ok() {
        return Ok(());
    }
    run(apt_get().arg("update"))?;
    run(&mut install_command(packages))
}

fn install_command(packages: &[&str]) -> Command {
    let mut command = apt_get();
    command
        .args(["install", "--yes", "--no-install-recommends"])
        .args(packages);
    command
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command
        .arg("--quiet")
        .env("DEBIAN_FRONTEND", "noninteractive")
        // A package's own service, nginx's for example, is not started: single-user mode.
        .env("RUNLEVEL", "1")
        .stdin(Stdio::null());
    command
}

/// Whether this program may install packages.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
