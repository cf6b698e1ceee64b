//! The orchestrator: one update from offer to confirmation, over any number of power cuts.
//!
//! ```text
//!          begin, write, finish          activate            reboot              confirm
//!  Idle ------------------------> Staged ---------> Armed ---------> OnTrial ----------------> Idle (Confirmed)
//!    ^   Downloading: resumes       ^  ^  the record    |  the boot     |  reject, any reset
//!    |   where it stopped           |  +- was torn -----+  loader says  +--------------------> Idle (RolledBack)
//!    +--- Refused                   |                      no: RolledBack
//!                                   +---- the confirmation was torn
//! ```
//!
//! Each arrow is one journal record written *before* the flash is changed, so that [`Updater::start`], which every boot
//! begins with, can tell from the journal and the boot selection what really happened.

mod claims;
mod download;
mod transfer;

pub(crate) use claims::APP_ID;
pub use download::Download;
pub(crate) use download::check_buffer;
pub(crate) use transfer::{Transfer, digest_flash, read_part};

use super::install::{BootControl, SlotState};
use super::journal::{Journal, Phase, RECORD_LEN, Record, Subject};
use super::{NorFlash, dual};
use crate::error::LayoutError;
use crate::flash::Region;
use crate::status::{NEVER_STARTED, outcome_of};
use crate::verify::ImageCheck;
use crate::{Error, Layout, MAX_ATTEMPTS, Offer, Refusal, Status};

/// The engine: owns the flash and the boot selection.
#[derive(Debug)]
pub struct Updater<'l, F, B> {
    pub(crate) flash: F,
    boot: B,
    pub(crate) layout: Layout<'l>,
    pub(crate) running: Option<u8>,
    pub(crate) journal: Journal,
    /// Of a download: bytes that are durable.
    durable: u32,
    /// Of a trial: the boot loader goes back by itself.
    monitored: bool,
}

#[dual(AFIT)]
impl<'l, F: NorFlash, B: BootControl> Updater<'l, F, B> {
    /// Starts the engine of a device that updates nothing but its app, once at every boot: finds out what the last power cut or reboot
    /// interrupted, and repairs what needs it. For a device that updates partitions, there is [`recover`](Self::recover). There is no
    /// other way to get an updater, so this cannot be forgotten.
    ///
    /// `running` is the slot that the boot loader started, `None` for a factory app outside of the slots.
    ///
    /// # Errors
    ///
    /// [`Error::Layout`] if the regions do not fit the flash or each other; [`Error::NotRecovered`] if the update of a partition was
    /// interrupted, so that it is `recover` that must be called; an error of the flash. Repairs are idempotent: call again after the next boot.
    pub async fn start(
        flash: F,
        boot: B,
        layout: Layout<'l>,
        running: Option<u8>,
    ) -> Result<Self, Error<F::Error>> {
        let mut updater = Self::start_app(flash, boot, layout, running).await?;
        let mut number = 0;
        while let Some(subject) = updater.journal.subject(number) {
            number += 1;
            let record = updater.journal.find(&mut updater.flash, subject).await?;
            let Some(phase) = record.map(|record| record.phase) else {
                continue;
            };
            if phase.is_set_pending() {
                return Err(Refusal::SetPending.into());
            }
            if let Some(partition) = subject.partition_offset()
                && record.is_some_and(|record| record.is_damaged())
            {
                return Err(Error::NotRecovered { partition });
            }
        }
        Ok(updater)
    }

    /// The app's half of every start.
    pub(crate) async fn start_app(
        mut flash: F,
        boot: B,
        layout: Layout<'l>,
        running: Option<u8>,
    ) -> Result<Self, Error<F::Error>> {
        check_layout::<F>(&layout, running, flash.capacity() as u32)?;
        let journal = Journal::mount(&mut flash, layout.journal).await;
        let mut updater = Self {
            durable: 0,
            monitored: false,
            running,
            layout,
            journal,
            flash,
            boot,
        };
        updater.recover_app().await?;
        Ok(updater)
    }

    /// What the device can truthfully say of itself.
    pub fn status(&self) -> Status {
        let Some(record) = self.journal.current() else {
            return Status::Idle { last: None };
        };
        let offer = Offer {
            length: record.length,
            sha256: record.sha256,
        };
        match record.phase {
            // A slot that is being written cannot run, unless somebody flashed it by other means.
            Phase::Downloading if self.running != Some(record.slot) => Status::Downloading {
                offer,
                durable: self.durable,
            },
            Phase::Staged => Status::Staged { offer },
            Phase::Armed => Status::Armed { offer },
            Phase::OnTrial | Phase::Confirming => Status::OnTrial {
                offer,
                monitored: self.monitored,
            },
            Phase::Rejecting => Status::Rejected { offer },
            _ => Status::Idle {
                last: outcome_of(record).map(|outcome| (outcome, record.sha256, record.reported)),
            },
        }
    }

    /// The slot that runs; `None`: a factory app outside of the slots.
    pub const fn running(&self) -> Option<u8> {
        self.running
    }

