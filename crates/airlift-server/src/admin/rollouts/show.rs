//! `GET /api/v1/organizations/{organization}/rollouts/{id}`

use axum::Json;
use axum::extract::{Path, State};

use super::{ShownRollout, number};
use crate::admin::auth::Principal;
use crate::admin::{Api, Problem};
use crate::catalog::snapshot::Organization;
use crate::rollout::RolloutError;

/// Shows a rollout, and how far its devices are.
pub(in crate::admin) async fn handle(
    State(api): State<Api>,
    principal: Principal,
    Path((organization, id)): Path<(String, String)>,
) -> Result<Json<ShownRollout>, Problem> {
    let organization = principal.organization(&api, &organization)?;
    show(&api, &organization, number(&id)?).map(Json)
}

/// The rollout of that number, as it stands at this moment.
pub(super) fn show(
    api: &Api,
    organization: &Organization,
    id: i64,
) -> Result<ShownRollout, Problem> {
    api.rollouts.look_after_time();
    let table = api.rollouts.of(organization.id);
    let shown = table.and_then(|table| table.get(id, ShownRollout::new));
    shown.ok_or_else(|| RolloutError::NoSuchRollout.into())
}
