//! `airlift job delete`

use super::{Whose, check_job_id};
use crate::output::{self, Look};

/// Delete a job and all that is known of it
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Id of the job
    #[arg(value_name = "ID")]
    id: String,
    /// Even if things have it still to do
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    whose: Whose,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<()> {
    check_job_id(&args.id)?;
    let (api, organization) = args.whose.find().await?;
    api.delete_job(&organization, &args.id, args.force).await?;
    let look = Look::stdout();
    output::print(&format!(
        "{} job {}\n",
        look.good("Deleted"),
        look.bold(&args.id)
    ));
    Ok(())
}
