//! The steps of `cargo xtask test`, in the order in which they run: quick ones first, so that a mistake shows early.
//!
//! All but the bare-metal step share one target folder and the dev profile: what clippy and the tests have compiled is not
//! compiled again.

use anyhow::Result;

use super::Step;
use crate::{
    bare_metal, fuzz,
    requirements::Requirement,
    size,
    workspace::{Workspace, program, run},
};

/// Workspaces beside the main one, which `cargo fmt --all` does not reach.
const OTHER_WORKSPACES: [&str; 2] = ["firmware/size", "fuzz"];

/// All steps.
pub(super) const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        what: "the sources are formatted",
        only_in_full: false,
        requirements: Vec::new,
        run: fmt,
    },
    Step {
        name: "clippy",
        what: "no warning from the compiler or clippy",
        only_in_full: false,
        requirements: Vec::new,
        run: clippy,
    },
    Step {
        name: "tests",
        what: "unit, property and integration tests",
        only_in_full: false,
        requirements: || vec![Requirement::curl(), Requirement::mosquitto_clients()],
        run: tests,
    },
    Step {
        name: "fuzz-short",
        what: "what must hold for any input holds for damaged golden vectors",
        only_in_full: false,
        requirements: Vec::new,
        run: fuzz_short,
    },
    Step {
        name: "doctests",
        what: "the examples in the documentation compile and hold",
        only_in_full: false,
        requirements: Vec::new,
        run: doctests,
    },
    Step {
        name: "doc",
        what: "the documentation builds without a warning",
        only_in_full: false,
        requirements: Vec::new,
        run: doc,
    },
    Step {
        name: "size",
        what: "the device crates build for bare metal without an allocator, below their ceilings",
        only_in_full: false,
        requirements: bare_metal::requirements,
        run: |workspace| size::run(workspace, &size::Arguments::default()),
    },
    Step {
        name: "demo",
        what: "airlift demo ends with every device where it should be",
        only_in_full: false,
        requirements: Vec::new,
        run: demo,
    },
    Step {
        name: "power-cuts",
        what: "no promise is broken by a cut at any flash word, in the full form of the table",
        only_in_full: true,
        requirements: Vec::new,
        run: power_cuts,
    },
    Step {
        name: "fuzz",
        what: "libFuzzer finds no input that breaks a parser",
        only_in_full: true,
        requirements: fuzz::requirements,
        run: |workspace| fuzz::run(workspace, &fuzz::Arguments::every_target(60)),
    },
];

fn fmt(workspace: &Workspace) -> Result<()> {
    run(workspace.cargo().args(["fmt", "--all", "--check"]))?;
    for folder in OTHER_WORKSPACES {
        run(workspace
            .cargo()
            .current_dir(workspace.root.join(folder))
            .args(["fmt", "--all", "--check"]))?;
    }
    Ok(())
}

fn clippy(workspace: &Workspace) -> Result<()> {
    run(workspace.cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ]))
}

fn tests(workspace: &Workspace) -> Result<()> {
    if program("cargo-nextest").is_some() {
        run(workspace.cargo().args([
            "nextest",
            "run",
            "--workspace",
            "--locked",
            "--no-fail-fast",
        ]))
    } else {
        run(workspace.cargo().args([
            "test",
            "--workspace",
            "--locked",
            "--all-targets",
            "--no-fail-fast",
        ]))
    }
}

fn doctests(workspace: &Workspace) -> Result<()> {
    run(workspace
        .cargo()
        .args(["test", "--workspace", "--locked", "--doc"]))
}

fn doc(workspace: &Workspace) -> Result<()> {
    let flags = "-D warnings";
    run(workspace.cargo().env("RUSTDOCFLAGS", flags).args([
        "doc",
        "--workspace",
        "--locked",
        "--no-deps",
    ]))
}

fn fuzz_short(workspace: &Workspace) -> Result<()> {
    let mut command = workspace.cargo();
    command.env("CARGO_TARGET_DIR", workspace.target.join("fuzz"));
    run(command.args([
        "test",
        "--manifest-path",
        "fuzz/Cargo.toml",
        "--no-default-features",
        "--tests",
    ]))
}

/// In the dev profile, which the tests have compiled already.
fn demo(workspace: &Workspace) -> Result<()> {
    run(workspace
        .cargo()
        .args(["run", "--locked", "--package", "airlift-cli", "--", "demo"]))
}

/// The short form is one of the tests; this one takes minutes, and so is built to be fast.
fn power_cuts(workspace: &Workspace) -> Result<()> {
    let mut command = workspace.cargo();
    command.env("AIRLIFT_SWEEP", "full");
    run(command.args([
        "test",
        "--release",
        "--locked",
        "--package",
        "airlift-sim",
        "--test",
        "power_cuts",
        "--test",
        "partition_cuts",
        "--test",
        "set_cuts",
    ]))
}
