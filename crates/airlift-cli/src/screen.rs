//! The steps of an update on the screen: a line each, and a bar while bytes flow.

mod partition;

use std::time::Duration;

use airlift_sim::client::Event;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::{self, Look};

/// Width of the column with the step's name.
const STEP: usize = 10;
/// Width of a progress bar.
const BAR: usize = 30;

type Paint = fn(Look, &str) -> String;

/// Shows what happens to one device.
pub(crate) struct Screen {
    look: Look,
    indent: &'static str,
    /// To wait at each step of a download, so that people can watch it. Nobody watches a pipe.
    pace: Duration,
    bar: Option<ProgressBar>,
    /// How far the download is: bytes there, bytes in all.
    at: (u32, u32),
}

impl Screen {
    pub(crate) fn new(look: Look, indent: &'static str, pace: Duration) -> Self {
        Self {
            look,
            indent,
            pace: if look.terminal { pace } else { Duration::ZERO },
            bar: None,
            at: (0, 0),
        }
    }

    /// Shows one step.
    pub(crate) fn show(&mut self, event: &Event) {
        match event {
            Event::Progress { at, size } | Event::PartitionProgress { at, size, .. } => {
                self.at = (*at, *size);
                if let Some(bar) = &self.bar {
                    bar.set_position(u64::from(*at));
                    std::thread::sleep(self.pace);
                }
                return;
            }
            // They happen while bytes flow.
            Event::PartitionSaved { .. } | Event::SetPartStaged { .. } => {
                if let Some(bar) = self.bar.take() {
                    bar.finish_and_clear();
                }
                self.line(event);
                if self.at.1 > 0 {
                    self.bar = self.new_bar(self.at.0, self.at.1);
                }
                return;
            }
            Event::Offered { size, offset, .. } | Event::PartitionOffered { size, offset, .. } => {
                self.end_download();
                self.line(event);
                self.at = (*offset, *size);
                self.bar = self.new_bar(*offset, *size);
                return;
            }
            _ => self.end_download(),
        }
        self.line(event);
    }

    /// Shows that time passes.
    pub(crate) fn note(&mut self, text: &str) {
        self.end_download();
        let text = self.look.dim(&format!("· · ·  {text}"));
        output::print(&format!("{}{text}\n", self.indent));
    }

    /// The bar goes, and a line says how far it came.
    fn end_download(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        let (at, size) = std::mem::take(&mut self.at);
        if size > 0 {
            let filled = (u64::from(at) * BAR as u64 / u64::from(size)) as usize;
            let bar = "█".repeat(filled) + &"░".repeat(BAR - filled);
            let bar = self.look.name(&bar);
            let at = output::size(at.into());
            let size = output::size(size.into());
            self.print("download", Look::name, &format!("{bar} {at} of {size}"));
        }
    }

