//! The second-stage boot loader's choice: `bootloader_utility_get_selected_boot_partition` and
//! `bootloader_utility_load_boot_image` of ESP-IDF, as pure functions.

use super::{Record, Rewrite, Slot, State, active, newest, pick};

/// How a boot loader was built; what is in the flash counts, not what the app was built with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Build {
    /// Without app rollback: states are neither written nor, except INVALID and ABORTED, looked at.
    Plain,
    /// `CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE`: a NEW app gets one trial boot.
    Rollback,
    /// `CONFIG_BOOTLOADER_APP_ANTI_ROLLBACK`: rollback, and no app with a secure version below that of the eFuse boots.
    AntiRollback,
}

impl Build {
    /// Whether the boot loader writes the states of a trial boot.
    #[must_use]
    pub const fn has_rollback(self) -> bool {
        !matches!(self, Self::Plain)
    }
}

/// The secure version field in the eFuse: its value is the number of 1 bits, so it can only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Efuse {
    /// The version that is burnt, in bits.
    pub version: u32,
    /// Size of the field, in bits: at most 32 on ESP32, 4 on C2, 9 on C5, 16 on other chips.
    pub bits: u32,
}

impl Efuse {
    /// A field of 32 bits with this version.
    #[must_use]
    pub const fn new(version: u32) -> Self {
        Self { version, bits: 32 }
    }

    /// Whether an app of this secure version may boot.
    #[must_use]
    pub const fn permits(self, secure_version: u32) -> bool {
        secure_version >= self.version
    }

    /// What burning this secure version changes the field's version to, if anything: never down, never past its size.
    #[must_use]
    pub const fn raised(self, secure_version: u32) -> Option<u32> {
        if secure_version > self.version && secure_version <= self.bits {
            Some(secure_version)
        } else {
            None
        }
    }
}

/// What the boot loader finds in the app partitions; asked in the order in which the boot loader looks.
///
/// A closure `FnMut(Slot) -> bool` (does this image verify?) will do where secure versions do not matter.
pub trait Images {
    /// Whether the image in this partition passes the boot loader's verification.
    fn verifies(&mut self, slot: Slot) -> bool;

    /// The `secure_version` of the app descriptor in this partition, without verification of the image; none if there is
    /// no descriptor.
    fn secure_version(&mut self, slot: Slot) -> Option<u32>;
}

impl<F: FnMut(Slot) -> bool> Images for F {
    fn verifies(&mut self, slot: Slot) -> bool {
        self(slot)
    }

    fn secure_version(&mut self, _: Slot) -> Option<u32> {
        Some(0)
    }
}

/// A boot loader and what it knows besides otadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootLoader {
    /// How it was built.
    pub build: Build,
    /// Number of `ota_N` partitions that it counts.
    pub slots: u8,
    /// Whether the partition table has a factory app.
    pub factory: bool,
    /// Whether the partition table has a test app.
    pub test: bool,
    /// The eFuse; only [`Build::AntiRollback`] looks at it.
    pub efuse: Efuse,
}

/// What [`BootLoader::select`] decides before any image is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selection {
    /// Where loading starts. [`Slot::Factory`] without a factory app means "try everything".
    pub slot: Slot,
    /// Both records as the boot loader leaves them.
    pub records: [Record; 2],
    /// Nothing was ever written: the boot loader will record the slot that it loads.
    pub initial_contents: bool,
    /// The version that the eFuse is raised to.
    pub efuse: Option<u32>,
    rewrites: Rewrites,
}

impl Selection {
    /// The sector rewrites so far, in order; all of them come before the first image is looked at.
    pub fn rewrites(&self) -> impl Iterator<Item = Rewrite> + '_ {
        self.rewrites.iter()
    }
}

/// The outcome of [`BootLoader::boot`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boot {
    /// The partition that otadata asks for.
    pub selected: Slot,
    /// The partition that is started; none: "No bootable app partitions in the partition table", reset, and again.
    pub loaded: Option<Slot>,
    /// Both records afterwards.
    pub records: [Record; 2],
    /// The version that the eFuse is raised to.
    pub efuse: Option<u32>,
    rewrites: Rewrites,
}

impl Boot {
    /// The sector rewrites that the boot loader does, in order. Each one is an erase and a write of 32 bytes.
    pub fn rewrites(&self) -> impl Iterator<Item = Rewrite> + '_ {
        self.rewrites.iter()
    }
}

