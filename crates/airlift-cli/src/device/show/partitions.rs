//! What the engine knows of partitions and data.

use airlift_sim::client::{DataReport, Inspection, PartitionReport};

use crate::output::{self, Cell, Look, Side, table};

/// The state of the partition at this address, unless it holds an app.
pub(super) fn state(found: &Inspection, offset: u32) -> Option<PartitionReport> {
    let mut reports = found.partitions.iter();
    let report = reports.find(|report| report.offset == offset)?;
    (report.kind != "app").then(|| report.clone())
}

/// The partitions that were ever updated.
pub(super) fn states_text<'r>(
    look: Look,
    reports: impl Iterator<Item = &'r PartitionReport>,
) -> String {
    let rows: Vec<Vec<Cell>> = reports
        .filter(|report| report.last.is_some() || report.state != "whole")
        .map(|report| {
            let state = match report.state {
                "whole" => Cell::painted("whole", Look::good),
                "pending" => Cell::painted("whole, update on its way", Look::warn),
                "on-trial" => Cell::painted("new, on trial with its set", Look::warn),
                _ => Cell::painted("damaged: an update was interrupted", Look::bad),
            };
            let update = match (report.last, report.durable, report.update_size) {
                (Some(last), ..) => match report.reason {
                    Some(reason) => format!("{last} ({reason})"),
                    None => last.to_owned(),
                },
                (None, Some(durable), Some(size)) => format!(
                    "{} of {} bytes are safe",
                    output::grouped(durable.into()),
                    output::grouped(size.into())
                ),
                _ => String::new(),
            };
            let digest = report.sha256.as_deref().and_then(|hex| hex.get(..16));
            vec![
                Cell::painted(&report.name, Look::name),
                state,
                update.into(),
                digest.unwrap_or_default().into(),
            ]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let columns = [
        ("partition", Side::Left),
        ("state", Side::Left),
        ("last update", Side::Left),
        ("SHA-256", Side::Left),
    ];
    format!("\n{}", table(look, &columns, &rows))
}

/// The data of a two-step device.
pub(super) fn data_text(look: Look, data: Option<&DataReport>) -> String {
    let Some(data) = data else {
        return String::new();
    };
    let state = match (data.state, data.offset) {
        ("present", Some(offset)) => look.good(&format!("present at {offset:#x}")),
        ("fetching", _) => look.warn(&format!(
            "being fetched, {} bytes are safe",
            output::grouped(data.durable.into())
        )),
        (state, _) => look.warn(state),
    };
    format!(
        "\n{}  {state}: version {}, {} bytes, SHA-256 {}\n  from {}\n",
        look.bold("Data of the app"),
        data.version,
        output::grouped(data.size.into()),
        data.sha256.get(..16).unwrap_or_default(),
        data.source
    )
}
