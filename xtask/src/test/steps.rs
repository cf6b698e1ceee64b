//! The steps of `cargo xtask test`, in the order in which they run: quick ones first, so that a mistake shows early.
//!
//! All but the bare-metal step share one target folder and the dev profile: what clippy and the tests have compiled is not
//! compiled again.

use anyhow::Result;

use super::{Extent, Step};
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
        requirements: || vec![Requirement::curl()],
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
        run: |workspace, _| size::run(workspace, &size::Arguments::default()),
    },
    Step {
        name: "fuzz",
        what: "libFuzzer finds no input that breaks a parser",
        only_in_full: true,
        requirements: fuzz::requirements,
        run: |workspace, _| fuzz::run(workspace, &fuzz::Arguments::every_target(60)),
    },
];

fn fmt(workspace: &Workspace, _: Extent) -> Result<()> {
    run(workspace.cargo().args(["fmt", "--all", "--check"]))?;
    for folder in OTHER_WORKSPACES {
        run(workspace
            .cargo()
            .current_dir(workspace.root.join(folder))
            .args(["fmt", "--all", "--check"]))?;
    }
    Ok(())
}

fn clippy(workspace: &Workspace, _: Extent) -> Result<()> {
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

fn tests(workspace: &Workspace, _: Extent) -> Result<()> {
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

fn doctests(workspace: &Workspace, _: Extent) -> Result<()> {
    run(workspace
        .cargo()
        .args(["test", "--workspace", "--locked", "--doc"]))
}

fn doc(workspace: &Workspace, _: Extent) -> Result<()> {
    let flags = "-D warnings";
    run(workspace.cargo().env("RUSTDOCFLAGS", flags).args([
        "doc",
        "--workspace",
        "--locked",
        "--no-deps",
    ]))
}

fn fuzz_short(workspace: &Workspace, _: Extent) -> Result<()> {
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
