//! The REST API for people and tools, `/api/v1`. One operation a file; `docs/http-api.md` shows each with curl.
//!
//! Every operation needs a bearer token. A token is either the administrator's (the whole server) or belongs to one
//! organization. What belongs to another organization does not exist for it: same status, same body.

mod auth;
mod create_organization;
mod create_project;
mod create_token;
mod list_devices;
mod list_organizations;
mod list_projects;
mod list_releases;
mod list_tokens;
mod problem;
mod publish_release;
mod revoke_token;
mod show_device;
mod show_release;
mod withdraw_release;

use std::sync::Arc;

use axum::Router;
use axum::routing::{delete, get, post};

use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::fleet::registry::Registry;
use crate::fleet::writer::Writer;
use crate::jobs::AwsService;

pub(crate) use auth::Tokens;
use problem::Problem;

/// What the operations work on.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) jobs: Arc<AwsService>,
    pub(crate) writer: Arc<Writer>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) max_image_size: u64,
}

/// Largest JSON body of a request.
const MAX_JSON: usize = 64 << 10;

/// All routes but those of the doors.
pub(crate) fn router(api: Api) -> Router {
    let organization = Router::new()
        .route(
            "/projects",
            post(create_project::handle).get(list_projects::handle),
        )
        .route(
            "/tokens",
            post(create_token::handle).get(list_tokens::handle),
        )
        .route("/tokens/{id}", delete(revoke_token::handle))
        .route(
            "/releases",
            post(publish_release::handle)
                .put(publish_release::handle)
                .get(list_releases::handle),
        )
        .route(
            "/releases/{id}",
            get(show_release::handle).delete(withdraw_release::handle),
        )
        .route("/releases/{id}/withdraw", post(withdraw_release::handle))
        .route("/devices", get(list_devices::handle))
        .route("/devices/{node}", get(show_device::handle));
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route(
            "/api/v1/organizations",
            post(create_organization::handle).get(list_organizations::handle),
        )
        .nest("/api/v1/organizations/{organization}", organization)
        .fallback(|| async { Problem::not_found("there is nothing at this address") })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(axum::extract::DefaultBodyLimit::max(MAX_JSON))
        .with_state(api)
}
