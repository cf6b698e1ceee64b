//! `cargo xtask bench schemes`: wear, time and RAM of each scheme, counted by the simulated flash, against the least that is possible.

use anyhow::{Context, Result};

use crate::{
    terminal::{Style, Table},
    workspace::{Workspace, output},
};

/// Runs the example that updates a partition under each scheme, and prints its table.
///
/// # Errors
/// Fails if the example does not build or run.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut command = workspace.cargo();
    command.args([
        "run",
        "--quiet",
        "--package",
        "airlift-sim",
        "--example",
        "schemes",
    ]);
    let text = output(&mut command).context("the example `schemes`")?;
    let mut lines = text.lines();
    let heading: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
    println!(
        "\n{}",
        Style::Heading.paint("a partition of 512 KiB, new content of 384 KiB, SPI NOR flash")
    );
    let Ok(heading) = <[&str; 7]>::try_from(heading) else {
        anyhow::bail!("the example printed something else than its table: {text}");
    };
    let mut table = Table::new(heading);
    let mut notes = Vec::new();
    for line in lines {
        if line.contains('\t') {
            table.row(line.split('\t').map(str::to_owned).collect());
        } else {
            notes.push(line);
        }
    }
    print!("{table}");
    for note in notes {
        println!("{note}");
    }
    Ok(())
}
