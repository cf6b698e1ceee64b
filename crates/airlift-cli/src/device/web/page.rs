//! The page, as HTML. Whatever comes from the flash, the server or a request goes through [`escaped`].

use std::fmt::Write as _;

use airlift_sim::client::{PartitionReport, SetReport};

use super::desk::Status;
use crate::output;

const STYLE: &str = "
:root{color-scheme:light dark;--fg:#1b1f24;--bg:#f6f7f9;--card:#fff;--line:#d5dae1;--dim:#57606a;--good:#116329;--warn:#8a4b00;--bad:#b3261e;--accent:#0550ae}
@media(prefers-color-scheme:dark){:root{--fg:#e6e9ed;--bg:#15181c;--card:#1e2227;--line:#3a4048;--dim:#a3acb7;--good:#6bd68a;--warn:#f0b35a;--bad:#ff8f87;--accent:#79b8ff}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:52rem;padding:1rem;font:1rem/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg)}
h1{font-size:1.4rem;margin:.2rem 0 1rem;overflow-wrap:anywhere}
h2{font-size:1.05rem;margin:0 0 .6rem}
section{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:1rem;margin:0 0 1rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem;margin:0}
dt{color:var(--dim)}dd{margin:0;overflow-wrap:anywhere}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.35rem .8rem .35rem 0;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--dim);font-weight:600}
td.n,th.n{text-align:right}
.good{color:var(--good)}.warn{color:var(--warn)}.bad{color:var(--bad)}
progress{width:100%;height:1.2rem;accent-color:var(--accent)}
label{display:block;margin:.6rem 0 .2rem;font-weight:600}
input,select,button{font:inherit;width:100%;padding:.6rem;border:1px solid var(--line);border-radius:.4rem;color:var(--fg);background:var(--bg)}
button{margin-top:1rem;background:var(--accent);color:var(--card);border:0;font-weight:600;cursor:pointer}
button:disabled{opacity:.5;cursor:default}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
.hint{color:var(--dim);font-size:.9rem;margin:.3rem 0 0}
";

/// Text that stays text, between tags and in quoted attributes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            // What a version from a damaged flash may hold, and HTML must not.
            c if c.is_control() => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
    out
}

