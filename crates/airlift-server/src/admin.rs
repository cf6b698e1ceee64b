//! The REST API for people and tools, `/api/v1`. One operation a file; `docs/http-api.md` shows each with curl.
//!
//! `data_plane` is what things say over HTTP instead of MQTT, at the addresses that AWS has for it.
//!
//! Every operation needs a bearer token. A token is either the administrator's (the whole server) or belongs to one
//! organization. What belongs to another organization does not exist for it: same status, same body.

mod auth;
mod block_thing;
mod cancel_execution;
mod cancel_job;
mod change_device;
mod change_release;
mod create_job;
mod create_organization;
mod create_project;
mod create_thing;
mod create_token;
mod data_plane;
mod delete_job;
mod enroll_thing;
mod explain_device;
mod list_devices;
mod list_executions;
mod list_jobs;
mod list_organizations;
mod list_projects;
mod list_releases;
mod list_things;
mod list_tokens;
mod problem;
mod publish_release;
mod revoke_token;
mod rollouts;
mod show_device;
mod show_job;
mod show_job_document;
mod show_release;
mod show_thing;
mod upload_file;
mod withdraw_release;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{delete, get, post};

use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::config::Resolution;
use crate::doors::aws_mqtt::AwsMqtt;
use crate::fleet::registry::Registry;
use crate::fleet::writer::Writer;
use crate::identity::authority::LazyAuthority;
use crate::jobs::AwsService;
use crate::rollout::Rollouts;

pub(crate) use auth::Tokens;
use problem::Problem;

/// What the operations work on.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) mqtt: Arc<AwsMqtt>,
    pub(crate) mqtts_port: Option<u16>,
    pub(crate) authority: Arc<LazyAuthority>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) jobs: Arc<AwsService>,
    pub(crate) rollouts: Arc<Rollouts>,
    pub(crate) resolution: Resolution,
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
            get(show_release::handle)
                .patch(change_release::handle)
                .delete(withdraw_release::handle),
        )
        .route("/releases/{id}/withdraw", post(withdraw_release::handle))
        .route("/devices", get(list_devices::handle))
        .route(
            "/devices/{node}",
            get(show_device::handle).patch(change_device::handle),
        )
        .route("/devices/{node}/explain", get(explain_device::handle))
        .nest("/rollouts", rollouts::router())
        .route("/files", post(upload_file::handle).put(upload_file::handle))
        .merge(jobs());
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route(
            "/api/v1/organizations",
            post(create_organization::handle).get(list_organizations::handle),
        )
        .nest("/api/v1/organizations/{organization}", organization)
        .route("/things/{thing}/jobs", get(data_plane::get_pending))
        .route(
            "/things/{thing}/jobs/{job}",
            get(data_plane::describe)
                .put(data_plane::start_next)
                .post(data_plane::update),
        )
        .fallback(|| async { Problem::not_found("there is nothing at this address") })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(DefaultBodyLimit::max(MAX_JSON))
        .with_state(api)
}

/// Things, and the jobs that they are given.
fn jobs() -> Router<Api> {
    let create = post(create_job::handle).layer(DefaultBodyLimit::max(create_job::MAX_BODY));
    Router::new()
        .route(
            "/things",
            post(create_thing::handle).get(list_things::handle),
        )
        .route("/things/{thing}", get(show_thing::handle))
        .route("/things/{thing}/credential", post(enroll_thing::handle))
        .route(
            "/things/{thing}/block",
            post(block_thing::block).delete(block_thing::unblock),
        )
        .route("/jobs", create.get(list_jobs::handle))
        .route(
            "/jobs/{job}",
            get(show_job::handle).delete(delete_job::handle),
        )
        .route("/jobs/{job}/document", get(show_job_document::handle))
        .route("/jobs/{job}/cancel", post(cancel_job::handle))
        .route("/jobs/{job}/executions", get(list_executions::handle))
        .route(
            "/jobs/{job}/executions/{thing}/cancel",
            post(cancel_execution::handle),
        )
}
