//! What happens: the devices ask, download, fail and recover.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use airlift_sim::client::{Event, Settled};
use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::cast::{Actor, Role};
use super::{NEW, OLD};
use crate::output::{self, Look};
use crate::screen::Screen;

/// Devices whose story is told in full; more happen at the same time behind one bar.
const TOLD: usize = 3;
/// Time that each 16 KiB of a download take on a terminal, so that the bar can be seen.
pub(super) const PACE: Duration = Duration::from_millis(16);
/// More checks than any story has.
const MAX_CHECKS: usize = 8;

/// Every device asks once, and there is nothing new.
pub(super) fn ask_in_vain(cast: &mut [Actor], look: Look, quiet: bool) -> anyhow::Result<()> {
    for (index, actor) in cast.iter_mut().enumerate() {
        let settled = check(actor, None)?;
        if settled != Settled::UpToDate {
            bail!("{}: expected to be up to date: {settled:?}", actor.name());
        }
        if !quiet && index < TOLD {
            output::print(&format!(
                "  {}  runs {OLD}, and is told 304: nothing new\n",
                look.name(actor.name())
            ));
        }
    }
    if !quiet && cast.len() > TOLD {
        let more = cast.len() - TOLD;
        output::print(&look.dim(&format!("  and {more} more\n")));
    }
    Ok(())
}

/// Every device takes the new version, whatever comes in between.
pub(super) fn update_all(cast: &mut [Actor], look: Look, quiet: bool) -> anyhow::Result<()> {
    let told = TOLD.min(cast.len());
    let (told, rest) = cast.split_at_mut(told);
    for actor in told {
        let screen = (!quiet).then(|| {
            let story = match actor.role {
                Role::Ordinary => "an update as it should be",
                Role::PowerCut => "the power fails in the middle of the download",
                Role::CorruptedImage => "a bit of the image flips on the way",
                Role::BackupCut | Role::TwoStep | Role::Set | Role::Jobs => "data",
            };
            let name = look.bold(&look.name(actor.name()));
            output::print(&format!("\n{name}  {}\n", look.bold(story)));
            Screen::new(look, "  ", PACE)
        });
        update(actor, screen)?;
    }
    update_at_once(rest, look, quiet)
}

/// Checks until the device runs the new version, as a device in the field does every hour.
pub(super) fn update(actor: &mut Actor, mut screen: Option<Screen>) -> anyhow::Result<()> {
    for _ in 0..MAX_CHECKS {
        let settled = check(actor, screen.as_mut())?;
        let next = match settled {
            Settled::Updated { .. } | Settled::PartitionsUpdated { .. } | Settled::UpToDate => {
                return Ok(());
            }
            Settled::PowerLost => "the power is back",
            Settled::Refused { .. } => "an hour later, the next check",
            Settled::Interrupted | Settled::Later { .. } => "later, the next check",
            other => bail!("{}: did not expect this: {other:?}", actor.name()),
        };
        if let Some(screen) = &mut screen {
            screen.note(next);
        }
    }
    bail!(
        "{}: still not at {NEW} after {MAX_CHECKS} checks",
        actor.name()
    )
}

pub(super) fn check(actor: &mut Actor, screen: Option<&mut Screen>) -> anyhow::Result<Settled> {
    let Actor { device, events, .. } = actor;
    let mut screen = screen;
    let settled = device.check(&mut |event: &Event| observe(events, screen.as_deref_mut(), event));
    settled.with_context(|| format!("device {}", actor.name()))
}

/// Keeps an event, and shows it.
pub(super) fn observe(events: &mut Vec<Event>, screen: Option<&mut Screen>, event: &Event) {
    if !matches!(
        event,
        Event::Progress { .. } | Event::PartitionProgress { .. }
    ) {
        events.push(event.clone());
    }
    if let Some(screen) = screen {
        screen.show(event);
    }
}

/// Updates devices side by side, each with its own connections.
fn update_at_once(actors: &mut [Actor], look: Look, quiet: bool) -> anyhow::Result<()> {
    /// Devices that run at the same time.
    const LANES: usize = 8;
    if actors.is_empty() {
        return Ok(());
    }
    let bar = if look.terminal && !quiet {
        ProgressBar::with_draw_target(Some(actors.len() as u64), ProgressDrawTarget::stdout())
    } else {
        ProgressBar::hidden()
    };
    if let Ok(style) = ProgressStyle::with_template("  {bar:30.cyan} {pos} of {len} devices") {
        bar.set_style(style.progress_chars("██░"));
    }
    if !quiet {
        let heading = format!("The other {} devices, side by side", actors.len());
        output::print(&format!("\n{}\n", look.bold(&heading)));
    }
    let updated = AtomicUsize::new(0);
    let lane = actors.len().div_ceil(LANES);
    std::thread::scope(|scope| {
        let lanes: Vec<_> = actors
            .chunks_mut(lane)
            .map(|lane| {
                let (bar, updated) = (&bar, &updated);
                scope.spawn(move || {
                    for actor in lane {
                        update(actor, None)?;
                        updated.fetch_add(1, Ordering::Relaxed);
                        bar.inc(1);
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        for lane in lanes {
            match lane.join() {
                Ok(result) => result?,
                Err(_) => bail!("a device of the demo panicked: this is a defect"),
            }
        }
        anyhow::Ok(())
    })?;
    bar.finish_and_clear();
    if !quiet {
        let updated = updated.into_inner();
        output::print(&format!("  {updated} updated to {NEW}\n"));
    }
    Ok(())
}
