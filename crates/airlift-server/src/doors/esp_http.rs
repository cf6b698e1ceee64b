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

use http::{Method, Response};

use crate::catalog::Catalog;
use crate::catalog::release::Release;
use crate::catalog::snapshot::Organization;
use crate::clock::Clock;
use crate::config::Resolution;
use crate::decide::{Decision, Facts, History, decide, resolve};
use crate::fleet::device::CheckIn;
use crate::fleet::registry::Registry;
use crate::fleet::update_state::Blindly;
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
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) resolution: Resolution,
}

/// What a request comes to.
enum Outcome {
    /// This answer.
    Answer(Response<Body>),
    /// This image.
    Image(Arc<Release>),
}

impl EspHttp {
    /// Answers one request. Waits only to read an image that is not in memory.
    pub(crate) async fn answer(&self, request: &DoorRequest<'_>, peer: IpAddr) -> Response<Body> {
        match self.look_up(request, peer) {
            Outcome::Answer(answer) => answer,
            Outcome::Image(release) => {
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
        match self.decide(organization, &place, headers, &ask, is_get, peer) {
            Decision::NoUpdate(reason) => {
                let (organization, node) = (&*place.organization, &*place.node);
                tracing::debug!(organization, node, reason = reason.as_str(), "no update");
                Outcome::Answer(answer::no_update())
            }
            Decision::Tell(release) => Outcome::Answer(answer::version(release)),
            Decision::Offer(release) => Outcome::Image(Arc::clone(release)),
        }
    }

    /// Decides, and takes down who asked and what was decided.
    fn decide<'a>(
        &self,
        organization: &'a Organization,
        place: &Place<'_>,
        headers: &ClientHeaders<'_>,
        ask: &Ask<'_>,
        is_get: bool,
        peer: IpAddr,
    ) -> Decision<'a> {
        let release = resolve(
            self.resolution,
            organization,
            &place.project,
            &place.node,
            &place.key,
            ask.wanted(),
        );
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
        // A project that nobody made is no reason to keep records: anyone can invent names.
        let is_known = &*place.project == crate::name::ALL_PROJECTS
            || organization.projects.contains_key(&*place.project);
        let now = self.clock.now();
        let device = is_known
            .then(|| self.registry.find_or_add(organization.id, &place.node, now))
            .flatten();
        let Some(device) = device else {
            return decide(&facts, release, &History::default());
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
        let mut state = device.lock();
        state.hear(&device, &check_in, now);
        let partition = check_in.partition.map(|partition| partition.facts.name);
        let decision = decide(&facts, release, &state.history(partition));
        let whole = is_get && !facts.resuming && !headers.is_conditional();
        let sent = whole.then_some(Blindly(facts.is_blind()));
        state.told(&device, partition, &decision, sent, now);
        let newly_changed = state.queue();
        drop(state);
        if newly_changed {
            self.registry.changed(device);
        }
        decision
    }
}
