//! What a request asks for, and which of the things that it says are about that: the app or data.

use super::request::Mode;
use crate::catalog::release::Release;
use crate::decide::{Facts, Wanted};
use crate::fleet::device::About;
use crate::fleet::partition::PartitionCheckIn;
use crate::fleet::report::PartitionFacts;

/// What a request asks for.
pub(super) struct Ask<'a> {
    pub(super) mode: Mode,
    /// Named by the device; then the mode does not matter.
    pub(super) partition: Option<PartitionFacts<'a>>,
}

impl<'a> Ask<'a> {
    pub(super) fn wanted(&self) -> Wanted<'a> {
        match (self.partition, self.mode) {
            (Some(partition), _) => Wanted::Partition(partition.name),
            (None, Mode::FileSystem(mode)) => Wanted::FileSystem(mode),
            (None, Mode::Sketch | Mode::Version) => Wanted::App,
        }
    }

    /// A client that has only a mode says the version of its file system where others say that of the app.
    pub(super) fn says_version_of_file_system(&self) -> bool {
        matches!(self.wanted(), Wanted::FileSystem(_))
    }

    /// What is known of the thing that is asked for. Of data that is never a digest of the sketch, nor the space for one: that
    /// is the room of another partition, and clients know the size of the right one themselves.
    pub(super) fn facts(&self, about: Option<&About<'a>>, build: Option<&'a Release>) -> Facts<'a> {
        let wanted = self.wanted();
        let mut facts = Facts {
            wanted,
            ..Facts::default()
        };
        match wanted {
            Wanted::App => {
                facts.running_build = build;
                facts.running_chip = build.and_then(|build| build.chip_id);
                facts.running_md5 = about.and_then(|about| about.md5);
                facts.running_sha256 = about.and_then(|about| about.sha256);
                facts.running_version = about.and_then(|about| about.version);
                facts.free_space = about.and_then(|about| about.free_space);
            }
            Wanted::FileSystem(_) => {
                facts.running_version = about.and_then(|about| about.version);
            }
            Wanted::Partition(_) => {
                facts.running_sha256 = self.partition.and_then(|partition| partition.sha256);
                facts.running_version = self.partition.and_then(|partition| partition.version);
            }
        }
        facts
    }

    /// The partition that this is about: the one that the device names, or that of the release that it may get.
    pub(super) fn partition<'b>(
        &self,
        about: Option<&About<'b>>,
        release: Option<&'b Release>,
    ) -> Option<PartitionCheckIn<'b>>
    where
        'a: 'b,
    {
        if let Some(facts) = self.partition {
            return Some(PartitionCheckIn { facts, named: true });
        }
        let facts = PartitionFacts {
            name: release?.partition.as_deref()?,
            sha256: None,
            version: about.and_then(|about| about.version),
        };
        Some(PartitionCheckIn {
            facts,
            named: false,
        })
    }
}
