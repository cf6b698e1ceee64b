//! The CSV form of the partition table.

use airlift_formats::esp::partition_table::{
    Options, PartitionTable,
    csv::{compile, print},
};

/// What compiles is a binary that reads as the same partitions, and that prints as a CSV which compiles again, to the
/// same. What does not compile has a message.
///
/// The input: the text, then a byte of options.
pub fn partition_csv(data: &[u8]) {
    let Some((&flags, text)) = data.split_last() else {
        return;
    };
    let options = Options {
        md5: flags & 1 == 0,
        flash_size: (flags & 2 != 0).then_some(4 << 20),
        primary_bootloader_offset: (flags & 4 != 0).then_some(0x1000),
        ..Options::default()
    };
    let variable = |name: &str| (flags & 8 != 0 && name == "SIZE").then(|| "64K".to_owned());
    let compiled = match compile(text, &options, &variable) {
        Ok(compiled) => compiled,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };

    let table = PartitionTable::inspect(compiled.binary()).expect("what was compiled can be read");
    assert!(table.partitions().eq(compiled.partitions.iter().copied()));
    assert_eq!(table.md5().is_some(), options.md5);
    assert_eq!(compiled.lines.len(), compiled.partitions.len());

    let printed = print(compiled.partitions.iter().copied(), &options.subtypes);
    let Ok(printed) = printed else {
        return; // A name was cut off within a character.
    };
    // A name can have what CSV cannot say: blanks at its ends, bytes behind a NUL. The official tool loses them as well.
    let is_plain = compiled.partitions.iter().all(|partition| {
        let len = partition.name.as_bytes().len();
        let text = partition.name.as_str().unwrap_or_default();
        partition.name.0[len..].iter().all(|byte| *byte == 0) && text.trim() == text
    });
    match compile(printed.as_bytes(), &options, &|_| None) {
        Ok(again) if is_plain => assert_eq!(
            again.partitions, compiled.partitions,
            "printed as\n{printed}"
        ),
        Err(error) if is_plain => panic!("{error}: what was printed does not compile:\n{printed}"),
        _ => {}
    }
}
