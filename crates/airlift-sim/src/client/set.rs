//! Several parts as one: a device that takes Matter OTA images apart, and installs all of their parts or none.
//!
//! ```text
//! plan         what the configuration says, held against the flash
//! install      an image from its first byte to what becomes of it; fetch: the bytes from byte N on; header: what comes first
//! boot         what is done at boot, before the app's first line
//! notes        what the app remembers of images; tell: what the server is told of them
//! external     parts in another flash
//! ```

mod boot;
mod external;
mod fetch;
mod header;
mod install;
mod notes;
mod plan;
mod report;
mod tell;

use std::mem;

use airlift_device::set::{Identity, Part, UnknownTags};

use external::External;
pub(super) use external::Externals;
use notes::Notes;

pub use plan::{PartPlan, SetPartPlan, SetPlan, SetPlanError, SetPlanProblem};
pub use report::{SetPartReport, SetReport};
pub(super) use report::{forget_set, look};

/// The name under which a server has Matter OTA images, where those of data for partitions are.
pub const PLACE: &str = "matter-ota";

/// What happens when a part cannot be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// Everything goes back.
    #[default]
    AllOrNothing,
    /// The parts are applied by ascending tag, and what came before stays: what Matter describes.
    InSequence,
}

/// The parts of a device that are updated as one, ready for the engine.
pub(super) struct Unit {
    /// Who the device is; the version is the one that it came with.
    identity: Identity,
    unknown: UnknownTags,
    policy: Policy,
    /// Parts in the device's own flash.
    pub(super) parts: Vec<Part>,
    /// Tag and place of each part, for reports.
    places: Vec<(u32, String)>,
    pub(super) externals: Vec<External>,
    notes: Notes,
    /// The digest of the set whose end was told to whoever watches.
    told: Option<[u8; 32]>,
}

impl Unit {
    /// Whether the app comes with the set, and in no other way.
    pub(super) fn has_app(&self) -> bool {
        let mut parts = self.parts.iter();
        parts.any(|part| part.to == airlift_device::set::Destination::App)
    }

    /// The device, with the version that it has.
    fn identity(&self) -> Identity {
        let version = self.notes.installed().map(|image| image.software_version);
        Identity {
            version: version.unwrap_or(self.identity.version),
            ..self.identity
        }
    }

    /// For as long as the engine works with them.
    pub(super) fn lend_externals(&mut self) -> Vec<External> {
        mem::take(&mut self.externals)
    }
}