fn document(title: &str, refresh: &str, body: &str) -> String {
    let title = escaped(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n{refresh}\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

/// One sentence, and the way back.
pub(super) fn message(message: &str, good: bool) -> String {
    // After an error, the way back is the reader's own.
    let refresh = if good {
        "<meta http-equiv=\"refresh\" content=\"1;url=/\">\n"
    } else {
        ""
    };
    let message = escaped(message);
    let body = format!(
        "<h1>Update</h1>\n<section role=\"status\"><p>{message}</p><p><a href=\"/\">Back to the device</a></p></section>\n"
    );
    document("Update", refresh, &body)
}

/// All that the device says of itself.
pub(super) fn page(status: &Status) -> String {
    let refresh = if status.busy {
        "<meta http-equiv=\"refresh\" content=\"1\">\n"
    } else {
        ""
    };
    let mut body = format!("<h1>{}</h1>\n", escaped(&status.node));
    body += &app(status);
    body += &update(status);
    body += &data(status);
    body += &set(status.set.as_ref());
    body += &partitions(&status.partitions);
    body += &form(status);
    document(&format!("{} - Airlift", status.node), refresh, &body)
}

fn app(status: &Status) -> String {
    let Some(app) = &status.app else {
        return "<section><h2>App</h2><p>The device is starting.</p></section>\n".to_owned();
    };
    let project = if app.project.is_empty() {
        "none".to_owned()
    } else {
        escaped(&app.project)
    };
    format!(
        "<section><h2>App</h2><dl><dt>Version</dt><dd>{}</dd><dt>Project</dt><dd>{project}</dd><dt>Slot</dt><dd>{}</dd></dl></section>\n",
        escaped(&app.version),
        escaped(&app.slot)
    )
}

fn update(status: &Status) -> String {
    let mut text = "<section aria-live=\"polite\"><h2>Update</h2>\n".to_owned();
    match &status.progress {
        Some(progress) if status.busy => {
            let (at, size) = (progress.at, progress.size);
            let _ = writeln!(
                text,
                "<p id=\"going\">{}: {} of {}</p><progress aria-labelledby=\"going\" max=\"{size}\" value=\"{at}\"></progress>",
                escaped(&progress.target),
                output::size(at.into()),
                output::size(size.into())
            );
        }
        _ if status.busy => text += "<p>An update is about to start.</p>\n",
        _ => {}
    }
    match &status.last_update {
        Some(last) => {
            let class = match last.result {
                "updated" => "good",
                "refused" | "failed" => "bad",
                _ => "warn",
            };
            let _ = writeln!(
                text,
                "<dl><dt>Last update</dt><dd>{}: <strong class=\"{class}\">{}</strong></dd><dt>Result</dt><dd>{}</dd></dl>",
                escaped(&last.target),
                last.result,
                escaped(&last.message)
            );
        }
        None if !status.busy => text += "<p>None since the device was switched on.</p>\n",
        None => {}
    }
    text + "</section>\n"
}

fn data(status: &Status) -> String {
    let Some(data) = &status.data else {
        return String::new();
    };
    let class = if data.state == "present" {
        "good"
    } else {
        "warn"
    };
    format!(
        "<section><h2>Data of the app</h2><dl><dt>State</dt><dd class=\"{class}\">{}</dd><dt>Version</dt><dd>{}</dd><dt>Size</dt><dd>{} of {}</dd><dt>From</dt><dd>{}</dd></dl></section>\n",
        data.state,
        escaped(&data.version),
        output::size(data.durable.into()),
        output::size(data.size.into()),
        escaped(&data.source)
    )
}

fn set(set: Option<&SetReport>) -> String {
    let Some(set) = set else {
        return String::new();
    };
    let mut rows = String::new();
    for part in &set.parts {
        let class = match part.holds {
            "new" => "good",
            "old" => "",
            _ => "warn",
        };
        let _ = writeln!(
            rows,
            "<tr><th scope=\"row\" class=\"n\">{}</th><td>{}</td><td>{}</td><td class=\"{class}\">{}</td></tr>",
            part.tag,
            part.content,
            escaped(&part.place),
            part.holds
        );
    }
    let version = set.version.as_deref().map(escaped);
    let version = version.unwrap_or_else(|| "-".to_owned());
    format!(
        "<section><h2 id=\"set\">Set of parts</h2><dl><dt>State</dt><dd>{}</dd><dt>Version</dt><dd>{version}</dd></dl>\n\
         <div class=\"scroll\" role=\"region\" aria-labelledby=\"set\" tabindex=\"0\"><table>\n\
         <thead><tr><th scope=\"col\" class=\"n\">Tag</th><th scope=\"col\">Part</th><th scope=\"col\">Place</th><th scope=\"col\">Holds</th></tr></thead>\n\
         <tbody>\n{rows}</tbody></table></div></section>\n",
        set.state
    )
}

fn partitions(reports: &[PartitionReport]) -> String {
    let mut rows = String::new();
    for report in reports {
        let (class, state) = match report.state {
            "whole" if report.kind == "app" => ("", "-"),
            "whole" => ("good", "whole"),
            "pending" => ("warn", "whole, update on its way"),
            "on-trial" => ("warn", "new, on trial with its set"),
            _ => ("bad", "not whole"),
        };
        let last = match (report.last, report.reason) {
            (Some(last), Some(reason)) => format!("{last} ({reason})"),
            (Some(last), None) => last.to_owned(),
            (None, _) => "-".to_owned(),
        };
        let _ = writeln!(
            rows,
            "<tr><th scope=\"row\">{}</th><td class=\"n\">{}</td><td class=\"{class}\">{state}</td><td>{last}</td><td>{}</td><td>{}</td><td class=\"n\">{:#x}</td></tr>",
            escaped(&report.name),
            output::size(report.size.into()),
            report.scheme.unwrap_or("-"),
            report.kind,
            report.offset,
        );
    }
    format!(
        "<section><h2 id=\"parts\">Partitions</h2>\n<div class=\"scroll\" role=\"region\" aria-labelledby=\"parts\" tabindex=\"0\"><table>\n\
         <thead><tr><th scope=\"col\">Name</th><th scope=\"col\" class=\"n\">Size</th><th scope=\"col\">State</th><th scope=\"col\">Last update</th><th scope=\"col\">Scheme</th><th scope=\"col\">Type</th><th scope=\"col\" class=\"n\">Offset</th></tr></thead>\n\
         <tbody>\n{rows}</tbody></table></div></section>\n"
    )
}

fn form(status: &Status) -> String {
    let mut targets = "<option value=\"\">the app</option>".to_owned();
    for name in &status.targets {
        let name = escaped(name);
        let _ = write!(targets, "<option value=\"{name}\">{name}</option>");
    }
    let disabled = if status.busy { " disabled" } else { "" };
    format!(
        "<section><h2>Update from an address</h2>\n<form method=\"post\" action=\"/ota\" autocomplete=\"off\"><fieldset{disabled} style=\"border:0;margin:0;padding:0;min-width:0\">\n\
         <label for=\"url\">Address</label><input id=\"url\" name=\"url\" type=\"url\" required maxlength=\"512\" placeholder=\"http://host/file.bin\" aria-describedby=\"urlhint\">\n\
         <p class=\"hint\" id=\"urlhint\">http only; the server has to send x-SHA256, or give the digest below.</p>\n\
         <label for=\"partition\">For</label><select id=\"partition\" name=\"partition\">{targets}</select>\n\
         <label for=\"sha256\">SHA-256 (optional)</label><input id=\"sha256\" name=\"sha256\" pattern=\"[0-9a-fA-F]{{64}}\" maxlength=\"64\">\n\
         <label for=\"token\">Token</label><input id=\"token\" name=\"token\" type=\"password\" required maxlength=\"128\">\n\
         <button>Start the update</button>\n</fieldset></form></section>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::super::desk::AppStatus;
    use super::*;

    #[test]
    fn text_stays_text() {
        let evil = "\"><script>alert('x')</script>&\u{0}";
        let status = Status {
            node: evil.to_owned(),
            app: Some(AppStatus {
                slot: evil.to_owned(),
                project: evil.to_owned(),
                version: evil.to_owned(),
            }),
            targets: vec![evil.to_owned()],
            ..Status::default()
        };
        for html in [page(&status), message(evil, false)] {
            assert!(!html.contains("<script"), "{html}");
            assert!(!html.contains('\u{0}'));
            assert!(
                html.contains("&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;")
            );
        }
    }
}
