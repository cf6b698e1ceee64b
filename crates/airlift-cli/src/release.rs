//! `airlift release`: what was published.

use std::fmt::Write as _;
use std::io::Read as _;

use anyhow::Context;
use serde::Deserialize;
use serde_json::json;

use crate::output::{self, Cell, Look, Side};
use crate::publish::{MAX_NAME, check_name};
use crate::remote::{Remote, short_time};

/// `airlift release ...`
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// List releases, newest first
    List {
        /// Only of this project
        #[arg(long, value_name = "NAME")]
        project: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Show a release
    Show(One),
    /// Take a release back: nobody is offered it from now on, and its rollouts are aborted
    Withdraw(One),
    /// Offer a release that is held to everybody
    Open(One),
    /// Offer a release also to devices that run a newer version
    AllowDowngrade(One),
    /// Say what is in a release, for people
    Notes {
        /// The notes; - reads them from standard input, and an empty text takes them away
        #[arg(long, value_name = "TEXT")]
        text: String,
        #[command(flatten)]
        one: One,
    },
}

/// One release.
#[derive(clap::Args)]
pub(crate) struct One {
    /// Number of the release
    id: u64,
    #[command(flatten)]
    remote: Remote,
}

/// As the server tells it, as far as it is shown.
#[derive(Deserialize)]
struct Told {
    id: i64,
    project: String,
    target_kind: String,
    target: String,
    partition: Option<String>,
    version: String,
    size: u64,
    sha256: String,
    published_at: String,
    withdrawn_at: Option<String>,
    #[serde(default)]
    held: bool,
    #[serde(default)]
    allow_downgrade: bool,
    notes: Option<String>,
    offered: bool,
}

impl Told {
    fn place(&self) -> String {
        let project = if self.project == "+" {
            "all projects"
        } else {
            &self.project
        };
        let what = self
            .partition
            .as_ref()
            .map(|name| format!("partition {name} of "));
        format!(
            "{}{project}, {} {}",
            what.unwrap_or_default(),
            self.target_kind,
            self.target
        )
    }

    fn status(&self) -> Cell {
        let (text, paint): (_, fn(Look, &str) -> String) = if self.withdrawn_at.is_some() {
            ("withdrawn", Look::bad)
        } else if self.held {
            ("held", Look::warn)
        } else if self.offered {
            ("offered", Look::good)
        } else {
            ("replaced", Look::dim)
        };
        Cell::painted(text, paint)
    }
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::List { project, remote } => list(project.as_ref(), &remote),
        Command::Show(one) => {
            let session = one.remote.session()?;
            let answer = session.get(&["releases", &one.id.to_string()], &[])?;
            session.print(answer, |told| text(Look::stdout(), &told))
        }
        Command::Withdraw(one) => withdraw(&one),
        Command::Open(one) => change(&one, &json!({ "held": false })),
        Command::AllowDowngrade(one) => change(&one, &json!({ "allow_downgrade": true })),
        Command::Notes { text, one } => {
            let mut notes = text;
            if notes == "-" {
                notes.clear();
                std::io::stdin()
                    .read_to_string(&mut notes)
                    .context("cannot read the notes from standard input")?;
            }
            change(&one, &json!({ "notes": notes.trim_end() }))
        }
    }
}

fn change(one: &One, change: &serde_json::Value) -> anyhow::Result<()> {
    let session = one.remote.session()?;
    let answer = session.patch(&["releases", &one.id.to_string()], change)?;
    session.print(answer, |told| text(Look::stdout(), &told))
}

fn withdraw(one: &One) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    struct Withdrawn {
        withdrawn: i64,
        now_offered: Option<i64>,
    }
    let session = one.remote.session()?;
    let answer = session.post(&["releases", &one.id.to_string(), "withdraw"], None)?;
    session.print(answer, |told: Withdrawn| {
        let look = Look::stdout();
        let instead = match told.now_offered {
            Some(id) => {
                format!("release {id} is offered instead, also to devices that run this one")
            }
            None => "nothing is offered instead".to_owned(),
        };
        format!(
            "{} release {}\n  {instead}\n",
            look.good("Withdrawn"),
            told.withdrawn
        )
    })
}

fn list(project: Option<&String>, remote: &Remote) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    struct List {
        releases: Vec<Told>,
    }
    check_name("--project", project, MAX_NAME)?;
    let session = remote.session()?;
    let mut query = vec![("limit", "1000")];
    query.extend(project.map(|project| ("project", project.as_str())));
    let answer = session.get(&["releases"], &query)?;
    session.print(answer, |list: List| table(Look::stdout(), &list.releases))
}

fn table(look: Look, releases: &[Told]) -> String {
    if releases.is_empty() {
        return "No releases. Publish one with `airlift publish FILE`.\n".to_owned();
    }
    let columns = [
        ("release", Side::Right),
        ("version", Side::Left),
        ("for", Side::Left),
        ("size", Side::Right),
        ("status", Side::Left),
        ("published", Side::Left),
    ];
    let row = |release: &Told| {
        vec![
            release.id.to_string().into(),
            release.version.clone().into(),
            release.place().into(),
            output::size(release.size).into(),
            release.status(),
            short_time(&release.published_at).into(),
        ]
    };
    let rows: Vec<_> = releases.iter().map(row).collect();
    output::table(look, &columns, &rows)
}

fn text(look: Look, told: &Told) -> String {
    let status = if told.withdrawn_at.is_some() {
        look.bad("withdrawn")
    } else if told.held {
        look.warn("held: only rollouts offer it")
    } else if told.offered {
        look.good("offered")
    } else {
        look.dim("replaced by a later one")
    };
    let mut text = format!(
        "{}, version {}: {status}\n  for        {}\n  size       {}\n  sha256     {}\n  published  {}\n",
        look.bold(&format!("Release {}", told.id)),
        told.version,
        told.place(),
        output::size(told.size),
        told.sha256,
        short_time(&told.published_at)
    );
    if told.allow_downgrade {
        text += "  downgrade  also to devices that run a newer version\n";
    }
    for line in told.notes.iter().flat_map(|notes| notes.lines()) {
        let _ = writeln!(text, "  | {}", line.escape_debug());
    }
    text
}
