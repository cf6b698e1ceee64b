//! `cargo xtask test`: everything that must hold before a change lands, in one command.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use crate::{
    requirements::{self, Requirement},
    terminal::{Style, duration},
    workspace::Workspace,
};

mod steps;

use steps::STEPS;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Also run what takes long: the power-cut sweep over every combination, and each fuzz target for a while
    #[arg(long)]
    full: bool,
    /// Run this step only; can be given several times
    #[arg(long, value_name = "STEP", value_parser = clap::builder::PossibleValuesParser::new(STEPS.iter().map(|step| step.name)))]
    only: Vec<String>,
    /// Go on after a step that failed
    #[arg(long)]
    keep_going: bool,
    /// Print the steps and what each needs, and run nothing
    #[arg(long)]
    list: bool,
}

/// One thing that is checked.
struct Step {
    name: &'static str,
    /// What it checks, in a few words.
    what: &'static str,
    /// Whether it runs only with `--full`, or when asked for by name.
    only_in_full: bool,
    requirements: fn() -> Vec<Requirement>,
    run: fn(&Workspace) -> Result<()>,
}

/// Runs the steps in order and prints a summary.
///
/// # Errors
/// Fails if something that is needed is missing and cannot be installed, or if a step failed.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let asked: BTreeSet<&str> = arguments.only.iter().map(String::as_str).collect();
    let steps: Vec<&Step> = STEPS
        .iter()
        .filter(|step| match asked.is_empty() {
            true => arguments.full || !step.only_in_full,
            false => asked.contains(step.name),
        })
        .collect();
    if arguments.list {
        list(&steps);
        return Ok(());
    }

    let needed: Vec<Requirement> = steps
        .iter()
        .flat_map(|step| (step.requirements)())
        .collect();
    requirements::provide(&needed)?;

    let mut outcomes = Vec::new();
    for step in &steps {
        let has_failed = outcomes
            .iter()
            .any(|outcome| matches!(outcome, Outcome::Failed(..)));
        outcomes.push(if has_failed && !arguments.keep_going {
            Outcome::NotRun
        } else {
            Outcome::of(step, workspace)
        });
    }
    summarise(&steps, &outcomes)
}

/// How a step ended.
#[derive(Debug)]
enum Outcome {
    Passed(Duration),
    Failed(Duration, String),
    NotRun,
}

impl Outcome {
    fn of(step: &Step, workspace: &Workspace) -> Self {
        println!(
            "\n{}",
            Style::Heading.paint(format!("=== {}: {}", step.name, step.what))
        );
        let start = Instant::now();
        let outcome = match (step.run)(workspace) {
            Ok(()) => Self::Passed(start.elapsed()),
            Err(error) => {
                println!("{}", Style::Bad.paint(format!("{error:#}")));
                Self::Failed(start.elapsed(), format!("{error:#}"))
            }
        };
        println!("{}", outcome.line(step));
        outcome
    }

    fn line(&self, step: &Step) -> String {
        let name = format!("{:<10}", step.name);
        match self {
            Self::Passed(time) => format!(
                "{} {name} {}",
                Style::Good.paint("passed "),
                duration(*time)
            ),
            Self::Failed(time, _) => {
                format!("{} {name} {}", Style::Bad.paint("FAILED "), duration(*time))
            }
            Self::NotRun => format!("{} {name}", Style::Quiet.paint("not run")),
        }
    }
}

fn list(steps: &[&Step]) {
    for step in steps {
        println!("{:<10} {}", step.name, step.what);
        for requirement in (step.requirements)() {
            let state = if (requirement.is_met)() {
                "found"
            } else {
                "missing"
            };
            println!(
                "{:<10}   needs {} ({state}; {})",
                "", requirement.what, requirement.source
            );
        }
    }
}

fn summarise(steps: &[&Step], outcomes: &[Outcome]) -> Result<()> {
    println!("\n{}", Style::Heading.paint("=== Summary"));
    let (mut passed, mut failed, mut skipped) = (0, Vec::new(), 0);
    let mut total = Duration::ZERO;
    for (step, outcome) in steps.iter().zip(outcomes) {
        println!("{}", outcome.line(step));
        match outcome {
            Outcome::Passed(time) => (passed, total) = (passed + 1, total + *time),
            Outcome::Failed(time, error) => {
                total += *time;
                failed.push(format!("{}: {error}", step.name));
            }
            Outcome::NotRun => skipped += 1,
        }
    }
    println!("{}", Style::Quiet.paint(format!("in {}", duration(total))));
    println!(
        "steps: {passed} passed, {} failed, {skipped} skipped",
        failed.len()
    );
    if failed.is_empty() {
        return Ok(());
    }
    bail!("{}", failed.join("\n       "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_a_name_of_its_own() {
        let names: BTreeSet<&str> = STEPS.iter().map(|step| step.name).collect();
        assert_eq!(names.len(), STEPS.len());
    }

    #[test]
    fn one_failed_step_fails_the_whole_and_is_named() {
        let steps: Vec<&Step> = STEPS.iter().take(2).collect();
        let second = Duration::from_secs(1);
        let outcomes = [
            Outcome::Passed(second),
            Outcome::Failed(second, "no such thing".to_owned()),
        ];
        let error = summarise(&steps, &outcomes)
            .expect_err("a step failed")
            .to_string();
        assert!(
            error.contains(steps[1].name) && error.contains("no such thing"),
            "{error}"
        );
        assert!(summarise(&steps, &[Outcome::Passed(second), Outcome::NotRun]).is_ok());
    }
}
