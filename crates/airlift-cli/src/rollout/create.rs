//! `airlift rollout create`

use airlift_rollout::{Filter, Millis, Plan, Window};

use super::{Stages, show};
use crate::output::Look;
use crate::publish::{MAX_NAME, check_name};
use crate::remote::Remote;

/// Give a release that is held to devices, by turns
///
/// The release must have been published with --hold. Devices of its place get it when they ask and it is their turn: first those
/// that are named, then one stage after the other, as long as enough devices confirm and too many do not fail.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Number of the release
    #[arg(long, value_name = "ID")]
    release: i64,
    /// Only these devices, for example 'tag=lab and version<2.0 and not group=beta' [default: all that the release is for]
    #[arg(long, value_name = "FILTER")]
    filter: Option<Filter>,
    /// Devices that come first, in a stage of their own
    #[arg(long, value_name = "NODE", value_delimiter = ',')]
    canary: Vec<String>,
    /// How many devices there are up to the end of each stage, for example 1%,10%,500; all others come last [default: all at once]
    #[arg(long, value_name = "STAGES")]
    stages: Option<Stages>,
    /// The next stage opens when so many percent of a stage's devices have confirmed
    #[arg(long, value_name = "PERCENT", default_value_t = 90)]
    success: u8,
    /// It stops by itself when so many percent of a stage's devices have failed
    #[arg(long, value_name = "PERCENT", default_value_t = 20)]
    stop_at: u8,
    /// ... or so many devices in all
    #[arg(long, value_name = "COUNT")]
    stop_after: Option<u32>,
    /// Most devices that begin within a minute
    #[arg(long, value_name = "COUNT")]
    per_minute: Option<u32>,
    /// Not before this time, for example 2026-12-01T22:00:00+01:00
    #[arg(long, value_name = "TIME")]
    start: Option<Millis>,
    /// Devices begin only then, for example 'mon-fri 22:00-05:00 Europe/Berlin'
    #[arg(long, value_name = "WINDOW")]
    window: Option<Window>,
    /// Take in no device that comes after the start
    #[arg(long)]
    no_enrol: bool,
    /// Start only when somebody with another token has approved
    #[arg(long)]
    approval: bool,
    /// Also to devices that run a newer version
    #[arg(long)]
    allow_downgrade: bool,
    /// A device that says nothing for so long counts as failed, until it comes again
    #[arg(long, value_name = "MINUTES", default_value_t = 24 * 60)]
    answer_within: u32,
    #[command(flatten)]
    remote: Remote,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    for canary in &args.canary {
        check_name("--canary", Some(canary), MAX_NAME)?;
    }
    let plan = Plan {
        filter: args.filter.clone(),
        canaries: args
            .canary
            .iter()
            .map(|node| node.as_str().into())
            .collect(),
        stages: args
            .stages
            .clone()
            .map(|stages| stages.0)
            .unwrap_or_default(),
        success_percent: args.success,
        failure_percent: args.stop_at,
        failure_count: args.stop_after,
        per_minute: args.per_minute,
        start_at: args.start,
        window: args.window.clone(),
        enrol: !args.no_enrol,
        approval: args.approval,
        allow_downgrade: args.allow_downgrade,
        answer_minutes: args.answer_within,
        ..Plan::of(args.release)
    };
    plan.check()?;
    let session = args.remote.session()?;
    let answer = session.post(&["rollouts"], Some(&serde_json::to_value(&plan)?))?;
    session.print(answer, |told| show::text(Look::stdout(), &told))
}
