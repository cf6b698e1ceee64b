//! `POST` or `PUT /api/v1/organizations/{organization}/releases?project=&key=&node=&version=&all_projects=&force=&partition=&file_system=&signature=&hold=&allow_downgrade=`
//!
//! The body is the image: an app or a Matter OTA image, or with `partition` the content of that partition.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use http_body::Body as _;
use serde::{Deserialize, Serialize};

use super::auth::Principal;
use super::create_organization::check_new_name;
use super::list_releases::ListedRelease;
use super::{Api, Problem, create_project};
use crate::catalog::file_system::FileSystem;
use crate::catalog::inspect::MATTER_PARTITION;
use crate::catalog::publish::{DataOrder, Order, PublishError, is_version};
use crate::catalog::release::{Release, TargetKind};
use crate::catalog::signature;
use crate::name;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// Devices of this project ...
    project: Option<String>,
    /// ... or of all projects of the organization.
    #[serde(default)]
    all_projects: bool,
    /// For all devices with this key ...
    key: Option<String>,
    /// ... or for this one device; then the key is not looked at.
    node: Option<String>,
    /// The body is data for this partition, not an app.
    partition: Option<String>,
    /// What the data holds. Default: what its bytes give away.
    file_system: Option<String>,
    /// Default: what the image says. Data says nothing, but for a Matter OTA image.
    version: Option<String>,
    /// Base64 of a signature over the image, for devices that are given it by a job.
    signature: Option<String>,
    /// Publish even if the place holds images for another chip or product, or of another project, or if data looks like an app.
    #[serde(default)]
    force: bool,
    /// No device is offered it but by a rollout.
    #[serde(default)]
    hold: bool,
    /// Devices get it also if they run a newer version.
    #[serde(default)]
    allow_downgrade: bool,
}

#[derive(Serialize)]
pub(super) struct PublishedRelease {
    #[serde(flatten)]
    release: ListedRelease,
    /// `false`: these bytes were offered at this place already, and nothing changed.
    created: bool,
    /// The release that this one takes the place of.
    replaces: Option<i64>,
    warnings: Vec<String>,
}

/// Publishes an image. All or nothing: until this answers with success, devices are offered what they were offered before.
///
/// The administrator's token also makes the organization and the project when they are missing, and says so in `warnings`.
pub(super) async fn handle(
    State(api): State<Api>,
    principal: Principal,
    Path(organization): Path<String>,
    parameters: Result<Query<Parameters>, QueryRejection>,
    body: Body,
) -> Result<(StatusCode, Json<PublishedRelease>), Problem> {
    let mut warnings = Vec::new();
    if principal.is_admin() && api.catalog.organization(&organization).is_none() {
        check_new_name(&organization)?;
        let Query(parameters) = parameters
            .as_ref()
            .map_err(|e| Problem::bad_request("bad-parameter", e.body_text()))?;
        place(parameters)?;
        data(parameters)?;
        if api
            .catalog
            .create_organization(&organization, api.clock.now())
            .await?
            .is_some()
        {
            warnings.push(format!(
                "organization {organization} did not exist and was created"
            ));
        }
    }
    let mut organization = principal.organization(&api, &organization)?;
    let Query(parameters) = parameters?;
    let (project, target_kind, target) = place(&parameters)?;
    let data = data(&parameters)?;
    if project != name::ALL_PROJECTS
        && create_project::if_missing(&api, principal, &organization, &project).await?
    {
        warnings.push(format!("project {project} did not exist and was created"));
        organization = principal.organization(&api, &organization.name)?;
    }
    let order = Order {
        organization,
        project,
        target_kind,
        target,
        data,
        version: parameters.version,
        force: parameters.force,
        signature: parameters.signature,
        hold: parameters.hold,
        allow_downgrade: parameters.allow_downgrade,
        published_by: principal.token,
    };
    // What is announced to be too large is not received first.
    if body.size_hint().lower() > api.max_image_size {
        return Err(PublishError::TooLarge(api.max_image_size).into());
    }
    publish(api, order, body, warnings).await
}