/// At most: both records PENDING -> ABORTED, then the record of the first boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rewrites([Option<Rewrite>; 3]);

impl Rewrites {
    const NONE: Self = Self([None; 3]);

    fn push(&mut self, rewrite: Rewrite) {
        if let Some(free) = self.0.iter_mut().find(|entry| entry.is_none()) {
            *free = Some(rewrite);
        }
    }

    fn iter(&self) -> impl Iterator<Item = Rewrite> + '_ {
        self.0.iter().flatten().copied()
    }
}

impl BootLoader {
    /// A boot loader with this many slots, no factory and no test app, and an eFuse that permits everything.
    #[must_use]
    pub const fn new(build: Build, slots: u8) -> Self {
        Self {
            build,
            slots,
            factory: false,
            test: false,
            efuse: Efuse::new(0),
        }
    }

    /// Chooses where to start loading, and which records change before that.
    ///
    /// `images` is asked for secure versions only, and only by an anti-rollback build. Without an otadata partition the
    /// boot loader starts at [`Slot::Factory`] instead of calling this; with one below
    /// [`PARTITION_SIZE`](super::PARTITION_SIZE) it resets for ever.
    #[must_use]
    pub fn select(&self, records: &[Record; 2], images: &mut impl Images) -> Selection {
        let mut selection = Selection {
            slot: Slot::Factory,
            records: *records,
            initial_contents: false,
            efuse: None,
            rewrites: Rewrites::NONE,
        };
        if self.build.has_rollback() {
            selection.abort_trials();
        }
        let [first, second] = &selection.records;
        let both_virgin = first.is_virgin() && second.is_virgin();

        let chosen = if self.build == Build::AntiRollback {
            if both_virgin {
                selection.initial_contents = true;
                return selection;
            }
            self.newest_permitted(&selection.records, images)
        } else {
            if (first.is_invalid() && second.is_invalid()) || self.slots == 0 {
                if !self.factory {
                    selection.slot = Slot::Ota(0);
                    selection.initial_contents = both_virgin;
                }
                return selection;
            }
            active(&selection.records)
        };
        let Some(sector) = chosen else {
            return selection; // Only wrong CRCs are left: the factory app, or try everything.
        };
        let record = *pick(&selection.records, sector);
        let Some(slot) = record.slot(self.slots) else {
            return selection;
        };
        selection.slot = Slot::Ota(slot);
        if self.build.has_rollback() && record.state == State::New {
            selection.rewrite(sector, State::PendingVerify);
        }
        if self.build == Build::AntiRollback && record.state == State::Valid {
            selection.efuse = self.burn(selection.slot, images);
        }
        selection
    }

    /// Tries images from `start` down to the factory app, then up from `start`, then the test app; the first that verifies.
    ///
    /// An anti-rollback build asks for the secure version of each candidate first. Partitions that do not exist are skipped.
    pub fn load(&self, start: Slot, images: &mut impl Images) -> Option<Slot> {
        let exists = |slot: &Slot| match slot {
            Slot::Ota(slot) => *slot < self.slots,
            Slot::Factory => self.factory,
            Slot::Test => self.test,
        };
        let (down, up) = match start {
            Slot::Ota(slot) => (slot.saturating_add(1), slot.saturating_add(1)),
            Slot::Factory => (0, 0),
            Slot::Test => (0, self.slots), // A test app that was asked for is the only candidate.
        };
        let wanted = (start != Slot::Test).then_some(Slot::Factory);
        (0..down)
            .rev()
            .map(Slot::Ota)
            .chain(wanted)
            .chain((up..self.slots).map(Slot::Ota))
            .chain([Slot::Test])
            .filter(exists)
            .find(|slot| {
                (self.build != Build::AntiRollback || self.permits(*slot, images))
                    && images.verifies(*slot)
            })
    }

