//! The binary partition table.

use airlift_formats::esp::partition_table::{Partition, PartitionTable, Rules, TABLE_LEN, emit};

const FLASH_SIZE: u32 = 16 << 20;

/// What a device accepts, the official tool reads as well; its partitions lie in flash, apart from each other, and are
/// written back to a table that reads the same.
pub fn partition_table(data: &[u8]) {
    let inspected = PartitionTable::inspect(data);
    if let Err(error) = &inspected {
        assert!(!error.to_string().is_empty());
    }

    let rules = Rules::new(FLASH_SIZE).without_md5();
    let table = match PartitionTable::parse(data, &rules) {
        Ok(table) => table,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    if data.len() <= TABLE_LEN {
        assert_eq!(inspected, Ok(table), "strict accepts what lax refuses");
    }

    let partitions: Vec<Partition> = table.partitions().collect();
    for (index, partition) in partitions.iter().enumerate() {
        assert!(partition.end() <= u64::from(FLASH_SIZE));
        for earlier in &partitions[..index] {
            assert!(!earlier.overlaps(partition.offset, partition.size));
        }
        let found = table.find(partition.kind, partition.subtype);
        assert!(found.is_some_and(|found| found.subtype == partition.subtype));
    }
    if let Ok(slots) = table.app_slots() {
        assert_eq!(slots.iter().count(), usize::from(slots.count()));
        for (number, slot) in (0..).zip(slots.iter()) {
            assert_eq!(slot.ota_slot(), Some(number));
        }
    }

    let mut buffer = [0; TABLE_LEN];
    let written = emit(
        partitions.iter().copied(),
        table.md5().is_some(),
        &mut buffer,
    );
    let written = written.expect("a table that was read can be written");
    let again =
        PartitionTable::parse(written, &rules).expect("a table that was written can be read");
    assert!(again.partitions().eq(partitions));
    assert_eq!(again.md5(), table.md5());
}
