use airlift_device::flash::Region;
use airlift_formats::esp::app_image::ChipId;
use airlift_formats::esp::otadata::{
    BootLoader, Build, Efuse, Images, PARTITION_SIZE, RECORD_LEN, Record, Rewrite, SECTOR_SIZE,
    Slot, State,
};
use airlift_formats::esp::partition_table::{DEFAULT_OFFSET, TABLE_LEN};

use super::esp_image::{self, Refusal};
use super::esp_table::BootTable;
use super::provision::{ProvisionError, flash_all};
use super::{AppSummary, Board, BootError, Booted};
use crate::flash::{Flash, FlashError, Nor};

/// What the boot loader compares an image with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EspChip {
    /// The chip.
    pub id: ChipId,
    /// Its revision, major * 100 + minor.
    pub revision: u16,
    /// Revision of its eFuse block, major * 100 + minor.
    pub efuse_block_revision: u16,
}

impl EspChip {
    /// A chip of the first revision.
    #[must_use]
    pub const fn new(id: ChipId) -> Self {
        Self {
            id,
            revision: 0,
            efuse_block_revision: 0,
        }
    }
}

/// A board with an Espressif chip: ESP-IDF's second-stage boot loader over a simulated flash.
///
/// The boot loader imitates the reference bit by bit, defects included: which partition table it takes is [`BootTable`], what it selects
/// is [`BootLoader`], which images it starts is the verifier of [`airlift_formats::esp::app_image`] with the rules of ESP-IDF. It is not
/// itself in the flash. The eFuse is a part of the board and not of the flash: a board made anew over the same flash has a new one.
#[derive(Debug)]
pub struct EspBoard {
    flash: Flash,
    chip: EspChip,
    build: Build,
    efuse: Efuse,
    table_offset: u32,
}

/// A flash that an ESP board cannot have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the flash has sectors of {sector} bytes: the formats of ESP-IDF fix sectors of 4096 bytes"
)]
pub struct EspFlashError {
    /// Its sector, in bytes.
    pub sector: usize,
}

impl EspBoard {
    /// An ESP32 of the first revision over this flash, with a boot loader of this build, the partition table at 0x8000, and an eFuse of 32
    /// bits that permits everything.
    ///
    /// # Errors
    /// If the sectors of the flash are not 4 KiB.
    pub fn new(flash: Flash, build: Build) -> Result<Self, EspFlashError> {
        let sector = flash.lock().geometry().sector();
        if sector != SECTOR_SIZE as usize {
            return Err(EspFlashError { sector });
        }
        Ok(Self {
            flash,
            chip: EspChip::new(ChipId::ESP32),
            build,
            efuse: Efuse::new(0),
            table_offset: DEFAULT_OFFSET,
        })
    }

    /// Sets the chip.
    #[must_use]
    pub fn with_chip(mut self, chip: EspChip) -> Self {
        self.chip = chip;
        self
    }

    /// Sets what is burnt already.
    #[must_use]
    pub fn with_efuse(mut self, efuse: Efuse) -> Self {
        self.efuse = efuse;
        self
    }

    /// Sets the flash address of the partition table (`CONFIG_PARTITION_TABLE_OFFSET`).
    #[must_use]
    pub fn with_table_offset(mut self, offset: u32) -> Self {
        self.table_offset = offset;
        self
    }

    /// Fills the flash as the first flashing over a cable does: erases all of it, then writes the binary partition table and these images.
    /// Afterwards the statistics of the flash are zero: only what the device does counts.
    pub fn provision(&self, table: &[u8], apps: &[(Slot, &[u8])]) -> Result<(), ProvisionError> {
        let mut nor = self.flash.lock();
        let size = nor.geometry().size();
        let layout = BootTable::parse(table, size)?;
        let mut images = Vec::new();
        for &(slot, image) in apps {
            let region = layout
                .app(slot)
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
        let table = (self.table_offset, &table[..table.len().min(TABLE_LEN)]);
        flash_all(&mut nor, &[&[table], &images[..]].concat())?;
        Ok(())
    }

    /// The chip.
    #[must_use]
    pub fn chip(&self) -> EspChip {
        self.chip
    }

    /// The build of the boot loader.
    #[must_use]
    pub fn build(&self) -> Build {
        self.build
    }

    /// The eFuse.
    #[must_use]
    pub fn efuse(&self) -> Efuse {
        self.efuse
    }

    /// Burns a secure version, as an app does when it confirms itself; see [`Efuse::raised`].
    pub fn burn(&mut self, secure_version: u32) {
        if let Some(version) = self.efuse.raised(secure_version) {
            self.efuse.version = version;
        }
    }

    /// The partition table, as the boot loader reads it.
    pub fn table(&self) -> Result<BootTable, BootError> {
        self.read_table(&mut self.flash.lock())
    }

    /// Both records of otadata, as the boot loader reads them; `None` without an otadata partition.
    pub fn records(&self) -> Result<Option<[Record; 2]>, BootError> {
        let mut nor = self.flash.lock();
        let Some(otadata) = self.read_table(&mut nor)?.otadata else {
            return Ok(None);
        };
        if otadata.len < PARTITION_SIZE {
            return Err(BootError::OtadataTooSmall { size: otadata.len });
        }
        Ok(Some(read_records(&mut nor, otadata)?))
    }

    /// Erases a sector of otadata and writes a record there, as `esp_ota_*` calls of an app do; nothing without an otadata partition.
    pub fn rewrite(&mut self, rewrite: &Rewrite) -> Result<(), BootError> {
        let mut nor = self.flash.lock();
        if let Some(otadata) = self.read_table(&mut nor)?.otadata {
            rewrite_record(&mut nor, otadata, rewrite)?;
        }
        Ok(())
    }

    /// What the boot loader makes of the image in an app partition now.
    ///
    /// # Errors
    /// A [`Refusal`] if it would not start it.
    pub fn verify(&self, region: Region) -> Result<AppSummary, Refusal> {
        esp_image::verify(&mut self.flash.lock(), region, &self.chip)
    }

    fn read_table(&self, nor: &mut Nor) -> Result<BootTable, BootError> {
        let mut bytes = [0; TABLE_LEN];
        nor.read(self.table_offset, &mut bytes)?;
        Ok(BootTable::parse(&bytes, nor.geometry().size())?)
    }
}

impl Board for EspBoard {
    fn flash(&self) -> &Flash {
        &self.flash
    }

