//! `airlift publish`: a firmware image to the server.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::api::{Api, Place, Published};
use crate::output::{self, Look};

/// Publish a firmware image
///
/// From then on, devices that ask are offered it. All or nothing: if the upload fails, devices are offered what they were
/// offered before. With an administrator's token, an organization or project that does not exist is created.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The image, as the build makes it (app.bin)
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Address of the server
    #[arg(
        long,
        value_name = "URL",
        env = "AIRLIFT_SERVER",
        default_value = "http://127.0.0.1:8080"
    )]
    server: String,
    /// Token that the server gave out
    #[arg(
        long,
        value_name = "TOKEN",
        env = "AIRLIFT_TOKEN",
        hide_env_values = true
    )]
    token: String,
    /// Organization that the devices belong to
    #[arg(long, value_name = "NAME")]
    org: String,
    /// Project that the devices belong to
    #[arg(long, value_name = "NAME", required_unless_present = "all_projects")]
    project: Option<String>,
    /// For the devices of all projects of the organization
    #[arg(long, conflicts_with = "project")]
    all_projects: bool,
    /// Kind of device that the image is for
    #[arg(long, value_name = "KEY")]
    key: String,
    /// For this one device only
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
    /// Version of the image [default: the one inside the image]
    #[arg(long = "version", value_name = "VERSION")]
    release_version: Option<String>,
    /// Publish even if the devices have run images for another chip or of another project
    #[arg(long)]
    force: bool,
    /// Print the answer of the server as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    crate::log_to_stderr("warn");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let place = Place {
        organization: args.org.clone(),
        project: args.project.clone(),
        key: args.key.clone(),
        node: args.node.clone(),
    };
    let names = [
        ("--org", Some(&args.org)),
        ("--project", args.project.as_ref()),
        ("--key", Some(&args.key)),
        ("--node", args.node.as_ref()),
    ];
    for (flag, name) in names {
        check_name(flag, name)?;
    }
    let published = runtime.block_on(publish(args, &place))?;
    if args.json {
        output::print(&format!("{}\n", serde_json::to_string_pretty(&published)?));
    } else {
        output::print(&summary(args, &place, &published));
    }
    Ok(())
}

/// A name goes into an address: what a URL parser would drop or read otherwise must not get that far.
fn check_name(flag: &str, name: Option<&String>) -> anyhow::Result<()> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+:".contains(&byte);
    if let Some(name) = name
        && (!(1..=64).contains(&name.len())
            || matches!(name.as_str(), "." | "..")
            || !name.bytes().all(allowed))
    {
        anyhow::bail!(
            "{flag} {name:?} is not a name: use 1 to 64 ASCII letters, digits and any of - _ . + :"
        );
    }
    Ok(())
}

async fn publish(args: &Args, place: &Place) -> anyhow::Result<Published> {
    let api = Api::new(&args.server, &args.token)?;
    let size = image_size(&args.file)?;
    api.check_token().await?;
    let bar = upload_bar(size);
    let sent = bar.clone();
    let published = api
        .publish(
            place,
            args.release_version.as_deref(),
            args.force,
            &args.file,
            size,
            move |bytes| sent.inc(bytes),
        )
        .await;
    bar.finish_and_clear();
    published.with_context(|| {
        format!(
            "{} was not published (devices are offered what they were before)",
            args.file.display()
        )
    })
}

/// What can be said of the file before the server is bothered.
fn image_size(file: &Path) -> anyhow::Result<u64> {
    let about = std::fs::metadata(file)
        .with_context(|| format!("{}: cannot read the image", file.display()))?;
    if !about.is_file() {
        bail!(
            "{}: not a file; give the image that the build made",
            file.display()
        );
    }
    if about.len() == 0 {
        bail!(
            "{}: the image is empty; was the build interrupted?",
            file.display()
        );
    }
    Ok(about.len())
}

/// Drawn on standard error, and only on a terminal.
fn upload_bar(size: u64) -> ProgressBar {
    if !Look::stderr().terminal {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::stderr());
    if let Ok(style) =
        ProgressStyle::with_template("upload {bar:40} {binary_bytes} of {binary_total_bytes}")
    {
        bar.set_style(style.progress_chars("██░"));
    }
    bar
}

fn summary(args: &Args, place: &Place, published: &Published) -> String {
    let look = Look::stdout();
    let file = args.file.display();
    let project = place.project.as_deref().unwrap_or("all projects");
    let devices = match &place.node {
        Some(node) => format!("device {node}"),
        None => format!("devices with the key {}", place.key),
    };
    let head = if published.created {
        look.good("Published")
    } else {
        look.warn("Already published")
    };
    let mut text = format!(
        "{head} {file} as version {}, {}\n  for      {devices} of {}, {project}\n  sha256   {}\n",
        look.bold(&published.version),
        output::size(published.size),
        place.organization,
        published.sha256,
    );
    for warning in &published.warnings {
        text += &format!("  note     {warning}\n");
    }
    let node = place.node.as_deref().unwrap_or("NODE");
    let project = place.project.as_deref().unwrap_or("PROJECT");
    text += &format!(
        "  address  {}/ota_update/{}/{project}/{node}/{}\n",
        args.server.trim_end_matches('/'),
        place.organization,
        place.key,
    );
    text
}
