//! `GET /api/v1/organizations/{organization}/things/{thing}`

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;

use super::auth::Principal;
use super::list_executions::ListedExecution;
use super::list_things::AboutThing;
use super::{Api, Problem};
use crate::store::things::ThingRow;

/// Executions that are shown.
const EXECUTIONS: i64 = 100;

#[derive(Serialize)]
pub(super) struct ShownThing {
    #[serde(flatten)]
    thing: AboutThing,
    /// Those that changed last, newest first.
    executions: Vec<ListedExecution>,
}

/// Shows a thing with the executions of its jobs.
pub(super) async fn handle(
    State(api): State<Api>,
    principal: Principal,
    Path((organization, thing)): Path<(String, String)>,
) -> Result<Json<ShownThing>, Problem> {
    let organization = principal.organization(&api, &organization)?;
    let row = find(&api, organization.id, &thing).await?;
    let executions = api
        .catalog
        .database
        .executions_of_thing(row.id, EXECUTIONS)
        .await?;
    Ok(Json(ShownThing {
        thing: AboutThing::new(&api, row),
        executions: executions.into_iter().map(Into::into).collect(),
    }))
}

/// The thing of that name.
pub(super) async fn find(api: &Api, organization: i64, name: &str) -> Result<ThingRow, Problem> {
    let row = api.catalog.database.thing(organization, name).await?;
    row.ok_or_else(|| Problem::not_found("this organization has no such thing"))
}
