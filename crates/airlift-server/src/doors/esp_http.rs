//! The HTTP update protocol of ESP8266 and ESP32 clients: `GET|HEAD /ota_update/{org}/{project}/{node}/{key}[/]`.
//!
//! Serves, without a change to their firmware, `ESP8266httpUpdate`, ESP32 `HTTPUpdate` (all versions), `esp_https_ota`
//! (also with partial downloads and resumption), and plain tools like curl. `docs/esp-http-door.md` has the contract, with
//! every place where it differs from the reference server and why.

mod answer;
mod ask;
mod range;
mod request;

use std::net::IpAddr;
use std::sync::Arc;

use airlift_rollout::{Millis, filter};
use http::{Method, Response};

use crate::catalog::Catalog;
use crate::catalog::release::Release;
use crate::catalog::snapshot::Organization;
use crate::clock::{Clock, Timestamp};
use crate::config::Resolution;
use crate::decide::{Decision, Facts, History, decide, resolve};
use crate::fleet::device::{CheckIn, State};
use crate::fleet::registry::Registry;
use crate::fleet::update_state::Blindly;
use crate::rollout::{Asker, Granted, Heard, Rollouts, Ticket, Turn};
use crate::server::Body;
use ask::Ask;
pub(crate) use request::{ClientHeaders, DoorRequest};
use request::{Mode, NotAPartition, Place, PlaceError};

/// Every path that starts like this belongs to this door.
pub(crate) const PREFIX: &str = "/ota_update/";

/// The door and what stands behind it.
pub(crate) struct EspHttp {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) rollouts: Arc<Rollouts>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) resolution: Resolution,
}

/// What a request comes to.
enum Outcome {
    /// This answer.
    Answer(Response<Body>),
    /// This image; if a rollout gives it, when that is on the disk.
    Image(Arc<Release>, Option<Ticket>),
}

impl EspHttp {
    /// Answers one request. Waits only for what a rollout gives, and to read an image that is not in memory.
    pub(crate) async fn answer(&self, request: &DoorRequest<'_>, peer: IpAddr) -> Response<Body> {
        match self.look_up(request, peer) {
            Outcome::Answer(answer) => answer,
            Outcome::Image(release, ticket) => {
                if let Some(ticket) = ticket
                    && !self.rollouts.stored(ticket).await
                {
                    return answer::no_update();
                }
                let with_body = request.method == Method::GET;
                answer::image(&self.catalog.images, &release, &request.headers, with_body).await
            }
        }
    }

    /// All but the image's bytes, from memory.
    fn look_up(&self, request: &DoorRequest<'_>, peer: IpAddr) -> Outcome {
        match *request.method {
            Method::GET | Method::HEAD => {}
            Method::OPTIONS => return Outcome::Answer(answer::allowed_methods()),
            _ => return Outcome::Answer(answer::method_not_allowed()),
        }
        let place = match Place::parse(request.path.strip_prefix(PREFIX).unwrap_or_default()) {
            Ok(place) => place,
            Err(PlaceError::SegmentCount) => return Outcome::Answer(answer::no_such_path()),
            Err(PlaceError::NotAName) => return Outcome::Answer(answer::bad_name()),
        };
        let headers = &request.headers;
        let Some(mode) = headers.mode() else {
            return Outcome::Answer(answer::bad_mode());
        };
        let partition = match headers.partition() {
            Ok(partition) => partition,
            Err(NotAPartition) => return Outcome::Answer(answer::bad_partition()),
        };
        let ask = Ask { mode, partition };
        let snapshot = self.catalog.snapshot();
        let Some(organization) = snapshot.organizations.get(&*place.organization) else {
            return Outcome::Answer(answer::no_update());
        };
        let is_get = request.method == Method::GET;
        let (decision, ticket) = self.decide(organization, &place, headers, &ask, is_get, peer);
        match decision {
            Decision::NoUpdate(reason) => {
                let (organization, node) = (&*place.organization, &*place.node);
                tracing::debug!(organization, node, reason = reason.as_str(), "no update");
                Outcome::Answer(answer::no_update())
            }
            Decision::Tell(release) => Outcome::Answer(answer::version(release)),
            Decision::Offer(release) => Outcome::Image(Arc::clone(release), ticket),
        }
    }

