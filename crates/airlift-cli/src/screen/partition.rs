//! What the steps of partitions, data and sets are called.

use airlift_sim::client::Event;

use super::{Paint, STEP};
use crate::output::{self, Look};

/// The step, its colour, and what is said of it.
pub(super) fn words(look: Look, indent: &str, event: &Event) -> (&'static str, Paint, String) {
    let quiet: Paint = Look::dim;
    let next_line = format!("\n{indent}{:STEP$}", "");
    let bytes = |count: &u32| output::size(u64::from(*count));
    match event {
        Event::Ordered { url, partition } => {
            let what = partition.as_deref().unwrap_or("an app");
            ("order", quiet, format!("{what} from {url}"))
        }
        Event::PartitionNotify {
            partition,
            resume_at,
            report,
        } => {
            let mut text = match resume_at {
                None => format!("{partition}: is there new content?"),
                Some(at) => {
                    let at = output::grouped(u64::from(*at));
                    format!("{partition}: the rest, from byte {at}?")
                }
            };
            if let Some(report) = report {
                text += &format!(" (reports: {report})");
            }
            ("notify", quiet, text)
        }
        Event::PartitionUpToDate { partition } => {
            ("notify", quiet, format!("{partition}: 304: nothing new"))
        }
        Event::PartitionOffered {
            partition,
            version,
            size,
            offset,
        } => {
            let version = version.as_deref().unwrap_or("new content");
            let mut text = format!("{partition}: {version}, {}", bytes(size));
            if *offset > 0 {
                let from = output::grouped(u64::from(*offset));
                text += &format!(", {}", look.good(&format!("going on at byte {from}")));
            }
            ("offer", quiet, text)
        }
        Event::PartitionSaved {
            partition,
            bytes: count,
        } => {
            let text = format!(
                "{partition}: the old content, {}, copied away and verified",
                bytes(count)
            );
            ("save", Look::good, text)
        }
        Event::PartitionUpdated {
            partition, sha256, ..
        } => {
            let digest = sha256.get(..16).unwrap_or(sha256);
            let text = format!("{partition} holds the new content, SHA-256 {digest}…");
            ("update", Look::good, text)
        }
        Event::PartitionRestored {
            partition,
            reason,
            message,
        } => {
            let text =
                format!("{message} ({reason}){next_line}{partition} holds its old content again");
            ("restore", Look::warn, text)
        }
        Event::PartitionRefused {
            partition,
            reason,
            message,
            whole,
        } => {
            let after = if *whole {
                format!("{partition} is untouched")
            } else {
                format!("{partition} is not whole until it is updated")
            };
            (
                "refuse",
                Look::bad,
                format!("{message} ({reason}){next_line}{after}"),
            )
        }
        Event::PartitionRecovered { partition, content } => {
            let how = match *content {
                "new" => "the interrupted update was finished: the new content is in place",
                _ => "the interrupted update was undone: the old content is back",
            };
            ("recover", Look::good, format!("{partition}: {how}"))
        }
        Event::PartitionDamaged {
            partition,
            durable,
            size,
            ..
        } => {
            let text = format!(
                "{partition} is not whole: {} of {} of its update are there",
                bytes(durable),
                bytes(size)
            );
            ("damage", Look::warn, text)
        }
        Event::PartitionReported { partition, state } => (
            "report",
            quiet,
            format!("the server knows of {partition}: {state}"),
        ),
        Event::DataPlanned {
            name,
            version,
            size,
        } => {
            let text = format!(
                "step 1 of 2: the new app works with {name} {version}, {}",
                bytes(size)
            );
            ("plan", quiet, text)
        }
        Event::DataMissing {
            version,
            size,
            durable,
            ..
        } => {
            let text = format!(
                "missing: version {version}, {} of {} are there",
                bytes(durable),
                bytes(size)
            );
            ("data", Look::warn, text)
        }
        Event::DataPresent { name, version, .. } => {
            let text = format!("step 2 of 2: {name} {version} is where the old app was");
            ("data", Look::good, text)
        }
        Event::SetPartStaged {
            tag,
            content,
            size,
            was_there,
        } => {
            let (what, is) = match was_there {
                true => ("keep", "has not changed"),
                false => ("stage", "whole where it waits"),
            };
            let text = format!("tag {tag}, {content}, {}: {is}", bytes(size));
            (what, quiet, text)
        }
        Event::SetPassedOver { bytes: passed } => {
            let text = format!("of that, {} were here, and were not fetched", bytes(passed));
            ("", quiet, text)
        }
        Event::SetApplied { version } => {
            let text = format!("all parts of {version} are in place; its app is tried last");
            ("apply", Look::good, text)
        }
        Event::SetRecovered { content } => match *content {
            "new" => {
                let text = "the set was being applied: it is rolled forward";
                ("recover", Look::good, text.to_owned())
            }
            _ => {
                let text = "the set was being undone: every part goes back";
                ("recover", Look::warn, text.to_owned())
            }
        },
        Event::SetDone {
            version,
            software_version,
        } => {
            let version = if version.is_empty() {
                "the image"
            } else {
                version
            };
            let text = format!(
                "all parts of {version} (software version {software_version}) are in place, and stay"
            );
            ("set", Look::good, text)
        }
        Event::SetUndone { reason } => {
            let text = format!("every part is what it was before ({reason})");
            ("set", Look::warn, text)
        }
        Event::SetFailed { reason } => {
            let text = format!("some parts are new, and some are not ({reason})");
            ("set", Look::bad, text)
        }
        Event::SetRefused { .. } => {
            let refusal = event.refusal().unwrap_or_default();
            let text = format!("{refusal}{next_line}nothing in use was touched");
            ("refuse", Look::bad, text)
        }
        // The sim may grow events; one that is not known here is shown as it shows itself.
        other => ("", quiet, other.to_string()),
    }
}
