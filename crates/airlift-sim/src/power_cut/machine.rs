//! Boards as the sweep sees them: where things lie, and what the boot loader does.

use airlift_device::flash::Region;
use airlift_device::install::{BootControl, BootRecord, EspOtadata, boot};
use airlift_formats::esp::otadata::{self, BootLoader, Build, RECORD_LEN, Record, Rewrite, Slot};
use embedded_storage::nor_flash::{NorFlash as _, ReadNorFlash as _};

use crate::flash::{FlashError, SimFlash, block_on};

/// The power went while the boot loader was at work (or the flash refused it something, which is a loss).
#[derive(Debug)]
pub struct Power(pub FlashError);

/// What a boot loader starts.
#[derive(Debug, Clone, Copy)]
pub struct Started {
    /// Where the app lies.
    pub region: Region,
    /// Its slot; `None`: a factory app.
    pub slot: Option<u8>,
    /// It is what the boot selection asked for, and not what was left when that could not be started.
    pub selected: bool,
}

/// A board: its layout and its boot loader.
pub trait Machine {
    /// The engine's half of the boot selection.
    type Control: BootControl;

    /// The app slots.
    fn slots(&self) -> &[Region];

    /// The journal's region.
    fn journal(&self) -> Region;

    /// Where the first image lies.
    fn first(&self) -> Region;

    /// Bytes of flash that the board needs.
    fn capacity(&self) -> usize;

    /// Whether the boot loader goes back by itself when a trial is not confirmed.
    fn rolls_back(&self) -> bool;

    /// The engine's half of the boot selection.
    fn control(&self) -> Self::Control;

    /// What the boot loader does after a reset. `whole` says whether there is a whole image in a region.
    ///
    /// Returns what it starts; `None`: nothing can be started.
    fn boot<const W: usize, const S: usize>(
        &self,
        flash: &mut SimFlash<W, S>,
        whole: &mut dyn FnMut(Region) -> bool,
    ) -> Result<Option<Started>, Power>;
}

/// A board whose boot loader is [`airlift_device::install::boot`]: any geometry.
#[derive(Debug)]
pub struct GenericMachine {
    slots: Vec<Region>,
    record: Region,
    journal: Region,
    capacity: usize,
}

impl GenericMachine {
    /// A board with `slots` slots of `slot` bytes (whole sectors) each, on a flash with sectors of `sector` bytes.
    #[must_use]
    pub fn new(sector: u32, slots: u32, slot: u32) -> Self {
        let first = 4 * sector;
        Self {
            slots: (0..slots)
                .map(|index| Region::new(first + index * slot, slot))
                .collect(),
            record: Region::new(0, 2 * sector),
            journal: Region::new(2 * sector, 2 * sector),
            capacity: (first + slots * slot) as usize,
        }
    }
}

impl Machine for GenericMachine {
    type Control = BootRecord;

    fn slots(&self) -> &[Region] {
        &self.slots
    }

    fn journal(&self) -> Region {
        self.journal
    }

    fn first(&self) -> Region {
        self.slots[0]
    }

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn rolls_back(&self) -> bool {
        true
    }

    fn control(&self) -> BootRecord {
        BootRecord::new(self.record)
    }

    fn boot<const W: usize, const S: usize>(
        &self,
        flash: &mut SimFlash<W, S>,
        whole: &mut dyn FnMut(Region) -> bool,
    ) -> Result<Option<Started>, Power> {
        let region = |slot: u8| self.slots[usize::from(slot)];
        let booting = block_on(boot(
            flash,
            &self.control(),
            self.slots.len() as u8,
            async |_: &mut SimFlash<W, S>, slot| whole(region(slot)),
        ));
        match booting {
            Ok(booting) => Ok(booting.map(|booting| Started {
                region: region(booting.slot),
                slot: Some(booting.slot),
                selected: true, // Its boot loader records a fallback before it starts anything.
            })),
            Err(airlift_device::Error::Flash(error)) => Err(Power(error)),
            Err(_) => Err(Power(FlashError::PowerLost)),
        }
    }
}

