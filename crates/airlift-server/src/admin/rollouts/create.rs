//! `POST /api/v1/organizations/{organization}/rollouts` with a plan: `{"release": 12, "stages": ["10%"], ...}`

use airlift_rollout::Plan;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use http::StatusCode;

use super::ShownRollout;
use super::show::show;
use crate::admin::auth::Principal;
use crate::admin::{Api, Problem};

/// Orders a rollout of a release that is held. It starts at once, unless its plan says a time or wants approval.
pub(in crate::admin) async fn handle(
    State(api): State<Api>,
    principal: Principal,
    Path(organization): Path<String>,
    body: Result<Json<Plan>, JsonRejection>,
) -> Result<(StatusCode, Json<ShownRollout>), Problem> {
    let organization = principal.organization(&api, &organization)?;
    let Json(plan) = body?;
    let rollouts = &api.rollouts;
    let id = rollouts
        .create(&organization, plan, principal.token)
        .await?;
    Ok((StatusCode::CREATED, Json(show(&api, &organization, id)?)))
}
