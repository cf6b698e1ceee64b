//! `airlift publish`: a firmware image, or data for a partition, to the server.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::Method;

use crate::api::{Api, Place, Published, PublishedMatter, Upload};
use crate::output::{self, Look};
use crate::rollout::Stages;
use crate::signing::Key;

/// Publish a firmware image, or data for a partition
///
/// From then on, devices that ask are offered it. All or nothing: if the upload fails, devices are offered what they were
/// offered before. With an administrator's token, an organization or project that does not exist is created.
///
/// With --partition the file is not an app but what that partition is to hold: a file system, certificates, a model, any bytes.
///
/// A Matter OTA image is recognised, checked to the last byte, and becomes data for the partition matter-ota.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The image, as the build makes it (app.bin), or the content of a partition (storage.bin)
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
    /// The file is data for this partition, not an app; it needs a --version (but for matter-ota)
    #[arg(long, value_name = "NAME")]
    partition: Option<String>,
    /// File system that the data holds: devices ask for one by its kind [default: what the server sees in it]
    #[arg(long, value_name = "KIND", requires = "partition")]
    file_system: Option<FileSystem>,
    /// Version of the image [default: the one inside the image]
    #[arg(long = "version", value_name = "VERSION")]
    release_version: Option<String>,
    /// Sign the image with this key (P-256, PEM), which stays here: devices that get it by a job check that
    #[arg(long, value_name = "KEY.pem")]
    sign_key: Option<PathBuf>,
    /// Publish even if the devices have run images for another chip or product, or of another project, or if the data is an app
    #[arg(long)]
    force: bool,
    /// Devices get it also if they run a newer version
    #[arg(long)]
    allow_downgrade: bool,
    /// Offer it to nobody yet: only rollouts give it to devices (airlift rollout create)
    #[arg(long)]
    hold: bool,
    /// The same, and begin a rollout at once: in these stages, and then to all others
    #[arg(long, value_name = "STAGES", num_args = 0..=1, default_missing_value = "10%,50%", require_equals = true)]
    rollout: Option<Stages>,
    /// Print the answer of the server as JSON
    #[arg(long)]
    json: bool,
}

/// What data can hold.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum FileSystem {
    Spiffs,
    #[value(name = "littlefs")]
    LittleFs,
    Fat,
    /// No file system: never sent to a device that asks for one
    None,
}

impl FileSystem {
    /// As the server calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Spiffs => "spiffs",
            Self::LittleFs => "littlefs",
            Self::Fat => "fat",
            Self::None => "none",
        }
    }
}

/// The partition of Matter OTA images, which say their version themselves.
const MATTER_PARTITION: &str = "matter-ota";
/// Longest name of a partition: the label in a partition table of ESP-IDF.
const MAX_PARTITION: usize = 16;
/// Longest name of anything else.
pub(crate) const MAX_NAME: usize = 64;

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    crate::log_to_stderr("warn");
    check_version(args);
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
        ("--org", Some(&args.org), MAX_NAME),
        ("--project", args.project.as_ref(), MAX_NAME),
        ("--key", Some(&args.key), MAX_NAME),
        ("--node", args.node.as_ref(), MAX_NAME),
        ("--partition", args.partition.as_ref(), MAX_PARTITION),
    ];
    for (flag, name, longest) in names {
        check_name(flag, name, longest)?;
    }
    let (published, rollout) = runtime.block_on(publish(args, &place))?;
    if args.json {
        let mut answer = serde_json::to_value(&published)?;
        if let (Some(rollout), Some(fields)) = (rollout, answer.as_object_mut()) {
            fields.insert("rollout".to_owned(), rollout);
        }
        output::print(&format!("{}\n", serde_json::to_string_pretty(&answer)?));
    } else {
        let rollout = rollout.map(|rollout| rollout["id"].to_string());
        output::print(&summary(args, &place, &published, rollout.as_deref()));
    }
    Ok(())
}

/// Data does not say its version; which data does depends on the partition's name, and that is beyond clap's `requires`.
fn check_version(args: &Args) {
    let says_none = |partition: &String| partition != MATTER_PARTITION;
    if args.release_version.is_none() && args.partition.as_ref().is_some_and(says_none) {
        let message = "data for a partition does not say its version: add --version <VERSION>\n";
        clap::Error::raw(clap::error::ErrorKind::MissingRequiredArgument, message).exit();
    }
}

