//! `POST /api/v1/organizations/{organization}/rollouts/{id}/{action}`: approve, pause, resume, abort, retry

use axum::Json;
use axum::extract::{Path, State};

use super::show::show;
use super::{ShownRollout, number};
use crate::admin::auth::Principal;
use crate::admin::{Api, Problem};
use crate::rollout::Action;

/// Does that to a rollout, and shows how it stands then.
pub(in crate::admin) async fn handle(
    State(api): State<Api>,
    principal: Principal,
    Path((organization, id, action)): Path<(String, String, String)>,
) -> Result<Json<ShownRollout>, Problem> {
    let organization = principal.organization(&api, &organization)?;
    let id = number(&id)?;
    let action = Action::parse(&action).ok_or_else(|| {
        Problem::not_found("what can be done to a rollout is approve, pause, resume, abort, retry")
    })?;
    let rollouts = &api.rollouts;
    rollouts
        .act(&organization, id, action, principal.token)
        .await?;
    show(&api, &organization, id).map(Json)
}