/// A board with the boot loader of ESP-IDF, as [`BootLoader`] models it. The sectors of its formats are 4 KiB.
#[derive(Debug)]
pub struct EspMachine {
    build: Build,
    slots: Vec<Region>,
    factory: Option<Region>,
    otadata: Region,
    journal: Region,
    capacity: usize,
}

impl EspMachine {
    /// A board with `slots` slots of `slot` bytes (whole sectors) each, and a factory app of the same size if asked for.
    #[must_use]
    pub fn new(build: Build, factory: bool, slots: u32, slot: u32) -> Self {
        const SECTOR: u32 = otadata::SECTOR_SIZE;
        let first = 4 * SECTOR;
        let ota = first + if factory { slot } else { 0 };
        Self {
            build,
            slots: (0..slots)
                .map(|index| Region::new(ota + index * slot, slot))
                .collect(),
            factory: factory.then_some(Region::new(first, slot)),
            otadata: Region::new(0, 2 * SECTOR),
            journal: Region::new(2 * SECTOR, 2 * SECTOR),
            capacity: (ota + slots * slot) as usize,
        }
    }

    fn region(&self, slot: Slot) -> Option<(Region, Option<u8>)> {
        match slot {
            Slot::Factory => Some((self.factory?, None)),
            Slot::Ota(index) => Some((*self.slots.get(usize::from(index))?, Some(index))),
            _ => None,
        }
    }

    fn rewrite<const W: usize, const S: usize>(
        &self,
        flash: &mut SimFlash<W, S>,
        rewrite: Rewrite,
    ) -> Result<(), Power> {
        let at = self.otadata.offset + rewrite.offset();
        flash
            .erase(at, at + otadata::SECTOR_SIZE)
            .and_then(|()| flash.write(at, &rewrite.record.emit()))
            .map_err(Power)
    }
}

impl Machine for EspMachine {
    type Control = EspOtadata;

    fn slots(&self) -> &[Region] {
        &self.slots
    }

    fn journal(&self) -> Region {
        self.journal
    }

    fn first(&self) -> Region {
        self.factory.unwrap_or(self.slots[0])
    }

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn rolls_back(&self) -> bool {
        self.build.has_rollback()
    }

    fn control(&self) -> EspOtadata {
        EspOtadata::new(self.otadata, self.slots.len() as u8)
    }

    fn boot<const W: usize, const S: usize>(
        &self,
        flash: &mut SimFlash<W, S>,
        whole: &mut dyn FnMut(Region) -> bool,
    ) -> Result<Option<Started>, Power> {
        let mut records = [Record::ERASED; 2];
        for (sector, record) in (0..).zip(&mut records) {
            let mut bytes = [0; RECORD_LEN];
            let at = self.otadata.offset + sector * otadata::SECTOR_SIZE;
            // ESP-IDF reads through the cache: what cannot be read is garbage there, and has no valid CRC.
            match flash.read(at, &mut bytes) {
                Ok(()) => *record = Record::parse(&bytes),
                Err(FlashError::PowerLost) => return Err(Power(FlashError::PowerLost)),
                Err(_) => {}
            }
        }
        let mut loader = BootLoader::new(self.build, self.slots.len() as u8);
        loader.factory = self.factory.is_some();
        let booted = loader.boot(&records, &mut |slot: Slot| {
            self.region(slot).is_some_and(|(region, _)| whole(region))
        });
        for rewrite in booted.rewrites() {
            self.rewrite(flash, rewrite)?;
        }
        Ok(booted.loaded.and_then(|loaded| {
            let (region, slot) = self.region(loaded)?;
            Some(Started {
                region,
                slot,
                // "Factory" without a factory app is how the boot loader says that it tries everything.
                selected: loaded == booted.selected
                    || (booted.selected == Slot::Factory && self.factory.is_none()),
            })
        }))
    }
}
