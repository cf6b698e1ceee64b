//! Which place counts for a device.

use std::sync::Arc;

use crate::catalog::release::Release;
use crate::catalog::snapshot::Organization;
use crate::config::Resolution;
use crate::name::ALL_PROJECTS;

/// The offered release of the most specific place that has one. `project` may be `+`: then only the places for all
/// projects count, as in the reference server, where `+` is the name of a folder like any other.
pub(crate) fn resolve<'a>(
    order: Resolution,
    organization: &'a Organization,
    project: &str,
    node: &str,
    key: &str,
) -> Option<&'a Arc<Release>> {
    let all = &organization.all_projects;
    let own = if project == ALL_PROJECTS {
        None
    } else {
        organization.projects.get(project)
    };
    let node_everywhere = match order {
        Resolution::Current => all.nodes.get(node),
        Resolution::Documented => None,
    };
    own.and_then(|own| own.nodes.get(node))
        .or(node_everywhere)
        .or_else(|| own.and_then(|own| own.keys.get(key)))
        .or_else(|| all.keys.get(key))
}
