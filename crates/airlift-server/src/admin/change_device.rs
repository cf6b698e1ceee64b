//! `PATCH /api/v1/organizations/{organization}/devices/{node}` `{"group": "beta", "add_tags": ["lab"], "remove_tags": []}`

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use serde::Deserialize;

use super::auth::Principal;
use super::list_devices::ListedDevice;
use super::{Api, Problem};
use crate::name;

/// Most tags of a device.
const MAX_TAGS: usize = 16;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    /// The group that it is put in; the empty text takes it out of the one that it is in.
    group: Option<String>,
    #[serde(default)]
    add_tags: Vec<String>,
    #[serde(default)]
    remove_tags: Vec<String>,
}

/// Puts a device in a group, gives it tags and takes them away.
pub(super) async fn handle(
    State(api): State<Api>,
    principal: Principal,
    Path((organization, node)): Path<(String, String)>,
    body: Result<Json<Change>, JsonRejection>,
) -> Result<Json<ListedDevice>, Problem> {
    let organization = principal.organization(&api, &organization)?;
    let Json(change) = body?;
    let named = change.group.iter().filter(|group| !group.is_empty());
    for name in named.chain(&change.add_tags) {
        name::check(name.as_bytes())
            .map_err(|why| Problem::bad_request("bad-name", format!("{name:?}: {why}")))?;
    }
    let device = api
        .registry
        .find(organization.id, &node)
        .ok_or_else(|| Problem::not_found("this organization has no such device"))?;
    {
        let mut state = device.lock();
        let mut tags = state.tags.clone();
        tags.retain(|tag| !change.remove_tags.iter().any(|removed| **removed == **tag));
        tags.extend(change.add_tags.iter().map(|tag| Box::from(tag.as_str())));
        tags.sort_unstable();
        tags.dedup();
        if tags.len() > MAX_TAGS {
            let detail = format!("a device has at most {MAX_TAGS} tags");
            return Err(Problem::bad_request("too-many-tags", detail));
        }
        state.tags = tags;
        if let Some(group) = change.group {
            state.group = (!group.is_empty()).then(|| group.into());
        }
        let newly_changed = state.queue();
        drop(state);
        if newly_changed {
            api.registry.changed(std::sync::Arc::clone(&device));
        }
    }
    api.writer.flush().await?;
    Ok(Json(ListedDevice::new(&device, &organization)))
}
