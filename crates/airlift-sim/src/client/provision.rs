//! A new device: a flash file with a partition table and a first app, as it leaves the factory.

use std::io;
use std::path::Path;

use airlift_formats::esp::partition_table::{Flags, Name, Partition, PartitionType, emit, subtype};

use crate::board::{Build, EspBoard, EspFlashError, ProvisionError, Slot};
use crate::flash::{Flash, FlashFileError, Geometry, GeometryError, Nor};

/// Word and sector of the flash chips that go with ESP32s, in bytes.
pub(super) const WORD: usize = 4;
pub(super) const SECTOR: usize = 4096;

/// Why a device could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProvisionFileError {
    /// The file.
    #[error(transparent)]
    File(#[from] FlashFileError),
    /// No such flash.
    #[error("a flash of this size does not exist: {0}")]
    Size(#[from] GeometryError),
    /// The flash is too small for two app slots.
    #[error("a flash of {size:#x} bytes has no room for two app slots: use 1MB or more")]
    TooSmall {
        /// Its size.
        size: usize,
    },
    /// Not the flash of such a board.
    #[error(transparent)]
    Board(#[from] EspFlashError),
    /// Table or app do not go together, or not with the flash.
    #[error("{0}")]
    Provision(#[from] ProvisionError),
}

/// A partition table for a flash of `size` bytes: settings, boot selection, radio calibration, two equal app slots, a
/// storage partition, and the engine's journal (`airlift`).
///
/// For 4 MiB:
///
/// | name | type, subtype | offset | size |
/// |---|---|---|---|
/// | `nvs` | data, nvs | 0x9000 | 0x4000 |
/// | `otadata` | data, ota | 0xd000 | 0x2000 |
/// | `phy_init` | data, phy | 0xf000 | 0x1000 |
/// | `ota_0` | app, `ota_0` | 0x10000 | 0x1b0000 |
/// | `ota_1` | app, `ota_1` | 0x1c0000 | 0x1b0000 |
/// | `storage` | data, spiffs | 0x370000 | 0x8c000 |
/// | `airlift` | data, undefined | 0x3fc000 | 0x4000 |
///
/// # Errors
/// [`ProvisionFileError::TooSmall`] if there is no room for two slots of at least 64 KiB.
pub fn default_table(size: usize) -> Result<Vec<u8>, ProvisionFileError> {
    const FIRST_SLOT: usize = 0x1_0000;
    const JOURNAL: usize = 0x4000;
    const SLOT_UNIT: usize = 0x1_0000;
    // An eighth for storage, the rest for the slots.
    let slots = size.saturating_sub(FIRST_SLOT + size / 8);
    let slot = slots / 2 / SLOT_UNIT * SLOT_UNIT;
    let storage = FIRST_SLOT + 2 * slot;
    let journal = size.saturating_sub(JOURNAL);
    if slot == 0 || journal <= storage {
        return Err(ProvisionFileError::TooSmall { size });
    }
    let app = PartitionType::APP;
    let data = PartitionType::DATA;
    let rows = [
        ("nvs", data, subtype::DATA_NVS, 0x9000, 0x4000),
        ("otadata", data, subtype::DATA_OTA, 0xd000, 0x2000),
        ("phy_init", data, subtype::DATA_PHY, 0xf000, 0x1000),
        ("ota_0", app, subtype::APP_OTA_0, FIRST_SLOT, slot),
        (
            "ota_1",
            app,
            subtype::APP_OTA_0 + 1,
            FIRST_SLOT + slot,
            slot,
        ),
        (
            "storage",
            data,
            subtype::DATA_SPIFFS,
            storage,
            journal - storage,
        ),
        ("airlift", data, subtype::DATA_UNDEFINED, journal, JOURNAL),
    ];
    let partitions = rows.map(|(name, kind, subtype, offset, size)| Partition {
        kind,
        subtype,
        offset: offset as u32,
        size: size as u32,
        name: Name::new(name.as_bytes()).expect("a short name"),
        flags: Flags(0),
    });
    let mut table = vec![0; airlift_formats::esp::partition_table::TABLE_LEN];
    emit(partitions, true, &mut table).expect("seven partitions fit into a table");
    Ok(table)
}

/// Makes the flash file of a new device: `size` bytes with this binary partition table, and `app` in the first app
/// partition (`factory` if there is one, else `ota_0`). Fails if the file exists.
///
/// # Errors
/// [`ProvisionFileError`]; there is then no file.
pub fn provision(
    path: &Path,
    size: usize,
    table: &[u8],
    app: &[u8],
) -> Result<(), ProvisionFileError> {
    let geometry = Geometry::new(WORD, SECTOR, size)?;
    let at = |source| FlashFileError::Io {
        path: path.to_owned(),
        source,
    };
    if path.exists() {
        return Err(at(io::ErrorKind::AlreadyExists.into()).into());
    }
    // Under another name until it is whole: half a device is of no use to anybody, and a killed process leaves no other.
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}.new", std::process::id()));
    let draft = Path::new(&draft);
    let made = Nor::create_file(draft, geometry)
        .map_err(ProvisionFileError::from)
        .and_then(|nor| fill(&Flash::new(nor), table, app))
        // Unlike a rename, this takes nobody else's place.
        .and_then(|()| Ok(std::fs::hard_link(draft, path).map_err(at)?));
    let _ = std::fs::remove_file(draft);
    made
}

fn fill(flash: &Flash, table: &[u8], app: &[u8]) -> Result<(), ProvisionFileError> {
    let board = EspBoard::new(flash.clone(), Build::Rollback)?;
    let slot = match board.provision(table, &[(Slot::Factory, app)]) {
        Err(ProvisionError::NoPartition { .. }) => Slot::Ota(0),
        result => return Ok(result?),
    };
    board.provision(table, &[(slot, app)])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use airlift_device::install::EspLayout;
    use airlift_formats::esp::partition_table::{PartitionTable, Rules};

    use super::*;

    #[test]
    fn the_default_table_suits_boot_loader_and_engine_at_every_size() {
        for mib in [1, 2, 4, 8, 16, 32] {
            let size = mib << 20;
            let table = default_table(size).unwrap();
            let table = PartitionTable::parse(&table, &Rules::new(size as u32)).unwrap();
            let layout = EspLayout::new(&table).unwrap();
            let [first, second] = layout.slots() else {
                panic!("two slots")
            };
            assert_eq!(first.len, second.len);
            assert!(first.len as usize >= size / 2 - size / 8, "{mib} MiB");
        }
        let table = default_table(4 << 20).unwrap();
        let table = PartitionTable::parse(&table, &Rules::new(4 << 20)).unwrap();
        let places: Vec<_> = table.partitions().map(|p| (p.offset, p.size)).collect();
        // As documented.
        assert_eq!(
            places[3..],
            [
                (0x1_0000, 0x1b_0000),
                (0x1c_0000, 0x1b_0000),
                (0x37_0000, 0x8_c000),
                (0x3f_c000, 0x4000)
            ]
        );
    }

    #[test]
    fn a_flash_without_room_is_refused() {
        for size in [0, 4096, 0x1_0000, 0x2_0000] {
            assert!(matches!(
                default_table(size),
                Err(ProvisionFileError::TooSmall { .. })
            ));
        }
    }
}