/// A name goes into an address: what a URL parser would drop or read otherwise must not get that far.
pub(crate) fn check_name(flag: &str, name: Option<&String>, longest: usize) -> anyhow::Result<()> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+:".contains(&byte);
    if let Some(name) = name
        && (!(1..=longest).contains(&name.len())
            || matches!(name.as_str(), "." | "..")
            || !name.bytes().all(allowed))
    {
        anyhow::bail!(
            "{flag} {name:?} is not a name: use 1 to {longest} ASCII letters, digits and any of - _ . + :"
        );
    }
    Ok(())
}

/// What was published, and the rollout that was begun.
async fn publish(
    args: &Args,
    place: &Place,
) -> anyhow::Result<(Published, Option<serde_json::Value>)> {
    let api = Api::new(&args.server, &args.token)?;
    let size = image_size(&args.file)?;
    let key = args.sign_key.as_deref().map(Key::read).transpose()?;
    let signed = key.map(|key| key.sign(&args.file)).transpose()?;
    api.check_token().await?;
    let bar = upload_bar(size);
    let sent = bar.clone();
    let upload = Upload {
        file: &args.file,
        size,
        version: args.release_version.as_deref(),
        partition: args.partition.as_deref(),
        file_system: args.file_system.map(FileSystem::name),
        signature: signed.as_ref().map(|signed| signed.signature.as_str()),
        force: args.force,
        hold: args.hold || args.rollout.is_some(),
        allow_downgrade: args.allow_downgrade,
    };
    let published = api
        .publish(place, &upload, move |bytes| sent.inc(bytes))
        .await;
    bar.finish_and_clear();
    let published = published.with_context(|| {
        format!(
            "{} was not published (devices are offered what they were before)",
            args.file.display()
        )
    })?;
    if let Some(signed) = &signed {
        signed.check(&args.file, &published.sha256)?;
    }
    let Some(stages) = &args.rollout else {
        return Ok((published, None));
    };
    let plan = serde_json::json!({ "release": published.id, "stages": stages.0 });
    let rollout = api
        .call(Method::POST, &args.org, &["rollouts"], &[], Some(&plan))
        .await
        .with_context(|| {
            format!(
                "release {} is published and held, and its rollout was not begun",
                published.id
            )
        })?;
    Ok((published, Some(rollout)))
}

/// What can be said of the file before the server is bothered.
pub(crate) fn image_size(file: &Path) -> anyhow::Result<u64> {
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
pub(crate) fn upload_bar(size: u64) -> ProgressBar {
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

fn summary(args: &Args, place: &Place, published: &Published, rollout: Option<&str>) -> String {
    let look = Look::stdout();
    let file = args.file.display();
    let project = place.project.as_deref().unwrap_or("all projects");
    let devices = match &place.node {
        Some(node) => format!("device {node}"),
        None => format!("devices with the key {}", place.key),
    };
    let part = match (&published.partition, published.file_system.as_deref()) {
        (None, _) => String::new(),
        (Some(name), None) => format!("partition {name} of "),
        (Some(name), Some("none")) => format!("partition {name} (no file system) of "),
        (Some(name), Some(holds)) => format!("partition {name} ({holds}) of "),
    };
    let head = if published.created {
        look.good("Published")
    } else {
        look.warn("Already published")
    };
    let mut text = format!(
        "{head} {file} as version {}, {}\n  for      {part}{devices} of {}, {project}\n  sha256   {}\n",
        look.bold(&published.version),
        output::size(published.size),
        place.organization,
        published.sha256,
    );
    if published.signature.is_some() {
        text += "  signed   ECDSA P-256\n";
    }
    if let Some(matter) = &published.matter {
        text += &matter_line(matter);
    }
    for warning in &published.warnings {
        text += &format!("  note     {warning}\n");
    }
    text += &match (rollout, published.held) {
        (Some(rollout), _) => format!(
            "  rollout  {rollout}: airlift rollout show {rollout} --org {}\n",
            args.org
        ),
        (None, true) => format!(
            "  held     nobody is offered it yet: airlift rollout create --release {} --org {}\n",
            published.id, args.org
        ),
        (None, false) => String::new(),
    };
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

fn matter_line(matter: &PublishedMatter) -> String {
    let parts = match matter.parts {
        None => "raw payload".to_owned(),
        Some(1) => "1 part".to_owned(),
        Some(parts) => format!("{parts} parts"),
    };
    format!(
        "  matter   vendor {:#06x}, product {:#06x}, version {} ({}), {parts}\n",
        matter.vendor_id,
        matter.product_id,
        matter.software_version,
        // Any text of the image: nothing in it may move the cursor.
        matter.software_version_string.escape_debug(),
    )
}