    fn new_bar(&self, offset: u32, size: u32) -> Option<ProgressBar> {
        if !self.look.terminal {
            return None;
        }
        let bar = ProgressBar::with_draw_target(Some(size.into()), ProgressDrawTarget::stdout());
        let step = self.look.name(&format!("{:STEP$}", "download"));
        let template = format!(
            "{}{step}{{bar:{BAR}.cyan}} {{binary_bytes}} of {{binary_total_bytes}}",
            self.indent
        );
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style.progress_chars("██░"));
        }
        bar.set_position(offset.into());
        Some(bar)
    }

    fn line(&self, event: &Event) {
        let look = self.look;
        let quiet: Paint = Look::dim;
        let (step, paint, text): (&str, Paint, String) = match event {
            Event::Booted {
                slot,
                version,
                trial,
            } => {
                let trial = if *trial {
                    look.warn(" on trial: one boot to prove itself")
                } else {
                    String::new()
                };
                (
                    "boot",
                    quiet,
                    format!("{slot} starts version {version}{trial}"),
                )
            }
            Event::Notify {
                version,
                resume_at,
                report,
            } => {
                let mut text = match resume_at {
                    None => format!("running {version}: is there an update?"),
                    Some(at) => {
                        let at = output::grouped(u64::from(*at));
                        format!("running {version}: the rest, from byte {at}?")
                    }
                };
                if let Some(report) = report {
                    text += &format!(" (reports: {report})");
                }
                ("notify", quiet, text)
            }
            Event::Connected {
                server,
                thing,
                version,
            } => (
                "notify",
                quiet,
                format!("{server}: {thing} runs {version}; is there a job?"),
            ),
            Event::TryingAgain { seconds, message } => (
                "notify",
                Look::warn,
                format!("{message}; again in {seconds} s"),
            ),
            Event::NoJob => ("notify", quiet, "no job".to_owned()),
            Event::Job { job, size } => {
                let size = output::size((*size).into());
                ("notify", Look::name, format!("job {job}: {size}"))
            }
            Event::JobTold {
                status, details, ..
            } => {
                let paint: Paint = match status.as_str() {
                    "SUCCEEDED" => Look::good,
                    "FAILED" | "REJECTED" => Look::bad,
                    _ => quiet,
                };
                let text = format!("{status} {details}");
                ("report", paint, text.trim_end().to_owned())
            }
            Event::JobOver { job } => (
                "notify",
                Look::warn,
                format!("job {job} is over: canceled, timed out or deleted"),
            ),
            Event::UpToDate => ("notify", quiet, "304: nothing new".to_owned()),
            Event::Later {
                status,
                retry_after,
            } => {
                let when = retry_after.map_or("later".to_owned(), |s| format!("in {s} s"));
                ("notify", Look::warn, format!("{status}: come back {when}"))
            }
            Event::Offered {
                version,
                size,
                offset,
            } => {
                let size = output::size(u64::from(*size));
                // Only HTTP has a status, and says the version.
                let what = |status: &str| match version {
                    Some(version) => format!("{status}: {version}"),
                    None => "an image".to_owned(),
                };
                let text = match offset {
                    0 => format!("{}, {size}", what("200")),
                    offset => {
                        let from = output::grouped(u64::from(*offset));
                        let from = look.good(&format!("going on at byte {from}"));
                        format!("{}, {size}, {from}", what("206"))
                    }
                };
                ("notify", quiet, text)
            }
            Event::Verifying => ("verify", quiet, "reading the image back from flash".into()),
            Event::Verified { sha256 } => {
                let digest = sha256.get(..16).unwrap_or(sha256);
                let text = format!("whole, for this chip and project, SHA-256 {digest}…");
                ("verify", Look::good, text)
            }
            Event::Installed { slot } => {
                let text = format!("the next boot tries {slot}");
                ("install", Look::good, text)
            }
            Event::Restarting => ("restart", quiet, String::new()),
            Event::Confirmed { version } => {
                let text = format!("version {version} works and stays");
                ("confirm", Look::good, text)
            }
            Event::Rejected { version } => {
                let text = format!("version {version} does not work; going back");
                ("reject", Look::bad, text)
            }
            Event::RolledBack { version, started } => {
                let why = if *started {
                    "the new image did not confirm itself"
                } else {
                    "the new image never started"
                };
                let text = format!("{why}; version {version} runs again");
                ("rollback", Look::warn, text)
            }
            Event::Refused { reason, message } => {
                let gap = format!("\n{}{:STEP$}", self.indent, "");
                let text = format!("{message} ({reason}){gap}what runs is untouched");
                ("refuse", Look::bad, text)
            }
            Event::Interrupted { durable, message } => {
                let safe = output::size(u64::from(*durable));
                let text = format!("{message}; {safe} are safe in flash");
                ("broken", Look::warn, text)
            }
            Event::PowerCut { message } => ("POWER CUT", Look::bad, message.clone()),
            Event::Reported { state } => {
                let text = format!("the server knows: {state}");
                ("report", quiet, text)
            }
            other => partition::words(look, self.indent, other),
        };
        self.print(step, paint, &text);
    }

    fn print(&self, step: &str, paint: fn(Look, &str) -> String, text: &str) {
        let step = paint(self.look, &format!("{step:STEP$}"));
        let line = format!("{}{step}{text}", self.indent);
        output::print(&format!("{}\n", line.trim_end()));
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.end_download();
    }
}