    /// The slot that the next image goes to: the one after the running one. `None` if there is none.
    pub fn passive(&self) -> Option<u8> {
        match self.running {
            Some(running) => self.beside(running),
            None => (!self.layout.slots.is_empty()).then_some(0),
        }
    }

    /// The slot after `slot`: what is passive when that one runs.
    pub(crate) fn beside(&self, slot: u8) -> Option<u8> {
        let slots = self.layout.slots.len() as u8;
        let next = if slot + 1 < slots { slot + 1 } else { 0 };
        (next < slots && next != slot).then_some(next)
    }

    /// The region of the slot that the next image goes to.
    pub fn passive_region(&self) -> Option<Region> {
        self.layout.slots.get(usize::from(self.passive()?)).copied()
    }

    /// Begins an update, or goes on with one that was interrupted, if it is the same image.
    ///
    /// Nothing is erased yet: that happens when the first bytes have been looked at. `buffer` gathers bytes between the
    /// network and the flash: at least [`ImageCheck::PREFIX`] bytes and one flash word; a multiple of the word size, and a
    /// divisor of the sector size, is best.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], before anything was touched: while a trial is pending, if there is no slot for it, or if it does
    /// not fit. A second update replaces an unfinished other one.
    pub async fn begin<'u, 'b, C: ImageCheck>(
        &'u mut self,
        offer: Offer,
        check: C,
        buffer: &'b mut [u8],
    ) -> Result<Download<'u, 'l, 'b, F, B, C>, Error<F::Error>> {
        Download::begin(self, offer, check, buffer).await
    }

    /// Makes the next boot try the staged image. Reboot afterwards.
    ///
    /// # Errors
    ///
    /// [`Error::State`] if nothing is staged.
    pub async fn activate(&mut self) -> Result<(), Error<F::Error>> {
        let slot = self.in_phase(|phase| phase == Phase::Staged)?;
        if let Some((region, app)) = self
            .layout
            .slots
            .get(usize::from(slot))
            .zip(self.journal.current())
        {
            // Data that were planned since for another app must not be taken for this one's.
            let (region, app) = (*region, app.sha256);
            self.displace(region, Subject::APP, &app).await?;
        }
        self.note(Phase::Armed, 0).await?;
        self.boot
            .start_trial(&mut self.flash, slot, self.running)
            .await
    }

    /// The running app, on trial, is good: it boots from now on.
    ///
    /// # Errors
    ///
    /// [`Error::State`] if it is not on trial.
    pub async fn confirm(&mut self) -> Result<(), Error<F::Error>> {
        self.in_phase(Phase::is_trial)?;
        self.note(Phase::Confirming, 0).await?;
        self.settle(true).await
    }

    /// The running app, on trial, is bad: the next boot goes back. Reboot afterwards. `reason` is the application's own
    /// number for why; it comes back in [`Outcome::RolledBack`](crate::Outcome::RolledBack).
    ///
    /// # Errors
    ///
    /// [`Error::State`] if it is not on trial.
    pub async fn reject(&mut self, reason: u8) -> Result<(), Error<F::Error>> {
        self.in_phase(Phase::is_trial)?;
        self.note(Phase::Rejecting, reason).await?;
        self.settle(false).await
    }

    /// The outcome of the last update has reached the server.
    pub async fn reported(&mut self) -> Result<(), Error<F::Error>> {
        match self.journal.current().copied() {
            Some(mut record) if outcome_of(&record).is_some() && !record.reported => {
                record.reported = true;
                self.journal.append(&mut self.flash, record, &[]).await
            }
            _ => Ok(()),
        }
    }

    /// Ends the engine and gives the flash back.
    pub fn into_flash(self) -> F {
        self.flash
    }

    /// The update's slot, if it is in that phase.
    fn in_phase(&self, phase: impl FnOnce(Phase) -> bool) -> Result<u8, Error<F::Error>> {
        match self.journal.current() {
            Some(record) if phase(record.phase) => Ok(record.slot),
            _ => Err(Error::State),
        }
    }

    /// Compares the journal with what really runs.
    async fn recover_app(&mut self) -> Result<(), Error<F::Error>> {
        match self.journal.current().copied() {
            Some(record) if record.phase.is_pending() && self.running == Some(record.slot) => {
                self.recover_running(record.phase).await
            }
            Some(record) if record.phase.is_pending() => self.recover_not_running(record).await,
            record => {
                if record.is_some_and(|record| record.phase == Phase::Downloading) {
                    let marked = self.journal.marked(&mut self.flash, Subject::APP).await;
                    self.durable = marked.min(record.map_or(0, |record| record.length));
                }
                self.recover_foreign().await
            }
        }
    }

    /// An app on trial that the journal knows nothing of was put there by other means; it is on trial all the same.
    async fn recover_foreign(&mut self) -> Result<(), Error<F::Error>> {
        let Some(slot) = self.running else {
            return Ok(());
        };
        let state = self.boot.slot_state(&mut self.flash, slot).await?;
        if !matches!(state, SlotState::Armed | SlotState::OnTrial) {
            return Ok(());
        }
        self.monitored = state == SlotState::OnTrial;
        let mut record = Record::new(Subject::APP, Phase::OnTrial, 0, [0; 32]);
        record.slot = slot;
        self.journal.append(&mut self.flash, record, &[]).await
    }

    /// The image of the update is what runs.
    async fn recover_running(&mut self, phase: Phase) -> Result<(), Error<F::Error>> {
        match phase {
            Phase::Confirming | Phase::Rejecting => self.settle(phase == Phase::Confirming).await,
            _ => {
                // Not confirmed by us, so it is on trial, whatever the boot selection says.
                let slot = self.in_phase(|_| true)?;
                let state = self.boot.slot_state(&mut self.flash, slot).await?;
                self.monitored = state == SlotState::OnTrial;
                if phase == Phase::OnTrial {
                    return Ok(());
                }
                self.note(Phase::OnTrial, 0).await
            }
        }
    }

    /// Another app runs than the image of the update.
    async fn recover_not_running(&mut self, record: Record) -> Result<(), Error<F::Error>> {
        let gone = match record.phase {
            // Nothing had asked the boot loader for it; or the app found itself good, and the power went before that was
            // recorded.
            Phase::Staged | Phase::Confirming => false,
            // It was not seen to start, whatever the boot selection says. Either the record that asks for it was torn, or the
            // power went while the boot loader was at work, or it does not get that far.
            Phase::Armed => record.attempts >= MAX_ATTEMPTS,
            _ => true,
        };
        // What boots is what runs, before anything else is said or done: after a fallback of the boot loader the selection
        // can still name the image that it gave up, and the next change would otherwise be made on top of that.
        self.boot
            .release(&mut self.flash, record.slot, self.running)
            .await?;
        match record.phase {
            Phase::Armed if gone => self.note(Phase::RolledBack, NEVER_STARTED).await,
            _ if gone => self.note(Phase::RolledBack, record.reason).await,
            Phase::Staged => Ok(()),
            _ => self.note(Phase::Staged, 0).await,
        }
    }

    /// Tells the boot selection what the app on trial said of itself.
    async fn settle(&mut self, good: bool) -> Result<(), Error<F::Error>> {
        let slot = self.in_phase(|_| true)?;
        if good {
            self.boot.confirm(&mut self.flash, slot).await?;
            self.note(Phase::Confirmed, 0).await
        } else {
            self.boot.reject(&mut self.flash, slot).await
        }
    }

    /// Where the boot selection lies.
    pub(crate) fn boot_region(&self) -> Region {
        self.boot.region()
    }

    /// Nothing names `slot` any more, and what runs is what boots.
    pub(crate) async fn release(&mut self, slot: u8) -> Result<(), Error<F::Error>> {
        self.boot.release(&mut self.flash, slot, self.running).await
    }

    /// Records the next phase of the update.
    async fn note(&mut self, phase: Phase, reason: u8) -> Result<(), Error<F::Error>> {
        let Some(mut record) = self.journal.current().copied() else {
            return Err(Error::State);
        };
        record.phase = phase;
        record.reason = reason;
        record.reported = false;
        record.gone = false;
        record.stride = 0;
        record.progress = 0;
        match phase {
            Phase::Staged => {}
            Phase::Armed => record.attempts = record.attempts.saturating_add(1),
            // An image that was seen to start has used up none of its attempts.
            _ => record.attempts = 0,
        }
        self.journal.append(&mut self.flash, record, &[]).await
    }
}

