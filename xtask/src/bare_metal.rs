//! Building for targets without an operating system, with whatever compiler this machine has for them.
//!
//! In this order: the target's prebuilt `core` in the toolchain that runs this program (`rustup target add`); that
//! toolchain with the standard library's source (`rustup component add rust-src`); Debian's `rustc-web`, `cargo-web` and
//! `rust-web-src`, for machines that cannot download from rustup's servers. The last two build `core` themselves.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{
    requirements::{self, Requirement},
    workspace::{Workspace, output, program},
};

/// The targets that the device side is built for: the two instruction sets that most microcontrollers have.
pub(crate) const TARGETS: [&str; 2] = ["thumbv7m-none-eabi", "riscv32imac-unknown-none-elf"];

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_SOURCE: &str = "/usr/lib/rustlib/src/rust/library/core/src/lib.rs";

/// The oldest compiler that builds the crates: `rust-version` of the workspace.
const OLDEST: (u32, u32) = (1, 94);

/// What the bare-metal builds need.
pub(crate) fn requirements() -> Vec<Requirement> {
    vec![
        Requirement {
            what: "a Rust toolchain for bare metal",
            why: "the device crates are built without an operating system and an allocator; \
                  `rustup target add` of both targets would do as well",
            source: requirements::Source::Debian(&["rustc-web", "cargo-web", "rust-web-src"]),
            is_met: || TARGETS.iter().all(|target| Source::find(target).is_some()),
        },
        Requirement {
            what: "the linker lld",
            why: "it links the bare-metal programs whose size is measured; rustup's toolchains have it as rust-lld",
            source: requirements::Source::Debian(&["lld"]),
            is_met: || linker().is_some(),
        },
    ]
}

/// A compiler for one target.
#[derive(Debug)]
pub(crate) struct Toolchain {
    source: Source,
    target: &'static str,
}

/// Where the target's `core` comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// Prebuilt, in the toolchain that runs this program.
    Prebuilt,
    /// Built from the source in the toolchain that runs this program.
    RustSrc,
    /// Built by Debian's compiler from Debian's source.
    Debian,
}

impl Source {
    fn find(target: &str) -> Option<Self> {
        let in_sysroot = |path: &str| {
            sysroot().is_some_and(|sysroot| sysroot.join("lib/rustlib").join(path).exists())
        };
        if in_sysroot(&format!("{target}/lib")) {
            Some(Self::Prebuilt)
        } else if in_sysroot("src/rust/library/core/src/lib.rs") {
            Some(Self::RustSrc)
        } else if Path::new(DEBIAN_CARGO).exists()
            && Path::new(DEBIAN_SOURCE).exists()
            && output(Command::new(DEBIAN_RUSTC).arg("--version"))
                .is_ok_and(|line| version(&line) >= Some(OLDEST))
        {
            Some(Self::Debian)
        } else {
            None
        }
    }
}

impl Toolchain {
    /// Finds or installs a compiler for `target`.
    ///
    /// # Errors
    /// Fails if there is none and none can be installed; the message names the packages.
    pub(crate) fn provide(target: &'static str) -> Result<Self> {
        requirements::provide(&requirements())?;
        let source = Source::find(target).with_context(|| format!("no compiler for {target}"))?;
        Ok(Self { source, target })
    }

    /// What the compiler calls itself, for example `rustc 1.96.0`.
    ///
    /// # Errors
    /// Fails if the compiler cannot be started.
    pub(crate) fn compiler(&self) -> Result<String> {
        let rustc = match self.source {
            Source::Debian => DEBIAN_RUSTC,
            Source::Prebuilt | Source::RustSrc => "rustc",
        };
        let line = output(Command::new(rustc).arg("--version"))?;
        Ok(line.split(" (").next().unwrap_or(&line).to_owned())
    }

    /// `cargo build --target …` with this compiler, in `folder`, built into a part of the workspace's target folder.
    pub(crate) fn build(&self, workspace: &Workspace, folder: &str) -> Command {
        let mut command = match self.source {
            Source::Debian => workspace.command(DEBIAN_CARGO),
            Source::Prebuilt | Source::RustSrc => workspace.cargo(),
        };
        command.current_dir(workspace.root.join(folder));
        command
            .args(["build", "--target", self.target, "--target-dir"])
            .arg(target_folder(workspace));
        if self.source == Source::Debian {
            command.env("RUSTC", DEBIAN_RUSTC);
        }
        if self.source != Source::Prebuilt {
            // The flag is not stable; the compilers that are on hand are. `core` only: a crate that needs `alloc` fails.
            command.arg("-Zbuild-std=core").env("RUSTC_BOOTSTRAP", "1");
        }
        if let Some(linker) = linker() {
            let name = self.target.to_uppercase().replace('-', "_");
            command.env(format!("CARGO_TARGET_{name}_LINKER"), linker);
        }
        command
    }

    /// The file of a program that [`Toolchain::build`] has built with `--release`.
    pub(crate) fn program(&self, workspace: &Workspace, name: &str) -> PathBuf {
        target_folder(workspace)
            .join(self.target)
            .join("release")
            .join(name)
    }
}

fn target_folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("bare-metal")
}

fn sysroot() -> Option<PathBuf> {
    output(Command::new("rustc").args(["--print", "sysroot"]))
        .ok()
        .map(PathBuf::from)
}

/// `rust-lld` of the toolchain, otherwise Debian's `ld.lld`.
fn linker() -> Option<PathBuf> {
    let hosts = fs::read_dir(sysroot()?.join("lib/rustlib")).ok()?;
    let in_toolchain = hosts
        .filter_map(Result::ok)
        .map(|host| host.path().join("bin/rust-lld"))
        .find(|file| file.is_file());
    in_toolchain.or_else(|| program("ld.lld"))
}

/// Major and minor of a line like `rustc 1.96.0 (ac68faa20 2026-05-25)`.
fn version(line: &str) -> Option<(u32, u32)> {
    let mut numbers = line
        .split_whitespace()
        .nth(1)?
        .split('.')
        .map_while(|number| number.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_s_version_is_read_from_its_own_words() {
        assert_eq!(
            version("rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)"),
            Some((1, 96))
        );
        assert_eq!(
            version("rustc 1.97.0-nightly (e50aa6fba 2026-05-19)"),
            Some((1, 97))
        );
        assert_eq!(version("error: no rustc"), None);
    }

    #[test]
    fn the_oldest_compiler_is_the_one_that_the_workspace_states() {
        let manifest = include_str!("../../Cargo.toml");
        assert!(manifest.contains(&format!("rust-version = \"{}.{}\"", OLDEST.0, OLDEST.1)));
    }
}