    /// Decides, and takes down who asked and what was decided. With a ticket the image is not to go out before that place of the log
    /// of rollouts is stored.
    fn decide<'a>(
        &self,
        organization: &'a Organization,
        place: &Place<'_>,
        headers: &ClientHeaders<'_>,
        ask: &Ask<'_>,
        is_get: bool,
        peer: IpAddr,
    ) -> (Decision<'a>, Option<Ticket>) {
        let about = headers.about();
        let md5 = about.and_then(|about| about.md5);
        let sha256 = about.and_then(|about| about.sha256);
        let build = organization.build(md5, sha256);
        let facts = Facts {
            version_only: ask.mode == Mode::Version,
            family: headers.family(),
            resuming: headers.resumes(),
            ..ask.facts(about.as_ref(), build.map(|build| &**build))
        };
        let resolve = |granted: &[Granted<'a>]| {
            resolve(
                self.resolution,
                organization,
                &place.project,
                &place.node,
                &place.key,
                ask.wanted(),
                granted,
            )
        };
        // A project that nobody made is no reason to keep records: anyone can invent names.
        let is_known = &*place.project == crate::name::ALL_PROJECTS
            || organization.projects.contains_key(&*place.project);
        let now = self.clock.now();
        let device = is_known
            .then(|| self.registry.find_or_add(organization.id, &place.node, now))
            .flatten();
        let Some(device) = device else {
            return (decide(&facts, resolve(&[]), &History::default()), None);
        };

        let mut state = device.lock();
        let table = self.rollouts.of(organization.id);
        let turn = {
            let named = ask.partition.map(|partition| partition.name);
            let heard = headers.report().map(|report| Heard {
                report,
                partition: named,
                is_news: state.is_news(named, &report),
            });
            let asker = Asker {
                facts: described(&state, place, headers, organization, now),
                wanted: ask.wanted(),
                md5: facts.running_md5,
                sha256: facts.running_sha256,
                continues: facts.resuming,
            };
            let table = table.as_deref();
            Turn::begin(table, organization, &place.node, &asker, heard, now)
        };
        let release = resolve(turn.granted());
        let terms = turn.terms(release);
        let facts = Facts {
            allow_downgrade: terms.allow_downgrade,
            ..facts
        };
        let check_in = CheckIn {
            project: &place.project,
            key: &place.key,
            address: Some(peer),
            user_agent: headers.user_agent(),
            about,
            build: build.map(|build| &**build),
            partition: ask.partition(about.as_ref(), release.map(|release| &**release)),
            version_is_of_file_system: ask.says_version_of_file_system(),
            report: headers.report(),
        };
        state.hear(&device, &check_in, now);
        let partition = check_in.partition.map(|partition| partition.facts.name);
        let history = terms.of(state.history(partition));
        let decision = decide(&facts, release, &history);
        let (decision, ticket) = turn.settle(release, decision);
        let whole = is_get && !facts.resuming && !headers.is_conditional();
        let sent = whole.then_some(Blindly(facts.is_blind()));
        state.told(&device, partition, &decision, sent, now);
        let newly_changed = state.queue();
        drop(state);
        if newly_changed {
            self.registry.changed(device);
        }
        (decision, ticket)
    }
}

/// What filters look at: what was known of the device, and what it says now.
fn described<'a>(
    state: &'a State,
    place: &'a Place<'_>,
    headers: &ClientHeaders<'a>,
    organization: &'a Organization,
    now: Timestamp,
) -> filter::Facts<'a> {
    let known = state.facts(&place.node, organization);
    let mut facts = filter::Facts {
        project: &place.project,
        key: &place.key,
        last_seen: Millis(now.0),
        ..known
    };
    if let Some(about) = headers.about() {
        let build = organization.build(about.md5, about.sha256);
        let published = build.map(|build| build.version.as_str());
        let says_version = matches!(headers.mode(), Some(Mode::Sketch | Mode::Version));
        let said = about.version.filter(|_| says_version);
        facts.version = published.or(said).or(known.version);
        facts.family = Some(about.family.as_str());
        facts.sdk = about.sdk_version.or(known.sdk);
    }
    facts
}
