//! `airlift job show`

use std::fmt::Write as _;

use super::{Whose, check_job_id, paint};
use crate::api::jobs::{Execution, Job, read};
use crate::output::{self, Cell, Look, Side};

/// Show a job and how far each thing is with it
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Id of the job
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    whose: Whose,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<()> {
    check_job_id(&args.id)?;
    let (api, organization) = args.whose.find().await?;
    let mut job = api.job(&organization, &args.id).await?;
    let executions = api.executions(&organization, &args.id).await?;
    if args.json {
        job["executions"] = executions.into();
        output::print(&format!("{}\n", serde_json::to_string_pretty(&job)?));
        return Ok(());
    }
    let executions = executions.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    output::print(&text(Look::stdout(), &read(&job)?, &executions));
    Ok(())
}

fn text(look: Look, job: &Job, executions: &[Execution]) -> String {
    let kind = match (job.kind.as_str(), job.release) {
        ("release", Some(release)) if job.automatic => {
            format!("installs release {release}, for the things that are offered it")
        }
        ("release", Some(release)) => format!("installs release {release}"),
        ("files", _) => "fetches files".to_owned(),
        _ => "has a document of its own".to_owned(),
    };
    let mut text = format!(
        "Job {}: {}\n  what     {kind}\n  made     {}\n",
        look.bold(&job.job_id),
        paint(&job.status)(look, &job.status),
        when(&job.created_at),
    );
    let lines = [
        (
            "for",
            Some(&job.description).filter(|text| !text.is_empty()),
        ),
        ("reason", job.cancel_reason.as_ref()),
        ("comment", job.cancel_comment.as_ref()),
        ("stream", job.stream.as_ref()),
    ];
    for (name, value) in lines {
        if let Some(value) = value {
            // Any text of the one who made it: nothing in it may move the cursor.
            let _ = writeln!(text, "  {name:<8} {}", value.escape_debug());
        }
    }
    for file in &job.files {
        let _ = writeln!(
            text,
            "  file {:<3} {}, {}, sha256 {}",
            file.file_id,
            file.path.escape_debug(),
            output::size(file.size),
            file.sha256,
        );
    }
    if !executions.is_empty() {
        text.push('\n');
        text += &table(look, executions);
    }
    text
}

fn table(look: Look, executions: &[Execution]) -> String {
    let columns = [
        ("thing", Side::Left),
        ("status", Side::Left),
        ("version", Side::Right),
        ("attempt", Side::Right),
        ("queued", Side::Left),
        ("started", Side::Left),
        ("last word", Side::Left),
        ("details", Side::Left),
    ];
    let rows: Vec<Vec<Cell>> = executions
        .iter()
        .map(|one| {
            let details = one.status_details.iter().flatten();
            let details: Vec<_> = details
                .map(|(name, text)| format!("{name}={}", text.escape_debug()))
                .collect();
            vec![
                one.thing.clone().into(),
                Cell::painted(one.status.clone(), paint(&one.status)),
                one.version_number.to_string().into(),
                one.execution_number.to_string().into(),
                when(&one.queued_at).into(),
                one.started_at.as_deref().map_or("-", when).into(),
                when(&one.last_updated_at).into(),
                details.join(" ").into(),
            ]
        })
        .collect();
    output::table(look, &columns, &rows)
}

/// To the second: `2026-11-20T20:08:29`.
fn when(time: &str) -> &str {
    time.split_once('.').map_or(time, |(seconds, _)| seconds)
}
