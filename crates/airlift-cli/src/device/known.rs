//! `airlift device list` and `tag`: what a server knows of devices, and what people say of them.

use airlift_rollout::Filter;
use anyhow::bail;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::output::{self, Cell, Look, Side};
use crate::publish::{MAX_NAME, check_name};
use crate::remote::{Remote, short_time};

/// List devices that a server knows
#[derive(clap::Args)]
pub(crate) struct List {
    /// Only these, for example `version<2.0 and tag=lab and last_seen>7d`
    #[arg(long, value_name = "FILTER")]
    filter: Option<Filter>,
    /// Devices behind this one in the order of the names: 1000 are listed at once
    #[arg(long, value_name = "NODE")]
    after: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// Give devices tags, take tags away, or put devices in a group
#[derive(clap::Args)]
pub(crate) struct Tag {
    /// The devices
    #[arg(value_name = "NODE", required = true)]
    nodes: Vec<String>,
    /// Tags to give
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    add: Vec<String>,
    /// Tags to take away
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    remove: Vec<String>,
    /// The group to put them in; an empty one takes them out of theirs
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// As the server tells it, as far as it is shown.
#[derive(Deserialize)]
struct Told {
    node: String,
    project: String,
    key: String,
    group: Option<String>,
    tags: Vec<String>,
    version: Option<String>,
    running_release: Option<Running>,
    decision: String,
    last_seen: String,
}

#[derive(Deserialize)]
struct Running {
    version: String,
}

#[derive(Deserialize)]
struct Devices {
    devices: Vec<Told>,
}

pub(super) fn list(args: &List) -> anyhow::Result<()> {
    let session = args.remote.session()?;
    let filter = args.filter.as_ref().map(ToString::to_string);
    let mut query = vec![("limit", "1000")];
    query.extend(filter.as_deref().map(|filter| ("filter", filter)));
    query.extend(args.after.as_deref().map(|after| ("after", after)));
    let answer = session.get(&["devices"], &query)?;
    session.print(answer, |list: Devices| table(Look::stdout(), &list.devices))
}

pub(super) fn tag(args: &Tag) -> anyhow::Result<()> {
    if args.add.is_empty() && args.remove.is_empty() && args.group.is_none() {
        bail!("nothing to do: say --add TAG, --remove TAG or --group NAME");
    }
    for node in &args.nodes {
        check_name("NODE", Some(node), MAX_NAME)?;
    }
    for tag in &args.add {
        check_name("--add", Some(tag), MAX_NAME)?;
    }
    let group = args.group.as_ref().filter(|group| !group.is_empty());
    check_name("--group", group, MAX_NAME)?;
    let mut change = json!({ "add_tags": args.add, "remove_tags": args.remove });
    if let Some(group) = &args.group {
        change["group"] = json!(group);
    }
    let session = args.remote.session()?;
    let mut changed = Vec::new();
    for node in &args.nodes {
        changed.push(session.patch(&["devices", node], &change)?);
    }
    let answer = json!({ "devices": Value::Array(changed) });
    session.print(answer, |list: Devices| table(Look::stdout(), &list.devices))
}

fn table(look: Look, devices: &[Told]) -> String {
    if devices.is_empty() {
        return "No devices.\n".to_owned();
    }
    let columns = [
        ("device", Side::Left),
        ("project", Side::Left),
        ("key", Side::Left),
        ("version", Side::Left),
        ("group", Side::Left),
        ("tags", Side::Left),
        ("told", Side::Left),
        ("last seen", Side::Left),
    ];
    let row = |device: &Told| {
        let published = device
            .running_release
            .as_ref()
            .map(|release| &release.version);
        let version = published.or(device.version.as_ref());
        vec![
            device.node.clone().into(),
            device.project.clone().into(),
            device.key.clone().into(),
            version.map_or_else(
                || Cell::painted("unknown", Look::dim),
                |version| version.escape_debug().to_string().into(),
            ),
            device.group.clone().unwrap_or_default().into(),
            device.tags.join(" ").into(),
            device.decision.clone().into(),
            short_time(&device.last_seen).into(),
        ]
    };
    let rows: Vec<_> = devices.iter().map(row).collect();
    output::table(look, &columns, &rows)
}