    fn boot(&mut self) -> Result<Booted, BootError> {
        let mut nor = self.flash.lock();
        nor.power_on();
        let table = self.read_table(&mut nor)?;
        let loader = BootLoader {
            build: self.build,
            slots: table.ota_count,
            factory: table.factory.is_some(),
            test: table.test.is_some(),
            efuse: self.efuse,
        };
        let mut partitions = AppPartitions {
            nor: &mut nor,
            table: &table,
            chip: &self.chip,
            tried: Vec::new(),
        };

        let (selected, loaded, trial) = match table.otadata {
            None => (
                Slot::Factory,
                loader.load(Slot::Factory, &mut partitions),
                false,
            ),
            Some(otadata) if otadata.len < PARTITION_SIZE => {
                return Err(BootError::OtadataTooSmall { size: otadata.len });
            }
            Some(otadata) => {
                let before = read_records(partitions.nor, otadata)?;
                let boot = loader.boot(&before, &mut partitions);
                // Records first, then the eFuse: a cut in between leaves an eFuse that the next boot burns.
                for rewrite in boot.rewrites() {
                    rewrite_record(partitions.nor, otadata, &rewrite)?;
                }
                if let Some(version) = boot.efuse {
                    self.efuse.version = version;
                }
                let on_trial = |record: Record| {
                    self.build.has_rollback()
                        && record.is_valid()
                        && record.state == State::PendingVerify
                        && record.slot(table.ota_count).map(Slot::Ota) == boot.loaded
                };
                (
                    boot.selected,
                    boot.loaded,
                    boot.records.into_iter().any(on_trial),
                )
            }
        };
        let tried = partitions.tried;
        let started = loaded.and_then(|slot| {
            let (_, app) = tried.iter().find(|(tried, _)| *tried == slot)?;
            Some((slot, table.app(slot)?, app.as_ref().ok()?.clone()))
        });
        match started {
            Some((slot, region, app)) => Ok(Booted {
                slot,
                selected,
                region,
                trial,
                app,
            }),
            None => Err(BootError::NoBootableApp {
                tried: tried
                    .into_iter()
                    .filter_map(|(slot, app)| Some((slot, app.err()?)))
                    .collect(),
            }),
        }
    }
}

/// The app partitions in the flash, and what was found there.
struct AppPartitions<'a> {
    nor: &'a mut Nor,
    table: &'a BootTable,
    chip: &'a EspChip,
    tried: Vec<(Slot, Result<AppSummary, Refusal>)>,
}

impl Images for AppPartitions<'_> {
    fn verifies(&mut self, slot: Slot) -> bool {
        let app = match self.table.app(slot) {
            Some(region) => esp_image::verify(self.nor, region, self.chip),
            None => Err(Refusal::NoPartition),
        };
        let verifies = app.is_ok();
        self.tried.push((slot, app));
        verifies
    }

    fn secure_version(&mut self, slot: Slot) -> Option<u32> {
        esp_image::secure_version(self.nor, self.table.app(slot)?)
    }
}

/// A record that error correction cannot decode is as good as erased.
fn read_records(nor: &mut Nor, otadata: Region) -> Result<[Record; 2], FlashError> {
    let mut records = [Record::ERASED; 2];
    for (record, offset) in records.iter_mut().zip([0, SECTOR_SIZE]) {
        let mut bytes = [0; RECORD_LEN];
        match nor.read(otadata.offset + offset, &mut bytes) {
            Ok(()) => *record = Record::parse(&bytes),
            Err(FlashError::Unreadable { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(records)
}

fn rewrite_record(nor: &mut Nor, otadata: Region, rewrite: &Rewrite) -> Result<(), FlashError> {
    let start = otadata.offset + rewrite.offset();
    nor.erase(start, start + SECTOR_SIZE)?;
    nor.write(start, &rewrite.record.emit())
}
