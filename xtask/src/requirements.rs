//! What the tasks need beyond a Rust toolchain: found, or installed from Debian's packages after saying so.

use std::{
    fs,
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
    /// Debian's packages that have it.
    pub(crate) packages: Vec<&'static str>,
    /// Whether it is on this machine.
    pub(crate) is_met: fn() -> bool,
}

impl Requirement {
    /// `curl`, an HTTP client that is not ours.
    pub(crate) fn curl() -> Self {
        Self {
            what: "curl",
            why: "the server's tests talk to it with an HTTP client that is not ours",
            packages: vec!["curl"],
            is_met: || program("curl").is_some(),
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
    for requirement in &missing {
        println!(
            "  {}: {} (Debian: {})",
            requirement.what,
            requirement.why,
            requirement.packages.join(" ")
        );
    }
    let packages: Vec<&str> = missing
        .iter()
        .flat_map(|requirement| requirement.packages.iter().copied())
        .collect();
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
    install(&packages)?;
    match missing.iter().find(|requirement| !(requirement.is_met)()) {
        Some(requirement) => bail!("{} is still missing after `{by_hand}`", requirement.what),
        None => Ok(()),
    }
}

fn install(packages: &[&str]) -> Result<()> {
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
        .stdin(Stdio::null());
    command
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
