//! Flash content of virtual ESP boards, from the golden images.

use std::path::PathBuf;

use airlift_formats::esp::partition_table::{
    Flags, Name, Partition, PartitionType, TABLE_LEN, emit, subtype,
};
use airlift_sim::board::{Build, EspBoard, Slot};
use airlift_sim::flash::{Flash, Geometry, Model, Nor};
use sha2::{Digest, Sha256};

/// Size of each app partition.
pub(crate) const SLOT_LEN: u32 = 0x20000;
/// Where the boot selection lies.
pub(crate) const OTADATA: u32 = 0xd000;

/// App partitions of a board; the first lies at 0x10000, the factory app behind the slots.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) ota: u8,
    pub(crate) factory: bool,
}

impl Layout {
    /// The binary partition table.
    pub(crate) fn table(self) -> Vec<u8> {
        let otadata = partition(
            PartitionType::DATA,
            subtype::DATA_OTA,
            OTADATA,
            0x2000,
            "otadata",
        );
        let slots = (0..self.ota).map(|slot| {
            let offset = 0x10000 + u32::from(slot) * SLOT_LEN;
            partition(
                PartitionType::APP,
                subtype::APP_OTA_0 + slot,
                offset,
                SLOT_LEN,
                &format!("ota_{slot}"),
            )
        });
        let offset = 0x10000 + u32::from(self.ota) * SLOT_LEN;
        let factory = partition(
            PartitionType::APP,
            subtype::APP_FACTORY,
            offset,
            SLOT_LEN,
            "factory",
        );
        let journal = partition(
            PartitionType::DATA,
            subtype::DATA_UNDEFINED,
            0x9000,
            0x2000,
            "airlift",
        );
        let partitions: Vec<_> = [otadata]
            .into_iter()
            .chain(slots)
            .chain(self.factory.then_some(factory))
            .chain([journal])
            .collect();
        table_of(&partitions)
    }
}

/// The binary of a partition table.
pub(crate) fn table_of(partitions: &[Partition]) -> Vec<u8> {
    let mut table = [0; TABLE_LEN];
    emit(partitions.iter().copied(), true, &mut table).expect("few partitions");
    table.to_vec()
}

/// An entry of a partition table.
pub(crate) fn partition(
    kind: PartitionType,
    subtype: u8,
    offset: u32,
    size: u32,
    name: &str,
) -> Partition {
    let name = Name::new(name.as_bytes()).expect("a short name");
    Partition {
        kind,
        subtype,
        offset,
        size,
        name,
        flags: Flags(0),
    }
}

/// A board that was just flashed with these images.
pub(crate) fn board(
    layout: Layout,
    build: Build,
    model: Model,
    images: &[(Slot, Vec<u8>)],
) -> EspBoard {
    let geometry = Geometry::new(4, 4096, 1 << 20).expect("a geometry");
    let board = EspBoard::new(Flash::new(Nor::new(geometry, model)), build).expect("4 KiB sectors");
    let images: Vec<(Slot, &[u8])> = images
        .iter()
        .map(|(slot, image)| (*slot, &image[..]))
        .collect();
    board.provision(&layout.table(), &images).expect("it fits");
    board
}

/// A file or folder of the golden vectors of ESP-IDF.
pub(crate) fn golden_path(name: &str) -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/golden/esp"
    ))
    .join(name)
}

/// A golden file.
pub(crate) fn golden(name: &str) -> Vec<u8> {
    let path = golden_path(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("golden vector {}: {error}", path.display()))
}

/// A changed copy of an image, its checksum and SHA-256 made right again. The change must not move anything.
pub(crate) fn sealed(image: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let data = |image: &[u8]| -> u8 {
        let mut at = 24;
        let mut sum = 0xef;
        for _ in 0..image[1] {
            let len =
                u32::from_le_bytes([image[at + 4], image[at + 5], image[at + 6], image[at + 7]])
                    as usize;
            sum = image[at + 8..at + 8 + len]
                .iter()
                .fold(sum, |sum, byte| sum ^ byte);
            at += 8 + len;
        }
        sum
    };
    let mut image = image.to_vec();
    change(&mut image);
    let digest = image.len() - 32;
    image[digest - 1] = data(&image);
    let sha256 = Sha256::digest(&image[..digest]);
    image[digest..].copy_from_slice(&sha256);
    image
}
