//! `airlift job create`

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Whose, check_job_id};
use crate::api::Api;
use crate::api::jobs::{Job, ordered_file, read};
use crate::output::{self, Look};
use crate::publish::{image_size, upload_bar};
use crate::signing::Key;

/// Give things a job: a release to install, files to fetch, or a document of your own
///
/// The job waits until a thing asks for it, or is told to one that listens. For all of the things named, or nothing is made.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("content").required(true).args(["release", "file", "document"])))]
pub(crate) struct Args {
    /// Thing that is to do the job; may be given several times
    #[arg(long = "thing", value_name = "THING", required = true)]
    things: Vec<String>,
    /// Install this release, by its number
    #[arg(long, value_name = "RELEASE")]
    release: Option<i64>,
    /// Fetch this file; may be given up to ten times, and the files get the ids 0, 1, ...
    #[arg(long, value_name = "FILE")]
    file: Vec<PathBuf>,
    /// Do what this JSON document says
    #[arg(long, value_name = "FILE.json")]
    document: Option<PathBuf>,
    /// Id of the job [default: one is made up]
    #[arg(long, value_name = "ID")]
    job_id: Option<String>,
    /// Sign the files with this key (P-256, PEM), which stays here; a release is signed when it is published
    #[arg(long, value_name = "KEY.pem", conflicts_with_all = ["release", "document"])]
    sign_key: Option<PathBuf>,
    /// What the devices look up the certificate by (`certfile`) [default: code-sign.pem]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["release", "document"])]
    certificate: Option<String>,
    /// How long a thing may be at it, in minutes [default: as long as it takes]
    #[arg(long, value_name = "MINUTES")]
    timeout: Option<u32>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Project that the things must belong to [default: any]
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    #[command(flatten)]
    whose: Whose,
    /// Print the answer of the server as JSON
    #[arg(long)]
    json: bool,
}

/// Largest document that is sent: the server takes less.
const MAX_DOCUMENT: u64 = 128 << 10;

pub(super) async fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(id) = &args.job_id {
        check_job_id(id)?;
    }
    // All that can be wrong here is found before the server is bothered.
    let document = args.document.as_deref().map(read_document).transpose()?;
    let key = args.sign_key.as_deref().map(Key::read).transpose()?;
    let mut sizes = Vec::new();
    for file in &args.file {
        sizes.push(image_size(file)?);
    }
    let (api, organization) = args.whose.find().await?;
    let mut job = json!({
        "things": args.things,
        "description": args.description.as_deref().unwrap_or_default(),
        "timeout_minutes": args.timeout,
        "project": args.project,
        "job_id": args.job_id,
    });
    if let Some(release) = args.release {
        job["release"] = release.into();
    }
    if !args.file.is_empty() {
        api.check_token().await?;
        let files = args.file.iter().zip(sizes);
        job["files"] = upload(args, &api, &organization, key.as_ref(), files).await?;
    }
    let created = match document {
        None => api.create_job(&organization, &job).await?,
        Some(document) => api.create_job_with(&organization, &job, &document).await?,
    };
    if args.json {
        output::print(&format!("{}\n", serde_json::to_string_pretty(&created)?));
    } else {
        output::print(&summary(&read(&created)?));
    }
    Ok(())
}

/// Sends the files, and says how the job names them.
async fn upload(
    args: &Args,
    api: &Api,
    organization: &str,
    key: Option<&Key>,
    files: impl Iterator<Item = (&PathBuf, u64)>,
) -> anyhow::Result<Value> {
    let mut ordered = Vec::new();
    for (file, size) in files {
        let signed = key.map(|key| key.sign(file)).transpose()?;
        let bar = upload_bar(size);
        let sent = bar.clone();
        let uploaded = api
            .upload(organization, file, size, move |bytes| sent.inc(bytes))
            .await;
        bar.finish_and_clear();
        let uploaded = uploaded
            .with_context(|| format!("{} was not sent, and no job was made", file.display()))?;
        if let Some(signed) = &signed {
            signed.check(file, &uploaded.sha256)?;
        }
        let name = file.file_name().and_then(|name| name.to_str());
        let name = name.with_context(|| format!("{}: not a name of a file", file.display()))?;
        ordered.push(ordered_file(
            &uploaded.sha256,
            name,
            args.certificate.as_deref(),
            signed.as_ref().map(|signed| signed.signature.as_str()),
        ));
    }
    Ok(ordered.into())
}

/// The document, byte for byte.
fn read_document(path: &Path) -> anyhow::Result<Box<RawValue>> {
    use std::io::Read as _;
    let shown = path.display();
    let mut text = String::new();
    let file = std::fs::File::open(path);
    let read = file.and_then(|file| file.take(MAX_DOCUMENT + 1).read_to_string(&mut text));
    let read = read.with_context(|| format!("{shown}: cannot read the document"))?;
    if read as u64 > MAX_DOCUMENT {
        bail!("{shown}: too large for a job document, which has 32 KiB at most");
    }
    serde_json::from_str(text.trim()).with_context(|| format!("{shown}: not JSON"))
}

fn summary(job: &Job) -> String {
    let look = Look::stdout();
    let things: u64 = job.things.values().sum();
    let things = match things {
        1 => "1 thing".to_owned(),
        things => format!("{things} things"),
    };
    format!(
        "{} job {} for {things}\n  see      airlift job show {}\n",
        look.good("Made"),
        look.bold(&job.job_id),
        job.job_id,
    )
}
