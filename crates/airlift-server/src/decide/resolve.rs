//! Which place counts for a device.

use std::sync::Arc;

use super::Wanted;
use crate::catalog::release::Release;
use crate::catalog::snapshot::{OnOffer, Organization};
use crate::config::Resolution;
use crate::name::ALL_PROJECTS;

/// The release on offer at the most specific place that has one of what is wanted; of several (a file system, without a word
/// about the partition) the one that was published last. `project` may be `+`: then only the places for all projects count,
/// as in the reference server, where `+` is the name of a folder like any other.
pub(crate) fn resolve<'a>(
    order: Resolution,
    organization: &'a Organization,
    project: &str,
    node: &str,
    key: &str,
    wanted: Wanted<'_>,
) -> Option<&'a Arc<Release>> {
    let find = |place: &'a OnOffer| match wanted {
        Wanted::App => place.app.as_ref(),
        Wanted::FileSystem(_) | Wanted::Partition(_) => {
            let mut newest_first = place.data.iter().rev();
            newest_first.find(|release| wanted.accepts(release))
        }
    };
    let all = &organization.all_projects;
    let own = if project == ALL_PROJECTS {
        None
    } else {
        organization.projects.get(project)
    };
    let node_everywhere = || match order {
        Resolution::Current => all.nodes.get(node),
        Resolution::Documented => None,
    };
    own.and_then(|own| own.nodes.get(node))
        .and_then(find)
        .or_else(|| node_everywhere().and_then(find))
        .or_else(|| own.and_then(|own| own.keys.get(key)).and_then(find))
        .or_else(|| all.keys.get(key).and_then(find))
}
