//! `cargo xtask size`: what the device side costs on a microcontroller, against ceilings that only go down.
//!
//! The programs of `firmware/size` are built for each bare-metal target and optimised for size. A program's cost is its code and
//! constants above the program `baseline`, which has the same flash driver and nothing else.

use anyhow::{Context, Result, bail};

use crate::{
    bare_metal::{TARGETS, Toolchain},
    terminal::{Style, Table},
    workspace::{Workspace, run as run_command},
};

mod ceilings;
mod elf;

use ceilings::Ceilings;
use elf::Sections;

/// The folder of the measured programs, from the root of the repository.
const FOLDER: &str = "firmware/size";
/// The program that the others are compared with.
const BASELINE: &str = "baseline";

/// The measured programs in the order of the table, and the figure to beat.
///
/// Figures of others are bytes of `.text` on thumbv7m-none-eabi with the same settings, unless they are published ones.
const PROGRAMS: &[(&str, &str)] = &[
    ("sha256", "sha2 0.10: 1 748 compact, 3 188 fast"),
    (
        "update",
        "2 048 and sha256; embassy-boot 0.7, slots alone: 468",
    ),
    ("update_direct", "update and 1 536"),
    ("update_backup", "update and 1 536"),
    ("update_staged", "update and 1 536"),
    ("update_two_step", "update and 1 536"),
    ("update_set", ""),
    ("update_set_places", ""),
    ("update_async", "as update"),
    ("boot_record", "embassy-boot 0.7, swap engine: 864"),
    ("otadata", ""),
    ("partition_table", ""),
    ("app_image", ""),
    ("matter_image", "sha256"),
    ("update_esp", ""),
    ("http", ""),
    (
        "aws_messages",
        "10 979: the C libraries of AWS, without memcpy and the like",
    ),
    ("aws", ""),
];

/// Ceilings are multiples of this.
const STEP: u64 = 32;

/// Least room above a measured cost. The folder of a clone decides in which order the linker places functions, and with it the
/// padding between them: the same source was seen to differ by 8 bytes.
const ROOM: u64 = 16;

/// The ceiling for a measured cost.
const fn ceiling_for(cost: u64) -> u64 {
    (cost + ROOM).next_multiple_of(STEP)
}

/// A compiler other than the one that the ceilings were made with may need this much more, in percent.
const OTHER_COMPILER: u64 = 5;

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Arguments {
    /// Commit to what got smaller: lower the ceilings to today's sizes, and add those that are missing
    #[arg(long)]
    update: bool,
}

/// Builds, measures, prints the tables and compares with the ceilings.
///
/// # Errors
/// Fails if a program does not build, costs more than its ceiling or has none.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let file = workspace.root.join(FOLDER).join("ceilings.toml");
    let mut ceilings = Ceilings::read(&file)?;
    let mut measured = Vec::new();
    for target in TARGETS {
        let toolchain = Toolchain::provide(target)?;
        measured.push((
            target,
            toolchain.compiler()?,
            measure(workspace, &toolchain)?,
        ));
    }

    let mut findings = Vec::new();
    for (target, compiler, costs) in &measured {
        let room = if *compiler == ceilings.compiler {
            0
        } else {
            OTHER_COMPILER
        };
        println!(
            "\n{}",
            Style::Heading.paint(format!("{target} ({compiler}, opt-level z, fat LTO)"))
        );
        let mut table = Table::new([
            "program",
            "code",
            "constants",
            "RAM",
            "cost",
            "ceiling",
            "to beat",
        ]);
        for cost in costs {
            let ceiling = ceilings.get(target, cost.program);
            table.row(cost.row(ceiling));
            if cost.program != BASELINE {
                findings.push(Finding {
                    target,
                    program: cost.program,
                    cost: cost.above_baseline,
                    ceiling,
                    room,
                });
            }
        }
        print!("{table}");
    }
    println!(
        "\nBytes. cost: code, constants and initial data above `{BASELINE}`. RAM: static data, without stacks."
    );

    if arguments.update {
        for finding in &findings {
            ceilings.lower(finding.target, finding.program, ceiling_for(finding.cost));
        }
        if let Some((_, compiler, _)) = measured.first() {
            ceilings.compiler.clone_from(compiler);
        }
        ceilings.write(&file)?;
        println!("Written: {}", file.display());
        findings.retain(|finding| finding.ceiling.is_some());
    }
    judge(&findings, arguments.update)
}