fn check_layout<F: NorFlash>(
    layout: &Layout<'_>,
    running: Option<u8>,
    capacity: u32,
) -> Result<(), LayoutError> {
    const {
        assert!(
            F::WRITE_SIZE <= RECORD_LEN as usize
                && (RECORD_LEN as usize).is_multiple_of(F::WRITE_SIZE),
            "the engine supports flash words of 1 to 64 bytes, powers of two"
        );
        assert!(
            F::ERASE_SIZE >= 2 * RECORD_LEN as usize
                && F::ERASE_SIZE.is_multiple_of(RECORD_LEN as usize),
            "the engine needs sectors of whole 64 byte records"
        );
    }
    let sector = F::ERASE_SIZE as u32;
    let page = Journal::page::<F>();
    if !layout.journal.is_whole_sectors(sector, capacity) || layout.journal.len < 2 * page {
        return Err(LayoutError::Journal);
    }
    if layout.slots.len() > 16
        || running.is_some_and(|slot| usize::from(slot) >= layout.slots.len())
    {
        return Err(LayoutError::Slots);
    }
    for (index, slot) in layout.slots.iter().enumerate() {
        let others = layout.slots.iter().skip(index + 1).chain([&layout.journal]);
        if !slot.is_whole_sectors(sector, capacity) || { others }.any(|other| slot.overlaps(*other))
        {
            return Err(LayoutError::Slots);
        }
    }
    Ok(())
}
