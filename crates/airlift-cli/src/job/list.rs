//! `airlift job list`

use serde_json::json;

use super::{Whose, paint};
use crate::api::jobs::{Job, read};
use crate::output::{self, Cell, Look, Side};

/// List the jobs of an organization, newest first
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many at most, up to 1000
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    #[command(flatten)]
    whose: Whose,
    /// Print them as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<()> {
    let (api, organization) = args.whose.find().await?;
    let jobs = api.list_jobs(&organization, args.limit).await?;
    if args.json {
        let answer = json!({ "jobs": jobs });
        output::print(&format!("{}\n", serde_json::to_string_pretty(&answer)?));
        return Ok(());
    }
    if jobs.is_empty() {
        output::print(&format!("{organization} has no jobs.\n"));
        return Ok(());
    }
    let columns = [
        ("job", Side::Left),
        ("status", Side::Left),
        ("what", Side::Left),
        ("made", Side::Left),
        ("things", Side::Left),
    ];
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for job in &jobs {
        let job: Job = read(job)?;
        let what = match job.release {
            Some(release) => format!("release {release}"),
            None => job.kind,
        };
        let counts: Vec<_> = job
            .things
            .iter()
            .map(|(status, things)| format!("{things} {status}"))
            .collect();
        let made = job.created_at.split('.').next().unwrap_or_default();
        rows.push(vec![
            job.job_id.into(),
            Cell::painted(job.status.clone(), paint(&job.status)),
            what.into(),
            made.into(),
            counts.join(", ").into(),
        ]);
    }
    output::print(&output::table(Look::stdout(), &columns, &rows));
    Ok(())
}
