//! Which place counts for a device.

use std::sync::Arc;

use super::Wanted;
use crate::catalog::release::{Release, TargetKind};
use crate::catalog::snapshot::{OnOffer, Organization, Places};
use crate::config::Resolution;
use crate::name::ALL_PROJECTS;
use crate::rollout::Granted;

/// A place where a release for a device can lie.
#[derive(Clone, Copy)]
pub(crate) struct Spot<'a> {
    /// `+`: all projects.
    pub(crate) project: &'a str,
    pub(crate) kind: TargetKind,
    pub(crate) target: &'a str,
}

/// The places of a device, the most specific one first. `project` may be `+`: then only the places for all projects count, as in
/// the reference server, where `+` is the name of a folder like any other.
pub(crate) fn spots<'a>(
    order: Resolution,
    project: &'a str,
    node: &'a str,
    key: &'a str,
) -> impl Iterator<Item = Spot<'a>> {
    let has_own = project != ALL_PROJECTS;
    let has_node_everywhere = order == Resolution::Current;
    [
        (has_own, project, TargetKind::Node, node),
        (has_node_everywhere, ALL_PROJECTS, TargetKind::Node, node),
        (has_own, project, TargetKind::Key, key),
        (true, ALL_PROJECTS, TargetKind::Key, key),
    ]
    .into_iter()
    .filter(|(counts, ..)| *counts)
    .map(|(_, project, kind, target)| Spot {
        project,
        kind,
        target,
    })
}

impl Spot<'_> {
    /// What lies there for everybody: of several (a file system, without a word about the partition) the one that was published
    /// last.
    pub(super) fn open<'o>(
        self,
        organization: &'o Organization,
        wanted: Wanted<'_>,
    ) -> Option<&'o Arc<Release>> {
        let places = self.places(organization)?;
        let place: &OnOffer = match self.kind {
            TargetKind::Node => places.nodes.get(self.target),
            TargetKind::Key => places.keys.get(self.target),
        }?;
        match wanted {
            Wanted::App => place.app.as_ref(),
            Wanted::FileSystem(_) | Wanted::Partition(_) => {
                let mut newest_first = place.data.iter().rev();
                newest_first.find(|release| wanted.accepts(release))
            }
        }
    }

    fn places(self, organization: &Organization) -> Option<&Places> {
        if self.project == ALL_PROJECTS {
            Some(&organization.all_projects)
        } else {
            organization.projects.get(self.project)
        }
    }

    /// What lies there for this device by a rollout: of several the one that was published last.
    pub(super) fn granted<'o>(self, granted: &[Granted<'o>]) -> Option<&'o Arc<Release>> {
        let here = granted.iter().filter(|granted| {
            let release = granted.release;
            granted.counts()
                && release.project == self.project
                && release.target_kind == self.kind
                && release.target == self.target
        });
        let newest = here.max_by_key(|granted| granted.release.id)?;
        Some(newest.release)
    }
}

/// The release at the most specific place that has one of what is wanted, for everybody or, by a rollout, for this device; of
/// both the one that was published last.
pub(crate) fn resolve<'a>(
    order: Resolution,
    organization: &'a Organization,
    project: &str,
    node: &str,
    key: &str,
    wanted: Wanted<'_>,
    granted: &[Granted<'a>],
) -> Option<&'a Arc<Release>> {
    spots(order, project, node, key).find_map(|spot| {
        let both = [spot.open(organization, wanted), spot.granted(granted)];
        both.into_iter().flatten().max_by_key(|release| release.id)
    })
}
