//! wrk: keeps a number of connections busy and counts.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, bail};

use super::Load;
use crate::workspace::{Workspace, output};

/// Connections at a time.
pub(super) const CONNECTIONS: u32 = 64;

/// What starts the line that the script prints at the end.
const MARK: &str = "airlift-bench";

/// A head alone, without a body, has fewer bytes than this.
const MOST_HEAD: f64 = 2048.0;

/// What one run of wrk counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    pub(super) requests: u64,
    pub(super) time: Duration,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
}

impl Sample {
    /// Requests a second.
    pub(super) fn per_second(&self) -> f64 {
        self.requests as f64 / self.time.as_secs_f64()
    }

    /// Reads `MARK requests microseconds p50 p99 bytes wrong failed`.
    fn parse(text: &str, body_len: Option<usize>) -> Result<Self> {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(MARK))
            .context("wrk printed no result")?;
        let numbers: Vec<f64> = line
            .split_whitespace()
            .filter_map(|number| number.parse().ok())
            .collect();
        let &[requests, time, p50, p99, bytes, wrong, failed] = numbers.as_slice() else {
            bail!("wrk printed something else: {line}");
        };
        if wrong > 0.0 || failed > 0.0 {
            bail!(
                "{wrong} answers had another status and {failed} connections failed: this run is worth nothing"
            );
        }
        if requests < 1.0 {
            bail!("no request was answered");
        }
        // wrk takes every status below 400 for good. The length tells a download from a 304.
        let fits = |len: f64| body_len.map_or(len < MOST_HEAD, |body_len| len >= body_len as f64);
        if !fits(bytes / requests) {
            bail!(
                "the answers have {:.0} bytes each: they are not what was asked for",
                bytes / requests
            );
        }
        Ok(Self {
            requests: requests as u64,
            time: Duration::from_secs_f64(time / 1e6),
            p50_ms: p50 / 1e3,
            p99_ms: p99 / 1e3,
        })
    }
}

/// The script that makes wrk send this request and print the result.
pub(super) fn script(path: &str, fields: &[(&str, &str)]) -> String {
    let mut script = format!("wrk.method = \"GET\"\nwrk.path = {path:?}\n");
    for (name, value) in fields {
        script += &format!("wrk.headers[{name:?}] = {value:?}\n");
    }
    script += &format!(
        r#"
function done(summary, latency, requests)
    local errors = summary.errors
    local failed = errors.connect + errors.read + errors.write + errors.timeout
    io.write(string.format("{MARK} %d %d %d %d %d %d %d\n", summary.requests, summary.duration,
        latency:percentile(50), latency:percentile(99), summary.bytes, errors.status, failed))
end
"#
    );
    script
}

/// Applies the load once.
///
/// # Errors
/// Fails if wrk cannot be started, or if an answer or a connection failed.
pub(super) fn run(workspace: &Workspace, load: &Load<'_>, time: Duration) -> Result<Sample> {
    let script: &Path = &load.script;
    let mut command = workspace.command("wrk");
    command
        .args([
            "-t1",
            &format!("-c{CONNECTIONS}"),
            &format!("-d{}s", time.as_secs()),
            "-s",
        ])
        .arg(script)
        .arg(format!(
            "http://127.0.0.1:{}{}",
            load.server.port(),
            load.path
        ));
    let text = output(&mut command)?;
    Sample::parse(&text, load.body_len())
        .with_context(|| format!("{}: {}", load.subject, load.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_the_script_is_read() {
        let text = "Running 2s test\nairlift-bench 250000 2000000 500 1500 50000000 0 0\n";
        let sample = Sample::parse(text, None).expect("a good line");
        assert_eq!(sample.per_second(), 125_000.0);
        assert_eq!((sample.p50_ms, sample.p99_ms), (0.5, 1.5));
    }

    #[test]
    fn a_run_with_failures_counts_for_nothing() {
        for counts in [
            "10 2000000 1 1 900 1 0",
            "10 2000000 1 1 900 0 1",
            "0 2 0 0 0 0 0",
            "10 2",
        ] {
            assert!(
                Sample::parse(&format!("{MARK} {counts}"), None).is_err(),
                "{counts}"
            );
        }
        assert!(Sample::parse("unable to connect", None).is_err());
    }

    #[test]
    fn an_answer_of_another_length_is_not_what_was_measured() {
        let download = "airlift-bench 10 2000000 1 1 10490000 0 0";
        assert!(Sample::parse(download, Some(1 << 20)).is_ok());
        assert!(Sample::parse(download, None).is_err());
        let check = "airlift-bench 10 2000000 1 1 2000 0 0";
        assert!(Sample::parse(check, Some(1 << 20)).is_err());
    }
}
