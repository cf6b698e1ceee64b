//! What a device asks for, and which releases are that.

use crate::catalog::file_system::FileSystem;
use crate::catalog::release::{Kind, Release};

/// What the device wants to have up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Wanted<'a> {
    /// Its application.
    #[default]
    App,
    /// The file system of a client that cannot say in which partition it lies.
    FileSystem(FileSystemMode),
    /// The content of the partition of this name.
    Partition(&'a str),
}

/// What a client's mode says of its file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileSystemMode {
    /// `spiffs` and `flashfs`: nothing. All that older clients can say is `spiffs`, also for a `LittleFS`.
    Any,
    LittleFs,
    Fat,
}

impl Wanted<'_> {
    /// Whether the release is of what is asked for. What a release of data holds may be unknown: then it may be the right
    /// thing, and its publisher says that it is for this place. What is known to be no file system never is.
    pub(crate) fn accepts(&self, release: &Release) -> bool {
        match self {
            Self::App => release.kind == Kind::App,
            Self::Partition(name) => {
                release.kind == Kind::Data && release.partition.as_deref() == Some(*name)
            }
            Self::FileSystem(mode) => {
                release.kind == Kind::Data
                    && match (release.file_system, mode) {
                        (None, _) => true,
                        (Some(FileSystem::None), _) => false,
                        (Some(_), FileSystemMode::Any) => true,
                        (Some(holds), FileSystemMode::LittleFs) => holds == FileSystem::LittleFs,
                        (Some(holds), FileSystemMode::Fat) => holds == FileSystem::Fat,
                    }
            }
        }
    }
}