async fn publish(
    api: Api,
    order: Order,
    body: Body,
    mut warnings: Vec<String>,
) -> Result<(StatusCode, Json<PublishedRelease>), Problem> {
    // In a task of its own: a client that hangs up after its last byte does not stop the work half way, and one that
    // hangs up earlier does not keep it from being cleaned up.
    let task = tokio::spawn(async move {
        let stream = body.into_data_stream();
        let published = api
            .catalog
            .publish(order, stream, api.max_image_size, &*api.clock)
            .await?;
        Ok::<_, Problem>(published)
    });
    let published = task.await.map_err(|error| Problem::internal(&error))??;
    warnings.extend(published.warnings);
    let code = if published.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let release = ListedRelease {
        offered: !published.release.held,
        release: Release::clone(&published.release),
    };
    let (created, replaces) = (published.created, published.replaces);
    Ok((
        code,
        Json(PublishedRelease {
            release,
            created,
            replaces,
            warnings,
        }),
    ))
}

/// What the parameters say of data, if that is what the body is.
fn data(parameters: &Parameters) -> Result<Option<DataOrder>, Problem> {
    let file_system = match parameters.file_system.as_deref() {
        None => None,
        Some(text) => Some(FileSystem::parse(text).ok_or_else(|| {
            let detail = "file_system is one of spiffs, littlefs, fat and none";
            Problem::bad_request("bad-parameter", detail)
        })?),
    };
    let Some(partition) = &parameters.partition else {
        return match file_system {
            None => Ok(None),
            Some(_) => {
                let detail = "only data has a file_system: say which partition it is for with partition=NAME";
                Err(Problem::bad_request("bad-parameter", detail))
            }
        };
    };
    if name::check_partition(partition.as_bytes()).is_err() {
        let detail = format!(
            "partition: a name of a partition has 1 to {} of the characters A-Z a-z 0-9 - _ . + : and is not \".\" or \"..\"",
            name::MAX_PARTITION
        );
        return Err(Problem::bad_request("bad-name", detail));
    }
    if partition == MATTER_PARTITION {
        if file_system.is_some_and(|given| given != FileSystem::None) {
            let detail = "a Matter OTA image has no file system: leave file_system out";
            return Err(Problem::bad_request("bad-parameter", detail));
        }
    } else if parameters.version.is_none() {
        let detail = "data does not say its version: give one with version=...";
        return Err(Problem::bad_request("version-missing", detail));
    }
    Ok(Some(DataOrder {
        partition: partition.clone(),
        file_system,
    }))
}

/// Project, kind and name of the place that the parameters name.
fn place(parameters: &Parameters) -> Result<(String, TargetKind, String), Problem> {
    let checked = |what: &str, text: &String| match name::check(text.as_bytes()) {
        Ok(name) => Ok(name.to_owned()),
        Err(why) => Err(Problem::bad_request("bad-name", format!("{what}: {why}"))),
    };
    let project = match &parameters.project {
        _ if parameters.all_projects => name::ALL_PROJECTS.to_owned(),
        Some(project) => checked("project", project)?,
        None => {
            let detail = "say which project the release is for: project=NAME, or all_projects=true";
            return Err(Problem::bad_request("project-missing", detail));
        }
    };
    let (kind, target) = match (&parameters.node, &parameters.key) {
        (Some(node), _) => (TargetKind::Node, checked("node", node)?),
        (None, Some(key)) => (TargetKind::Key, checked("key", key)?),
        (None, None) => {
            let detail =
                "say which devices the release is for: key=KEY, or node=NODE for one device";
            return Err(Problem::bad_request("key-missing", detail));
        }
    };
    if parameters
        .version
        .as_deref()
        .is_some_and(|version| !is_version(version))
    {
        let detail = "a version has 1 to 64 visible ASCII characters and no space";
        return Err(Problem::bad_request("bad-version", detail));
    }
    if let Some(signature) = &parameters.signature {
        signature::check(signature)
            .map_err(|why| Problem::bad_request("bad-signature", why.to_string()))?;
    }
    Ok((project, kind, target))
}
