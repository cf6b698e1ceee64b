//! The last set, part by part.

use airlift_sim::client::SetReport;

use crate::output::{Cell, Look, Side, table};

pub(in crate::device) fn set_text(look: Look, set: Option<&SetReport>) -> String {
    let Some(set) = set else {
        return String::new();
    };
    let state = match set.state {
        "done" => look.good("all parts are in place"),
        "undone" => look.warn("undone: all parts are what they were before"),
        "on-trial" => look.warn("all parts are in place; the app is on trial"),
        "applied" => look.warn("all parts are in place; the next boot tries the app"),
        "applying" => look.warn("being applied: the next boot goes on"),
        "partly" => look.bad("some parts may be new, and some old"),
        _ => look.warn("being undone: the next boot goes on"),
    };
    let version = match (&set.version, set.software_version) {
        (Some(version), Some(number)) => {
            format!("; the device has version {version} (software version {number})")
        }
        (None, Some(number)) => format!("; the device has software version {number}"),
        _ => String::new(),
    };
    let reason = set.reason.as_deref().unwrap_or_default();
    let why = match set.failed_tag {
        Some(0) => format!("; the app did not stay ({reason})"),
        Some(tag) => format!("; the part with the tag {tag} could not be applied ({reason})"),
        None => String::new(),
    };
    let digest = set.sha256.get(..16).unwrap_or(&set.sha256);
    let told = if set.reported { "yes" } else { "not yet" };
    let rows: Vec<Vec<Cell>> = set
        .parts
        .iter()
        .map(|part| {
            let holds = match part.holds {
                "new" => Cell::painted("new", Look::good),
                "old" => Cell::painted("old", Look::name),
                other => Cell::painted(other, Look::warn),
            };
            vec![
                part.tag.to_string().into(),
                part.content.into(),
                Cell::painted(&part.place, Look::name),
                holds,
            ]
        })
        .collect();
    let columns = [
        ("tag", Side::Right),
        ("part", Side::Left),
        ("place", Side::Left),
        ("holds", Side::Left),
    ];
    format!(
        "\n{}  {state}{why}{version}\n  payload SHA-256 {digest}\n  reported to the server: {told}\n\n{}",
        look.bold("Set"),
        table(look, &columns, &rows)
    )
}
