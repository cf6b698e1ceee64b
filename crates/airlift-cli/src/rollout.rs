//! `airlift rollout`: releases that devices get by turns.

mod create;
mod show;

use airlift_rollout::Share;
use serde::Deserialize;

use crate::output::{self, Cell, Look, Side};
use crate::remote::{Remote, short_time};

/// `airlift rollout ...`
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    Create(create::Args),
    /// List rollouts, newest first
    List {
        #[command(flatten)]
        remote: Remote,
    },
    Show(show::Args),
    /// Let no device begin until it is resumed
    Pause(Act),
    /// Go on after a pause, or after it has stopped by itself: the failures up to now then do not count any more
    Resume(Act),
    /// End it for ever
    Abort(Act),
    /// Let devices that failed, or had no use for it, be offered the release again
    Retry(Act),
    /// Approve what somebody else has ordered
    Approve(Act),
}

/// What is done to a rollout.
#[derive(clap::Args)]
pub(crate) struct Act {
    /// Number of the rollout
    id: u64,
    #[command(flatten)]
    remote: Remote,
}

/// `1%,10%,500`
#[derive(Debug, Clone)]
pub(crate) struct Stages(pub(crate) Vec<Share>);

impl std::str::FromStr for Stages {
    type Err = airlift_rollout::NotAShare;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shares = text.split(',').map(|share| share.trim().parse());
        shares.collect::<Result<_, _>>().map(Self)
    }
}

/// As the server tells it, as far as it is shown.
#[derive(Deserialize)]
struct Told {
    id: i64,
    status: String,
    stopped_because: Option<String>,
    plan: airlift_rollout::Plan,
    created_at: String,
    started_at: Option<String>,
    stages: Vec<ToldStage>,
    counts: ToldCounts,
}

#[derive(Deserialize)]
struct ToldStage {
    stage: u64,
    canary: bool,
    up_to: u64,
    open: bool,
    counts: ToldCounts,
}

#[derive(Deserialize)]
struct ToldCounts {
    waiting: u64,
    offered: u64,
    confirmed: u64,
    failed: u64,
    timed_out: u64,
    forgiven: u64,
    skipped: u64,
    left: u64,
}

impl ToldCounts {
    fn all(&self) -> u64 {
        self.counting() + self.forgiven + self.skipped
    }

    fn counting(&self) -> u64 {
        self.waiting + self.offered + self.confirmed + self.failed + self.timed_out
    }
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Create(args) => create::run(&args),
        Command::List { remote } => list(&remote),
        Command::Show(args) => show::run(&args),
        Command::Pause(act) => do_to(&act, "pause"),
        Command::Resume(act) => do_to(&act, "resume"),
        Command::Abort(act) => do_to(&act, "abort"),
        Command::Retry(act) => do_to(&act, "retry"),
        Command::Approve(act) => do_to(&act, "approve"),
    }
}

fn do_to(act: &Act, action: &str) -> anyhow::Result<()> {
    let session = act.remote.session()?;
    let id = act.id.to_string();
    let answer = session.post(&["rollouts", &id, action], None)?;
    session.print(answer, |told| show::text(Look::stdout(), &told))
}

fn list(remote: &Remote) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    struct List {
        rollouts: Vec<Told>,
    }
    let session = remote.session()?;
    let answer = session.get(&["rollouts"], &[("limit", "1000")])?;
    session.print(answer, |list: List| table(Look::stdout(), &list.rollouts))
}

fn table(look: Look, rollouts: &[Told]) -> String {
    if rollouts.is_empty() {
        return "No rollouts. Begin one with `airlift publish --rollout FILE` or `airlift rollout create`.\n".to_owned();
    }
    let columns = [
        ("rollout", Side::Right),
        ("release", Side::Right),
        ("status", Side::Left),
        ("stage", Side::Left),
        ("devices", Side::Right),
        ("confirmed", Side::Right),
        ("failed", Side::Right),
        ("created", Side::Left),
    ];
    let rows: Vec<_> = rollouts
        .iter()
        .map(|rollout| {
            let open = rollout.stages.iter().filter(|stage| stage.open).count();
            let stage = match rollout.stages.len() {
                0 => String::new(),
                all => format!("{open} of {all}"),
            };
            let failed = rollout.counts.failed + rollout.counts.timed_out;
            vec![
                rollout.id.to_string().into(),
                rollout.plan.release.to_string().into(),
                status(&rollout.status),
                stage.into(),
                output::grouped(rollout.counts.all()).into(),
                output::grouped(rollout.counts.confirmed).into(),
                number(failed, Look::bad),
                short_time(&rollout.created_at).into(),
            ]
        })
        .collect();
    output::table(look, &columns, &rows)
}

/// A status in its colour.
fn status(status: &str) -> Cell {
    let paint = match status {
        "running" => Look::name,
        "finished" => Look::good,
        "stopped" | "aborted" => Look::bad,
        "paused" | "waiting-for-approval" => Look::warn,
        _ => Look::dim,
    };
    Cell::painted(status, paint)
}

/// A number that catches the eye unless it is 0.
fn number(number: u64, paint: fn(Look, &str) -> String) -> Cell {
    let text = output::grouped(number);
    match number {
        0 => Cell::painted(text, Look::dim),
        _ => Cell::painted(text, paint),
    }
}
