//! `airlift explain`: why a device gets or does not get an update.

use serde::Deserialize;

use crate::output::{self, Cell, Look, Side};
use crate::publish::{MAX_NAME, check_name};
use crate::remote::Remote;

/// Say why a device gets or does not get an update
///
/// Every rule in its order, with the values that it looks at, by what the device said last. Nothing is changed.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The device
    #[arg(long, value_name = "NODE")]
    device: String,
    /// For the data of this partition, not for the app
    #[arg(long, value_name = "NAME")]
    partition: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Deserialize)]
struct Told {
    node: String,
    project: String,
    key: String,
    wanted: String,
    runs: Option<String>,
    decision: String,
    release: Option<ToldRelease>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct ToldRelease {
    id: i64,
    version: String,
}

#[derive(Deserialize)]
struct Step {
    rule: String,
    verdict: String,
    says: String,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    check_name("--device", Some(&args.device), MAX_NAME)?;
    let session = args.remote.session()?;
    let partition = args.partition.as_deref();
    let query: Vec<_> = partition
        .map(|name| ("partition", name))
        .into_iter()
        .collect();
    let answer = session.get(&["devices", &args.device, "explain"], &query)?;
    session.print(answer, |told: Told| text(Look::stdout(), &told))
}

fn text(look: Look, told: &Told) -> String {
    let decision = match &told.release {
        Some(release) => look.good(&format!(
            "is offered release {}, version {}",
            release.id, release.version
        )),
        None => look.warn(&format!("gets nothing: {}", told.decision)),
    };
    let wanted = match told.wanted.as_str() {
        "app" => String::new(),
        partition => format!(" for its partition {partition}"),
    };
    let runs = told.runs.as_deref().unwrap_or("an unknown version");
    let rows: Vec<_> = told
        .steps
        .iter()
        .map(|step| {
            let paint = match step.verdict.as_str() {
                "yes" | "offer" => Look::good,
                "no" => Look::bad,
                "wait" => Look::warn,
                _ => Look::dim,
            };
            vec![
                step.rule.clone().into(),
                Cell::painted(step.verdict.clone(), paint),
                // Versions of devices are in it: nothing may move the cursor.
                step.says.escape_debug().to_string().into(),
            ]
        })
        .collect();
    let columns = [("rule", Side::Left), ("", Side::Left), ("why", Side::Left)];
    format!(
        "{} ({}, {}) runs {}\nIf it asked now{wanted}, it {decision}\n\n{}",
        look.bold(&told.node),
        told.project,
        told.key,
        runs.escape_debug(),
        output::table(look, &columns, &rows)
    )
}
