use std::fmt;

use airlift_device::flash::Region;
use airlift_device::install::{self, BootRecord, Booting};
use airlift_formats::esp::otadata::Slot;

use super::provision::{ProvisionError, flash_all};
use super::{AppSummary, Board, BootError, Booted, Refusal};
use crate::flash::{Flash, FlashError, GeometryMismatch, SUPPORTED_GEOMETRIES, SimFlash, block_on};
use crate::with_geometry;

/// Says what an image is, given the bytes from the start of its slot to the end or to the first word that cannot be read; `None` if there
/// is no whole image.
type Inspect = Box<dyn Fn(&[u8]) -> Option<AppSummary> + Send>;

/// A board with a boot loader of our own ([`install::boot`]) and the two-copy [`BootRecord`]: any of the
/// [`SUPPORTED_GEOMETRIES`](crate::flash::SUPPORTED_GEOMETRIES), and images in any form.
pub struct GenericBoard {
    flash: Flash,
    record: Region,
    slots: Vec<Region>,
    inspect: Inspect,
}

impl fmt::Debug for GenericBoard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            flash,
            record,
            slots,
            ..
        } = self;
        f.debug_struct("GenericBoard")
            .field("flash", flash)
            .field("record", record)
            .field("slots", slots)
            .finish_non_exhaustive()
    }
}

impl GenericBoard {
    /// A board with its boot record in the two sectors of `record`, and these app slots. `inspect` is how its boot loader verifies: it gets
    /// the bytes from the start of a slot up to its end, or up to the first word that cannot be read, and says which whole image it sees.
    ///
    /// # Errors
    /// If the geometry of the flash is not supported.
    pub fn new(
        flash: Flash,
        record: Region,
        slots: Vec<Region>,
        inspect: impl Fn(&[u8]) -> Option<AppSummary> + Send + 'static,
    ) -> Result<Self, GeometryMismatch> {
        let geometry = flash.lock().geometry();
        let (word, sector) = (geometry.word(), geometry.sector());
        if !SUPPORTED_GEOMETRIES.contains(&(word, sector)) {
            return Err(GeometryMismatch { word, sector });
        }
        Ok(Self {
            flash,
            record,
            slots,
            inspect: Box::new(inspect),
        })
    }

    /// Fills the flash as the first flashing over a cable does: erases all of it, then writes these images to slots by number.
    /// Afterwards the statistics of the flash are zero: only what the device does counts.
    pub fn provision(&self, apps: &[(u8, &[u8])]) -> Result<(), ProvisionError> {
        let mut images = Vec::new();
        for &(number, image) in apps {
            let slot = Slot::Ota(number);
            let region = self
                .slots
                .get(usize::from(number))
                .ok_or(ProvisionError::NoPartition { slot })?;
            if image.len() > region.len as usize {
                return Err(ProvisionError::TooLarge {
                    slot,
                    len: image.len(),
                    size: region.len,
                });
            }
            images.push((region.offset, image));
        }
        Ok(flash_all(&mut self.flash.lock(), &images)?)
    }

    /// The app slots; the slot number is the index.
    #[must_use]
    pub fn slots(&self) -> &[Region] {
        &self.slots
    }

    /// The engine's half of the boot selection.
    #[must_use]
    pub fn control(&self) -> BootRecord {
        BootRecord::new(self.record)
    }

    fn inspect(&self, slot: u8) -> Option<(Region, AppSummary)> {
        let region = *self.slots.get(usize::from(slot))?;
        let mut bytes = vec![0; region.len as usize];
        let mut nor = self.flash.lock();
        let readable = match nor.read(region.offset, &mut bytes) {
            Ok(()) => bytes.len(),
            Err(FlashError::Unreadable { offset }) => {
                let readable = offset.saturating_sub(region.offset) as usize;
                nor.read(region.offset, &mut bytes[..readable]).ok()?;
                readable
            }
            Err(_) => return None,
        };
        Some((region, (self.inspect)(&bytes[..readable])?))
    }

    fn select<const WORD: usize, const SECTOR: usize>(
        &self,
        mut flash: SimFlash<WORD, SECTOR>,
    ) -> Result<Option<Booting>, airlift_device::Error<FlashError>> {
        let slots = u8::try_from(self.slots.len()).unwrap_or(u8::MAX);
        let verify = async |_: &mut SimFlash<WORD, SECTOR>, slot| self.inspect(slot).is_some();
        block_on(install::boot(&mut flash, &self.control(), slots, verify))
    }
}

impl Board for GenericBoard {
    fn flash(&self) -> &Flash {
        &self.flash
    }

    fn boot(&mut self) -> Result<Booted, BootError> {
        self.flash.lock().power_on();
        let booting = with_geometry!(&self.flash, |typed| self.select(typed))?;
        let started = match booting {
            Ok(booting) => booting.and_then(|booting| Some((booting, self.inspect(booting.slot)?))),
            Err(airlift_device::Error::Flash(error)) => return Err(error.into()),
            Err(error) => return Err(BootError::Record(error)),
        };
        let Some((Booting { slot, trial }, (region, app))) = started else {
            let slots = (0..=u8::MAX).zip(&self.slots);
            return Err(BootError::NoBootableApp {
                tried: slots
                    .map(|(slot, _)| (Slot::Ota(slot), Refusal::NotWhole))
                    .collect(),
            });
        };
        let slot = Slot::Ota(slot);
        Ok(Booted {
            slot,
            selected: slot,
            region,
            trial,
            app,
        })
    }
}
