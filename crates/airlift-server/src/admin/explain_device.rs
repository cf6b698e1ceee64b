//! `GET /api/v1/organizations/{organization}/devices/{node}/explain?partition=`

use airlift_rollout::Millis;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};

use super::auth::Principal;
use super::{Api, Problem};
use crate::catalog::snapshot::Organization;
use crate::decide::{Decision, Facts, Step, decide, explain_places, explain_rules, resolve};
use crate::fleet::device::Device;
use crate::rollout::{Asker, Look};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// Explain what it would get for this partition, not for its app.
    partition: Option<String>,
}

/// What the device would be told if it asked now, and why.
#[derive(Serialize)]
pub(super) struct Explained {
    node: String,
    project: String,
    key: String,
    /// `app`, or the name of the partition.
    wanted: String,
    /// The version that it runs or holds, as far as that is known.
    runs: Option<String>,
    decision: &'static str,
    /// What it would be sent.
    release: Option<ExplainedRelease>,
    /// Each rule, in the order in which they are looked at.
    steps: Vec<Step>,
}

#[derive(Serialize)]
struct ExplainedRelease {
    id: i64,
    version: String,
}

/// Says why a device gets or does not get an update, by what it said last. Changes nothing.
pub(super) async fn handle(
    State(api): State<Api>,
    principal: Principal,
    Path((organization, node)): Path<(String, String)>,
    parameters: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<Explained>, Problem> {
    let organization = principal.organization(&api, &organization)?;
    let Query(parameters) = parameters?;
    let device = api
        .registry
        .find(organization.id, &node)
        .ok_or_else(|| Problem::not_found("this organization has no such device"))?;
    api.rollouts.look_after_time();
    let partition = parameters.partition.as_deref();
    Ok(Json(explain(&api, &organization, &device, partition)))
}

fn explain(
    api: &Api,
    organization: &Organization,
    device: &Device,
    partition: Option<&str>,
) -> Explained {
    let now = api.clock.now();
    let state = device.lock();
    let facts = state.known(partition, organization);
    let (project, key, node) = (&*state.project, &*state.key, &*device.node);
    let table = api.rollouts.of(organization.id);
    let look = {
        let mut described = state.facts(node, organization);
        // It would be heard of at the moment at which it asks.
        described.last_seen = Millis(now.0);
        let asker = Asker {
            facts: described,
            wanted: facts.wanted,
            md5: facts.running_md5,
            sha256: facts.running_sha256,
            continues: false,
        };
        Look::at(table.as_deref(), organization, node, &asker, now)
    };
    let mut steps: Vec<Step> = look
        .says
        .iter()
        .map(|(rollout, release, verdict, says)| {
            let rule = format!("rollout {rollout} of release {release}");
            Step::new(rule, verdict, says)
        })
        .collect();
    let (order, wanted, granted) = (api.resolution, facts.wanted, &look.granted);
    let place = (project, node, key);
    steps.extend(explain_places(order, organization, place, wanted, granted));

    let release = resolve(order, organization, project, node, key, wanted, granted);
    let terms = release
        .map(|release| look.terms(release.id))
        .unwrap_or_default();
    let history = terms.of(state.history(partition));
    let facts = Facts {
        allow_downgrade: terms.allow_downgrade,
        ..facts
    };
    if let Some(release) = release {
        steps.extend(explain_rules(&facts, release, &history));
    }
    let decision = decide(&facts, release, &history);
    let decision = look.told(release.map(|release| &**release), decision);
    let build = facts.running_build.map(|build| build.version.as_str());
    Explained {
        node: node.to_owned(),
        project: project.to_owned(),
        key: key.to_owned(),
        wanted: partition.unwrap_or("app").to_owned(),
        runs: build.or(facts.running_version).map(str::to_owned),
        release: match &decision {
            Decision::Offer(release) => Some(ExplainedRelease {
                id: release.id,
                version: release.version.clone(),
            }),
            Decision::Tell(_) | Decision::NoUpdate(_) => None,
        },
        decision: decision.as_str(),
        steps,
    }
}
