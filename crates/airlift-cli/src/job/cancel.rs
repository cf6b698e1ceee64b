//! `airlift job cancel`

use serde_json::json;

use super::{Whose, check_job_id};
use crate::api::jobs::{Job, read};
use crate::output::{self, Look};

/// Cancel a job: things that have not begun will not
///
/// Those that have begun go on, unless --force is given. A thing whose job is canceled gets no more of its files.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Id of the job
    #[arg(value_name = "ID")]
    id: String,
    /// Stop also the things that have begun
    #[arg(long)]
    force: bool,
    /// Why, as a code of capitals, digits and _
    #[arg(long, value_name = "CODE")]
    reason: Option<String>,
    /// Why, in words
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    #[command(flatten)]
    whose: Whose,
    /// Print the answer of the server as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<()> {
    check_job_id(&args.id)?;
    let (api, organization) = args.whose.find().await?;
    let cancellation =
        json!({ "force": args.force, "reason_code": args.reason, "comment": args.comment });
    let canceled = api
        .cancel_job(&organization, &args.id, &cancellation)
        .await?;
    if args.json {
        output::print(&format!("{}\n", serde_json::to_string_pretty(&canceled)?));
        return Ok(());
    }
    let job: Job = read(&canceled)?;
    let look = Look::stdout();
    let mut text = format!("{} job {}\n", look.good("Canceled"), look.bold(&job.job_id));
    if let Some(left) = job.things.get("IN_PROGRESS") {
        text += &format!(
            "  note     {left} in progress go on; airlift job cancel --force {} stops them\n",
            job.job_id
        );
    }
    output::print(&text);
    Ok(())
}
