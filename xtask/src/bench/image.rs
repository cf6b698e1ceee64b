//! `cargo xtask bench image`: a Matter OTA image through container parsing and digest, against plain SHA-256 of the same bytes.
//!
//! `crates/airlift-formats/examples/matter_image.rs` reads an image with ten parts in blocks of 1024 bytes. Timed, the ways take turns
//! in one process; counted, callgrind gives the instructions of each: the same number in every run. It counts two sizes; the difference is
//! what a byte costs.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::profile::Profile;
use crate::{
    requirements::{self, Requirement, Source},
    terminal::{Style, Table},
    workspace::{Workspace, output, program, run as run_command},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How often each way takes its turn
    #[arg(long, value_name = "N", default_value_t = 51, value_parser = clap::value_parser!(u32).range(5..=10_000))]
    rounds: u32,
}

/// The ways of the example in its order, and what they are; the first is what the others are compared with.
const WAYS: [(&str, &str); 4] = [
    ("plain", "SHA-256 alone"),
    ("pieces", "the same, cut as the payload is"),
    ("image", "header, sizes and digest"),
    ("parts", "and the parts inside"),
];

/// Sizes of the images whose instructions are counted, in KiB.
const SIZES: [u32; 2] = [256, 512];

/// What the benchmark needs.
fn requirements() -> Vec<Requirement> {
    vec![Requirement {
        what: "valgrind",
        why: "it counts the instructions a byte",
        source: Source::Debian(&["valgrind"]),
        is_met: || program("valgrind").is_some(),
    }]
}

/// Times, counts and prints the table.
///
/// # Errors
/// Fails if valgrind is missing and cannot be installed, or if the example does not build or run.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    requirements::provide(&requirements())?;
    let mut build = workspace.cargo();
    build.args([
        "build",
        "--release",
        "--locked",
        "--package",
        "airlift-formats",
    ]);
    run_command(build.args(["--example", "matter_image"]))?;
    let example = workspace.target.join("release/examples/matter_image");

    let times = time(workspace, &example, arguments.rounds)?;
    let mut table = Table::new([
        "a Matter OTA image",
        "MB/s",
        "spread",
        "of SHA-256 alone",
        "instructions a byte",
        "",
    ]);
    for (way, (name, title)) in WAYS.iter().enumerate() {
        let instructions = count(workspace, &example, name)?;
        let (low, speed, high) = times.speed(way);
        table.row(vec![
            (*title).to_owned(),
            format!("{speed:.0}"),
            format!("{low:.0} to {high:.0}"),
            format!("{:.3}", times.ratio(way)),
            format!("{instructions:.2}"),
            String::new(),
        ]);
    }
    println!(
        "\n{}",
        Style::Heading.paint("Blocks of 1024 bytes; times: with SHA instructions if there are any; instructions: without")
    );
    println!("{table}");
    println!("The ratio is the median over the rounds of the ratio within a round.");
    Ok(())
}

/// Nanoseconds of each way in each round.
struct Times {
    bytes: f64,
    rounds: Vec<[f64; WAYS.len()]>,
}

impl Times {
    /// Megabytes a second: lower quartile, median, upper quartile.
    fn speed(&self, way: usize) -> (f64, f64, f64) {
        let speeds = self
            .rounds
            .iter()
            .map(|round| 1000.0 * self.bytes / round[way]);
        let sorted = sorted(speeds.collect());
        let at = |part: usize| sorted[(sorted.len() - 1) * part / 4];
        (at(1), at(2), at(3))
    }

    /// Speed of a way, as a part of the first one's.
    fn ratio(&self, way: usize) -> f64 {
        let sorted = sorted(
            self.rounds
                .iter()
                .map(|round| round[0] / round[way])
                .collect(),
        );
        sorted[sorted.len() / 2]
    }
}

fn sorted(mut numbers: Vec<f64>) -> Vec<f64> {
    numbers.sort_by(f64::total_cmp);
    numbers
}

fn time(workspace: &Workspace, example: &Path, rounds: u32) -> Result<Times> {
    let mut command = workspace.command(example);
    let printed = output(command.arg("time").arg(rounds.to_string()))?;
    let mut lines = printed.lines();
    let bytes = lines.next().and_then(image_len);
    let round = |line: &str| -> Option<[f64; WAYS.len()]> {
        let numbers: Option<Vec<f64>> = line.split(' ').map(|number| number.parse().ok()).collect();
        numbers?.try_into().ok()
    };
    let rounds: Option<Vec<_>> = lines.map(round).collect();
    match (bytes, rounds) {
        (Some(bytes), Some(rounds)) if !rounds.is_empty() => Ok(Times {
            bytes: bytes as f64,
            rounds,
        }),
        _ => anyhow::bail!("the example printed something else: {printed}"),
    }
}

fn image_len(line: &str) -> Option<u64> {
    line.trim().strip_prefix("image ")?.parse().ok()
}

/// Instructions a byte of a way.
fn count(workspace: &Workspace, example: &Path, way: &str) -> Result<f64> {
    let mut totals = [(0, 0); SIZES.len()];
    for (total, kib) in totals.iter_mut().zip(SIZES) {
        let file: PathBuf = workspace.target.join(format!("callgrind.{way}.{kib}"));
        let mut command = workspace.command("valgrind");
        command.args(["--quiet", "--tool=callgrind", "--collect-atstart=no"]);
        command
            .arg(format!("--toggle-collect=*measured_{way}*"))
            .arg(format!("--callgrind-out-file={}", file.display()))
            .arg(example)
            .args([way, &kib.to_string()]);
        let printed = output(&mut command)?;
        let bytes = image_len(&printed)
            .with_context(|| format!("the example printed something else: {printed}"))?;
        let instructions = Profile::read(&file)?
            .functions()
            .map(|(_, cost)| cost)
            .sum();
        *total = (bytes, instructions);
    }
    let [(fewer, small), (more, large)] = totals;
    Ok((large - small) as f64 / (more - fewer) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_taken_within_a_round() {
        let times = Times {
            bytes: 1000.0,
            rounds: vec![
                [100.0, 200.0, 1.0, 1.0],
                [1000.0, 1250.0, 1.0, 1.0],
                [10.0, 11.0, 1.0, 1.0],
            ],
        };
        assert!((times.ratio(0) - 1.0).abs() < 1e-9);
        assert!((times.ratio(1) - 0.8).abs() < 1e-9);
        assert!((times.speed(0).1 - 10_000.0).abs() < 1e-6);
        assert_eq!(image_len("image 12\n"), Some(12));
    }
}