/// What one program costs.
#[derive(Debug)]
struct Cost {
    program: &'static str,
    to_beat: &'static str,
    sections: Sections,
    above_baseline: u64,
}

impl Cost {
    fn row(&self, ceiling: Option<u64>) -> Vec<String> {
        let cost = match self.program {
            BASELINE => String::new(),
            _ => self.above_baseline.to_string(),
        };
        vec![
            self.program.to_owned(),
            self.sections.code.to_string(),
            self.sections.constants.to_string(),
            self.sections.ram().to_string(),
            cost,
            ceiling.map_or(String::new(), |bytes| bytes.to_string()),
            self.to_beat.to_owned(),
        ]
    }
}

fn measure(workspace: &Workspace, toolchain: &Toolchain) -> Result<Vec<Cost>> {
    run_command(toolchain.build(workspace, FOLDER).arg("--release"))?;
    let sections = |program: &str| {
        Sections::read(&toolchain.program(workspace, program))
            .with_context(|| format!("cannot measure the program `{program}`"))
    };
    let baseline = sections(BASELINE)?;
    let mut costs = vec![Cost {
        program: BASELINE,
        to_beat: "",
        sections: baseline,
        above_baseline: 0,
    }];
    for &(program, to_beat) in PROGRAMS {
        let sections = sections(program)?;
        let above_baseline = sections.in_flash().saturating_sub(baseline.in_flash());
        costs.push(Cost {
            program,
            to_beat,
            sections,
            above_baseline,
        });
    }
    Ok(costs)
}

/// A program beside its ceiling.
#[derive(Debug, Clone, Copy)]
struct Finding {
    target: &'static str,
    program: &'static str,
    cost: u64,
    ceiling: Option<u64>,
    /// How far above the ceiling still passes, in percent.
    room: u64,
}

impl Finding {
    /// What is wrong, if anything is.
    fn complaint(&self) -> Option<String> {
        let Self {
            target,
            program,
            cost,
            ..
        } = self;
        match self.ceiling {
            None => Some(format!(
                "{program} has no ceiling for {target}: add it with `cargo xtask size --update`"
            )),
            Some(ceiling) if *cost > ceiling + ceiling * self.room / 100 => Some(format!(
                "{program} costs {cost} bytes on {target}, its ceiling is {ceiling}: make it smaller, or raise the \
                 ceiling by hand in {FOLDER}/ceilings.toml and say in the commit what the bytes buy"
            )),
            Some(_) => None,
        }
    }

    /// Whether the ceiling could be lowered.
    fn has_shrunk(&self) -> bool {
        self.ceiling
            .is_some_and(|ceiling| ceiling_for(self.cost) < ceiling)
    }
}

fn judge(findings: &[Finding], updated: bool) -> Result<()> {
    let shrunk: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.has_shrunk())
        .map(|finding| finding.program)
        .collect();
    if !shrunk.is_empty() && !updated {
        println!(
            "Smaller than committed: {}. Keep it so: `cargo xtask size --update`.",
            shrunk.join(", ")
        );
    }
    let complaints: Vec<String> = findings.iter().filter_map(Finding::complaint).collect();
    if !complaints.is_empty() {
        bail!("{}", complaints.join("\n       "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(cost: u64, ceiling: Option<u64>, room: u64) -> Finding {
        Finding {
            target: TARGETS[0],
            program: "update",
            cost,
            ceiling,
            room,
        }
    }

    #[test]
    fn one_byte_above_the_ceiling_is_refused() {
        assert!(finding(1024, Some(1024), 0).complaint().is_none());
        assert!(
            finding(1025, Some(1024), 0)
                .complaint()
                .is_some_and(|text| text.contains("1025"))
        );
    }

    #[test]
    fn another_compiler_has_room_but_not_without_end() {
        assert!(
            finding(1075, Some(1024), OTHER_COMPILER)
                .complaint()
                .is_none()
        );
        assert!(
            finding(1076, Some(1024), OTHER_COMPILER)
                .complaint()
                .is_some()
        );
    }

    #[test]
    fn a_program_without_a_ceiling_is_refused() {
        assert!(finding(1, None, 0).complaint().is_some());
    }

    #[test]
    fn only_a_whole_step_less_counts_as_smaller() {
        assert!(!finding(977, Some(1024), 0).has_shrunk());
        assert!(finding(976, Some(1024), 0).has_shrunk());
    }
}
