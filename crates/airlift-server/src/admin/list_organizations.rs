//! `GET /api/v1/organizations`

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::Api;
use super::auth::Principal;
use super::create_organization::Named;
use crate::clock::Timestamp;

#[derive(Serialize)]
pub(super) struct Organizations {
    organizations: Vec<Named>,
}

/// Lists the organizations that the caller can see, by name.
pub(super) async fn handle(State(api): State<Api>, principal: Principal) -> Json<Organizations> {
    let snapshot = api.catalog.snapshot();
    let visible = snapshot
        .organizations
        .values()
        .filter(|organization| principal.may_see(organization));
    let named = visible.map(|organization| Named {
        name: organization.name.clone(),
        created_at: Timestamp(organization.created_at),
    });
    let mut organizations: Vec<_> = named.collect();
    organizations.sort_by(|a, b| a.name.cmp(&b.name));
    Json(Organizations { organizations })
}
