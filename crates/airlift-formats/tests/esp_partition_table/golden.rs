//! The files that the reference tool made.

use std::path::PathBuf;

/// Path of a golden file of the ESP formats.
pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/golden/esp"
    ))
    .join(name)
}

/// Content of a golden file.
pub(crate) fn read(name: &str) -> Vec<u8> {
    let path = path(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("golden vector {path:?}: {error}"))
}

/// File names in a golden folder that end with `suffix`, without it, sorted.
pub(crate) fn stems(folder: &str, suffix: &str) -> Vec<String> {
    let path = path(folder);
    let entries =
        std::fs::read_dir(&path).unwrap_or_else(|error| panic!("golden vectors {path:?}: {error}"));
    let mut stems: Vec<String> = entries
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            Some(name.strip_suffix(suffix)?.to_owned())
        })
        .collect();
    stems.sort();
    assert!(!stems.is_empty(), "no golden vectors {path:?}/*{suffix}");
    stems
}
