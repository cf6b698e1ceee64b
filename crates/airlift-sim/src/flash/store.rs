//! Where the cells are kept.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::FlashFileError;

/// The cells in memory, and in a file as well if there is one. The file is written before a flash call returns, so that a process that
/// is killed leaves in it what real flash would hold.
#[derive(Debug)]
pub(crate) struct Store {
    cells: Vec<u8>,
    file: Option<File>,
}

impl Store {
    pub(crate) fn memory(cells: Vec<u8>) -> Self {
        Self { cells, file: None }
    }

    pub(crate) fn create(path: &Path, size: usize) -> Result<Self, FlashFileError> {
        let cells = vec![0xff; size];
        let mut file = locked(
            path,
            OpenOptions::new().read(true).write(true).create_new(true),
        )?;
        file.write_all(&cells)
            .map_err(|source| failed(path, source))?;
        Ok(Self {
            cells,
            file: Some(file),
        })
    }

    pub(crate) fn open(path: &Path, size: usize) -> Result<Self, FlashFileError> {
        let mut file = locked(path, OpenOptions::new().read(true).write(true))?;
        // The length first: a wrong path may name something huge.
        let actual = file
            .metadata()
            .map_err(|source| failed(path, source))?
            .len();
        if actual != size as u64 {
            return Err(FlashFileError::Size {
                path: path.into(),
                expected: size as u64,
                actual,
            });
        }
        let mut cells = vec![0; size];
        file.read_exact(&mut cells)
            .map_err(|source| failed(path, source))?;
        Ok(Self {
            cells,
            file: Some(file),
        })
    }

    pub(crate) fn cells(&self) -> &[u8] {
        &self.cells
    }

    /// To be followed by [`written`](Self::written) for the range that changed.
    pub(crate) fn cells_mut(&mut self) -> &mut [u8] {
        &mut self.cells
    }

    pub(crate) fn written(&mut self, start: usize, len: usize) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        if len == 0 {
            return Ok(());
        }
        file.seek(SeekFrom::Start(start as u64))?;
        file.write_all(&self.cells[start..start + len])
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), File::sync_data)
    }
}

fn locked(path: &Path, options: &OpenOptions) -> Result<File, FlashFileError> {
    let file = options.open(path).map_err(|source| failed(path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(FlashFileError::InUse { path: path.into() }),
        Err(TryLockError::Error(source)) => Err(failed(path, source)),
    }
}

fn failed(path: &Path, source: io::Error) -> FlashFileError {
    FlashFileError::Io {
        path: path.into(),
        source,
    }
}
