//! Files that are written whole or not at all.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

/// Writes `bytes` to a file that appears whole or not at all: an error leaves what was there before.
///
/// It is written beside its place and renamed into it. What is not a regular file (a device, a pipe) is written to directly.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_with(path, &[bytes], Readers::All)
}

/// Who may read a file that is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Whom the umask allows.
    All,
    /// The owner: there is a secret in it.
    Owner,
}

/// Writes parts, one behind the other, to a file that appears whole or not at all.
pub(crate) fn replace_with(path: &Path, parts: &[&[u8]], readers: Readers) -> io::Result<()> {
    // Behind a link, its target is replaced and not the link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
        let mut file = fs::OpenOptions::new().write(true).open(&path)?;
        return parts.iter().try_for_each(|part| file.write_all(part));
    }
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    // A readable file, unlike what temporary files are otherwise; the process's umask applies.
    #[cfg(not(unix))]
    let _ = readers;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if readers == Readers::All {
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
    }
    let mut file = builder.prefix(".airlift-").tempfile_in(folder)?;
    parts.iter().try_for_each(|part| file.write_all(part))?;
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    Ok(())
}
