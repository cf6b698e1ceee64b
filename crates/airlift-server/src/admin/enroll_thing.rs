//! `POST /api/v1/organizations/{organization}/things/{thing}/credential` `{"project": "lotus", "key": "sht30", "csr": "..."}`

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::auth::Principal;
use super::create_organization::check_new_name;
use super::{Api, Problem, create_project, create_thing};
use crate::identity::authority::Subject;
use crate::identity::{fingerprint, password};
use crate::store::credentials::Credential;

/// Longest certificate signing request: one for RSA 8192 has some 3 KB.
const MAX_CSR: usize = 16 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Enrollment {
    project: String,
    /// The device type; without one, a thing that exists keeps its own.
    key: Option<String>,
    /// A certificate signing request, PEM. Without one the thing gets a password.
    csr: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Enrolled {
    organization: String,
    project: String,
    thing: String,
    key: Option<String>,
    #[serde(flatten)]
    credential: Given,
    /// The port for MQTT over TLS, if the server listens there.
    mqtts_port: Option<u16>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Given {
    Certificate {
        /// PEM.
        certificate: String,
        fingerprint: String,
        /// What the thing checks the server against, PEM.
        ca: String,
    },
    Password {
        user_name: String,
        /// Shown this once.
        password: String,
    },
}

/// Gives a thing what it proves itself with, and makes the thing if it is missing. What it had before is void, and a block is
/// lifted; its connection is closed. The administrator's token also makes the organization and the project.
pub(super) async fn handle(
    State(api): State<Api>,
    principal: Principal,
    Path((organization, thing)): Path<(String, String)>,
    body: Result<Json<Enrollment>, JsonRejection>,
) -> Result<(StatusCode, Json<Enrolled>), Problem> {
    let Json(Enrollment { project, key, csr }) = body?;
    create_thing::check(&thing, &project, key.as_deref())?;
    if csr.as_ref().is_some_and(|csr| csr.len() > MAX_CSR) {
        let detail = format!("csr: a certificate signing request has at most {MAX_CSR} bytes");
        return Err(Problem::bad_request("bad-csr", detail));
    }
    let now = api.clock.now();
    if principal.is_admin() && api.catalog.organization(&organization).is_none() {
        check_new_name(&organization)?;
        api.catalog.create_organization(&organization, now).await?;
    }
    let organization = principal.organization(&api, &organization)?;
    create_project::if_missing(&api, principal, &organization, &project).await?;

    let (given, kept) = match csr {
        Some(csr) => {
            let authority = api.authority.get(now).await;
            let authority = authority.map_err(|error| Problem::internal(&error))?;
            let subject = Subject {
                organization: &organization.name,
                project: &project,
                thing: &thing,
            };
            let certificate = authority
                .sign(&csr, subject, now)
                .map_err(|error| Problem::bad_request("bad-csr", format!("csr: {error}")))?;
            let fingerprint = fingerprint(certificate.der());
            let given = Given::Certificate {
                certificate: certificate.pem(),
                fingerprint: fingerprint.clone(),
                ca: authority.certificate().to_owned(),
            };
            (given, Credential::Certificate(fingerprint))
        }
        None => {
            let (password, hash) = password::create();
            let user_name = format!("{}/{thing}", organization.name);
            let given = Given::Password {
                user_name,
                password,
            };
            (given, Credential::Password(hash))
        }
    };

    let database = &api.catalog.database;
    let made = database
        .insert_thing(organization.id, &project, &thing, key.as_deref(), now)
        .await?;
    let row = match made {
        Some(row) => row,
        None => database
            .thing(organization.id, &thing)
            .await?
            .ok_or_else(|| Problem::internal(&"a thing that exists is not there"))?,
    };
    if row.project != project {
        let detail = format!(
            "thing {thing} belongs to project {}; enroll it there",
            row.project
        );
        return Err(Problem::conflict("thing-of-other-project", detail));
    }
    database
        .set_credential(row.id, &kept, key.as_deref())
        .await?;
    api.jobs.block(row.id, false).await?;
    api.mqtt.evict(organization.id, &thing);
    Ok((
        StatusCode::CREATED,
        Json(Enrolled {
            organization: organization.name.clone(),
            project,
            key: key.or(row.key),
            thing,
            credential: given,
            mqtts_port: api.mqtts_port,
        }),
    ))
}
