//! A Matter OTA image by hand: all parts of it, or none.

use std::path::Path;

use airlift_sim::client::{Event, Put, SetReport, VirtualDevice};
use anyhow::{Context, bail};

use super::Args;
use crate::device::config::File;
use crate::device::run::observer;
use crate::device::set;
use crate::device::show;
use crate::output::{self, Look};

pub(super) fn run(args: &Args, config: &Path, image: &[u8]) -> anyhow::Result<()> {
    let configured = File::read(config)?;
    let plan = set::needed(configured.set(config)?, config)?;
    let flash = configured.flash(args.flash.as_deref(), config)?;
    let mut device = VirtualDevice::open_offline(&flash)
        .with_context(|| format!("{}: cannot be switched on", flash.display()))?;
    let partitions = configured.plans(config)?;
    device
        .set_partitions(&partitions, configured.two_step.as_deref())
        .with_context(|| config.display().to_string())?;
    set::declare(&mut device, &plan, config)?;
    device.set_faults(args.faults());
    let mut show = observer(args.json);
    let mut end = End::default();
    let mut on = |event: &Event| {
        end.note(event);
        show(event);
    };
    let (put, mut set) = match device.power_on(&mut on)? {
        None => (Put::PowerLost, None),
        Some(mut running) => (running.put_set(image, &mut on)?, running.set()?),
    };
    if put == Put::Restart {
        // The app of the set is tried, and everything stays or goes.
        set = match device.power_on(&mut on)? {
            None => None,
            Some(mut running) => running.set()?,
        };
    }
    drop(show);
    end.conclude(args, &put, set.as_ref())
}

/// How it ended, as far as events say so.
#[derive(Default)]
struct End {
    refused: Option<String>,
    done: bool,
    failed: bool,
}

impl End {
    fn note(&mut self, event: &Event) {
        match event {
            Event::SetRefused { .. } => self.refused = event.refusal(),
            // What an earlier image came to may be told first.
            Event::PartitionOffered { .. } => *self = Self::default(),
            Event::SetDone { .. } => self.done = true,
            Event::SetFailed { .. } => self.failed = true,
            _ => {}
        }
    }

    fn conclude(self, args: &Args, put: &Put, set: Option<&SetReport>) -> anyhow::Result<()> {
        let file = args.file.display();
        if let Some(refused) = self.refused {
            bail!("{file} was not installed: {refused}; nothing in use was touched");
        }
        if self.failed {
            bail!("{file} is installed in part: some parts are new, and some are not");
        }
        if self.done || *put == Put::WasThere {
            if !args.json {
                let text = show::set_text(Look::stdout(), set);
                output::print(text.trim_start());
            }
            return Ok(());
        }
        match set {
            Some(set) if set.state == "undone" && *put != Put::PowerLost => {
                bail!("{file} did not stay: every part is what it was before")
            }
            _ => bail!(
                "the power failed; run the same command again: the device first rolls the set forward, or takes it back"
            ),
        }
    }
}
