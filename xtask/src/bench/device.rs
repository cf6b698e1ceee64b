//! `cargo xtask bench device`: instructions a byte through the whole pipeline of the device, counted and not timed.
//!
//! `crates/airlift-sim/examples/pipeline.rs` takes an image from the first byte of the HTTP answer to an armed boot
//! selection, under valgrind's callgrind, which counts the instructions of each function: the same number in every run,
//! whatever else the machine does. It runs with two sizes; the difference is what a byte costs, without what an update costs.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::profile::Profile;
use crate::{
    requirements::{self, Requirement, Source},
    terminal::{Style, Table},
    workspace::{Workspace, output, program, run as run_command},
};

/// Sizes of the two images, in KiB.
const SIZES: [u32; 2] = [256, 512];

/// The two digests that the device can be built with, and the features that choose them.
const DIGESTS: [(&str, &[&str]); 2] = [
    ("fast SHA-256", &[]),
    ("compact SHA-256", &["--features", "airlift-device/compact"]),
];

/// What the table tells apart: a title, and what the names of its functions contain. The first that matches counts.
const PARTS: [(&str, &[&str]); 4] = [
    ("digest", &["sha2::", "digest::", "block_buffer::"]),
    ("image check", &["esp::app_image"]),
    (
        "flash and copying",
        &[
            "memcpy",
            "memset",
            "memmove",
            "MemoryFlash",
            "copy_from_slice",
        ],
    ),
    ("HTTP, journal, engine and what is inlined", &[""]),
];

/// What the benchmark needs.
fn requirements() -> Vec<Requirement> {
    vec![Requirement {
        what: "valgrind",
        why: "it counts the instructions of the device's pipeline",
        source: Source::Debian(&["valgrind"]),
        is_met: || program("valgrind").is_some(),
    }]
}

/// Counts and prints the table.
///
/// # Errors
/// Fails if valgrind is missing and cannot be installed, or if the pipeline does not build or run.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    requirements::provide(&requirements())?;
    let mut table = Table::new(["instructions a byte of the image", "each", "share", ""]);
    for (digest, features) in DIGESTS {
        let costs =
            count(workspace, features).with_context(|| format!("pipeline with {digest}"))?;
        let total: f64 = costs.iter().sum();
        table.row(vec![
            digest.to_owned(),
            format!("{total:.1}"),
            "100.0 %".to_owned(),
            String::new(),
        ]);
        for ((part, _), cost) in PARTS.iter().zip(costs) {
            let share = 100.0 * cost / total;
            table.row(vec![
                format!("  {part}"),
                format!("{cost:.1}"),
                format!("{share:.1} %"),
                String::new(),
            ]);
        }
    }
    println!(
        "\n{}",
        Style::Heading.paint(
            "Device: HTTP answer, download, verification, install (x86-64, no SHA instructions)"
        )
    );
    println!("{table}");
    println!(
        "The digest runs twice: over the bytes on their way, and over what the flash gives back. To beat: sha2 0.10 alone,"
    );
    println!("once, on thumbv7m: 56 instructions a byte, 69 compact.");
    Ok(())
}

/// Instructions a byte of each of [`PARTS`].
fn count(workspace: &Workspace, features: &[&str]) -> Result<[f64; PARTS.len()]> {
    let mut build = workspace.cargo();
    build.args([
        "build",
        "--release",
        "--locked",
        "--package",
        "airlift-sim",
        "--example",
        "pipeline",
    ]);
    run_command(build.args(features))?;
    let pipeline = workspace.target.join("release/examples/pipeline");
    let [small, large] = SIZES.map(|kib| profile(workspace, &pipeline, kib));
    let ((small, fewer), (large, more)) = (small?, large?);
    let bytes = (more - fewer) as f64;
    let mut costs = [0.0; PARTS.len()];
    for (part, cost) in costs.iter_mut().enumerate() {
        *cost = (of_part(&large, part) as f64 - of_part(&small, part) as f64) / bytes;
    }
    Ok(costs)
}

/// Runs the pipeline under callgrind; the second value is the length of the image in bytes.
fn profile(workspace: &Workspace, pipeline: &Path, kib: u32) -> Result<(Profile, u64)> {
    let file: PathBuf = workspace.target.join(format!("callgrind.{kib}"));
    let mut command = workspace.command("valgrind");
    command.args([
        "--quiet",
        "--tool=callgrind",
        "--collect-atstart=no",
        "--toggle-collect=*measured_update*",
    ]);
    command
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(pipeline)
        .arg(kib.to_string());
    let printed = output(&mut command)?;
    let image = printed
        .strip_prefix("image ")
        .and_then(|rest| rest.split(' ').next()?.parse().ok());
    let image = image.with_context(|| format!("the pipeline printed something else: {printed}"))?;
    Ok((Profile::read(&file)?, image))
}

fn of_part(profile: &Profile, part: usize) -> u64 {
    let belongs = |name: &str| {
        PARTS
            .iter()
            .position(|(_, marks)| marks.iter().any(|mark| name.contains(mark)))
    };
    profile
        .functions()
        .filter(|(name, _)| belongs(name) == Some(part))
        .map(|(_, cost)| cost)
        .sum()
}
