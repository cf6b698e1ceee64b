//! `cargo xtask fuzz`: libFuzzer on each parser for a while.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};

use crate::{
    requirements::{self, Requirement, Source},
    terminal::Style,
    workspace::{Workspace, program, run as run_command},
};

/// The fuzz targets, and the golden vectors that they start from.
const TARGETS: &[(&str, &[&str])] = &[
    (
        "partition_table",
        &["esp/ptable", "esp/ptable_binerr", "esp/ptable_odd"],
    ),
    (
        "partition_csv",
        &["esp/ptable", "esp/ptable_err", "esp/ptable_odd"],
    ),
    ("otadata", &["esp/otadata"]),
    ("app_image", &["esp/app", "esp/signed"]),
    ("data_image", &["esp/app"]),
    ("http_head", &["esp-http"]),
    ("matter_image", &["matter/good", "matter/bad"]),
    ("nxp_payload", &["matter/good", "matter/bad"]),
    ("manifest", &[]),
    ("matter_tlv", &["matter/good", "matter/bad"]),
    ("aws_topic", &[]),
    ("aws_job_document", &["aws/jobdocs"]),
    ("aws_job_message", &["aws/job_messages"]),
    ("aws_stream_json", &["aws/data_json", "aws/requests"]),
    ("aws_stream_cbor", &["aws/data_cbor", "aws/requests"]),
    ("journal", &[]),
];

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Arguments {
    /// How long each target runs
    #[arg(long, value_name = "N", default_value_t = 30)]
    seconds: u32,
    /// Run this target only; can be given several times
    #[arg(value_name = "TARGET", value_parser = clap::builder::PossibleValuesParser::new(TARGETS.iter().map(|(name, _)| name)))]
    targets: Vec<String>,
}

impl Arguments {
    /// Every target for this long.
    pub(crate) fn every_target(seconds: u32) -> Self {
        Self {
            seconds,
            targets: Vec::new(),
        }
    }
}

/// What fuzzing needs.
pub(crate) fn requirements() -> Vec<Requirement> {
    vec![
        Requirement {
            what: "cargo-fuzz",
            why: "it builds and runs the fuzz targets",
            source: Source::CratesIo("cargo-fuzz"),
            is_met: || program("cargo-fuzz").is_some(),
        },
        Requirement {
            what: "a C++ compiler",
            why: "libFuzzer is written in C++",
            source: Source::Debian(&["g++"]),
            is_met: || program("c++").is_some(),
        },
    ]
}

/// Runs the targets one after the other; what libFuzzer finds new is kept in `fuzz/corpus`.
///
/// # Errors
/// Fails if something is missing and cannot be installed, or if an input breaks a property; libFuzzer's output says where
/// the input is kept.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    requirements::provide(&requirements())?;
    for (target, seeds) in TARGETS {
        if arguments.targets.is_empty() || arguments.targets.iter().any(|asked| asked == target) {
            println!("{}", Style::Heading.paint(format!("--- {target}")));
            fuzz(workspace, target, seeds, arguments.seconds)?;
        }
    }
    Ok(())
}

fn fuzz(workspace: &Workspace, target: &str, seeds: &[&str], seconds: u32) -> Result<()> {
    let corpus = workspace.root.join("fuzz/corpus").join(target);
    fs::create_dir_all(&corpus).with_context(|| format!("cannot make {}", corpus.display()))?;
    let golden = workspace.root.join("../shared/golden");
    let seeds: Vec<PathBuf> = seeds
        .iter()
        .map(|folder| golden.join(folder))
        .filter(|folder| folder.is_dir())
        .collect();
    let mut command = workspace.cargo();
    command
        // The sanitizer's flag is not stable; the compiler that is on hand is.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", workspace.target.join("fuzz"))
        .args(["fuzz", "run", "--fuzz-dir", "fuzz", target])
        .arg(corpus)
        .args(seeds)
        .arg("--")
        .arg(format!("-max_total_time={seconds}"))
        .args([
            "-max_len=131072",
            "-rss_limit_mb=2048",
            "-timeout=10",
            "-print_final_stats=1",
            "-verbosity=0",
        ]);
    run_command(&mut command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fuzz_target_of_the_crate_is_run() {
        let manifest = include_str!("../../fuzz/Cargo.toml");
        let declared = manifest.matches("fuzz_targets/").count();
        assert_eq!(declared, TARGETS.len());
        for (name, _) in TARGETS {
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        }
    }
}