    /// [Selects](Self::select) and [loads](Self::load): what a reset does.
    #[must_use]
    pub fn boot(&self, records: &[Record; 2], images: &mut impl Images) -> Boot {
        let mut selection = self.select(records, images);
        // An eFuse burnt during selection already counts for the candidates.
        let mut loader = *self;
        if let Some(version) = selection.efuse {
            loader.efuse.version = version;
        }
        let loaded = loader.load(selection.slot, images);
        if let (true, Some(Slot::Ota(slot))) = (selection.initial_contents, loaded) {
            let record = Record::new(u32::from(slot) + 1, State::Valid);
            selection.write(Rewrite { sector: 0, record });
            if self.build == Build::AntiRollback {
                selection.efuse = self.burn(Slot::Ota(slot), images);
            }
        }
        Boot {
            selected: selection.slot,
            loaded,
            records: selection.records,
            efuse: selection.efuse,
            rewrites: selection.rewrites,
        }
    }

    /// The active record among those whose slot's app has a sufficient secure version.
    fn newest_permitted(&self, records: &[Record; 2], images: &mut impl Images) -> Option<usize> {
        let eligible = records.map(|record| {
            // Without slots ESP-IDF divides by zero here; no slot, no record.
            record.is_valid()
                && record
                    .slot(self.slots)
                    .is_some_and(|slot| self.permits(Slot::Ota(slot), images))
        });
        newest(records, eligible)
    }

    fn permits(&self, slot: Slot, images: &mut impl Images) -> bool {
        images
            .secure_version(slot)
            .is_some_and(|version| self.efuse.permits(version))
    }

    fn burn(&self, slot: Slot, images: &mut impl Images) -> Option<u32> {
        self.efuse.raised(images.secure_version(slot)?)
    }
}

impl Selection {
    /// A trial that is still pending at a reset has failed. The reference does not look at the CRC here.
    fn abort_trials(&mut self) {
        for sector in [0, 1] {
            if pick(&self.records, sector).state == State::PendingVerify {
                self.rewrite(sector, State::Aborted);
            }
        }
    }

    /// Changes the state only; a wrong CRC stays wrong.
    fn rewrite(&mut self, sector: usize, state: State) {
        let record = Record {
            state,
            ..*pick(&self.records, sector)
        };
        self.write(Rewrite { sector, record });
    }

    fn write(&mut self, rewrite: Rewrite) {
        rewrite.apply(&mut self.records);
        self.rewrites.push(rewrite);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_good(_: Slot) -> bool {
        true
    }

    #[test]
    fn two_failed_trials_and_a_first_boot_are_three_rewrites() {
        let torn = Record {
            crc: 0,
            ..Record::new(1, State::PendingVerify)
        };
        // Both CRCs wrong: neither record selects, and INVALID states make it start over.
        let boot = BootLoader::new(Build::Rollback, 2).boot(&[torn, torn], &mut all_good);
        let sectors: Vec<_> = boot.rewrites().map(|rewrite| rewrite.sector).collect();
        assert_eq!(sectors, [0, 1, 0]);
        assert_eq!(boot.records[0], Record::new(1, State::Valid));
        assert_eq!(boot.records[1].state, State::Aborted);
    }

    #[test]
    fn fallback_goes_down_then_up_then_to_the_test_app() {
        let loader = BootLoader {
            factory: true,
            test: true,
            ..BootLoader::new(Build::Plain, 4)
        };
        let mut asked = Vec::new();
        let loaded = loader.load(Slot::Ota(1), &mut |slot: Slot| {
            asked.push(slot.index());
            false
        });
        assert_eq!(loaded, None);
        assert_eq!(asked, [1, 0, -1, 2, 3, -2]);
        let only_test = loader.load(Slot::Test, &mut |slot| slot != Slot::Test);
        assert_eq!(only_test, None);
    }

    #[test]
    fn without_slots_nothing_divides_by_zero() {
        let records = [Record::new(1, State::New), Record::new(2, State::Valid)];
        for build in [Build::Plain, Build::Rollback, Build::AntiRollback] {
            let boot = BootLoader::new(build, 0).boot(&records, &mut all_good);
            assert_eq!(boot.loaded, None, "{build:?}");
        }
    }

    #[test]
    fn an_efuse_never_goes_down_nor_past_its_size() {
        let efuse = Efuse {
            version: 2,
            bits: 4,
        };
        assert_eq!(efuse.raised(1), None);
        assert_eq!(efuse.raised(2), None);
        assert_eq!(efuse.raised(4), Some(4));
        assert_eq!(efuse.raised(5), None);
        assert!(efuse.permits(2) && !efuse.permits(1));
    }
}
