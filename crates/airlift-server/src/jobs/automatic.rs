//! Jobs that nobody makes by hand: a thing is offered by a job what the same device would be offered over HTTP.
//!
//! `decide` says what that is. There is one such job for each release, and it is for whoever is offered the release: a thing gets
//! an execution of it when it asks, or when the catalog changes while it is connected, and only if it has nothing else to do.

use std::sync::Arc;

use airlift_rollout::{Millis, filter};

use super::desk::Seat;
use super::document::{self, DocumentFile};
use super::execution::{Execution, Status};
use super::job::Job;
use super::refusal::Refusal;
use super::service::AwsService;
use super::thing::Thing;
use crate::catalog::release::Release;
use crate::clock::Timestamp;
use crate::decide::{Decision, Facts, History, NoUpdate, Wanted, decide, resolve};
use crate::fleet::update_state::Blindly;
use crate::rollout::{Asker, Ticket, Turn};
use crate::store::jobs::{Inserted, JobRow};

/// How the ids of these jobs begin; what follows is the id of the release. No other job may be called that.
pub(crate) const PREFIX: &str = "AFR_OTA-release-";

/// The shortest time between the end of an execution and the next one of the same release by the same thing. It doubles with each.
const FIRST_PAUSE_MS: i64 = 60_000;
/// The longest.
const LONGEST_PAUSE_MS: i64 = 24 * 3_600_000;

/// What is on offer to a thing.
#[derive(Default)]
struct OnOffer {
    /// At the place that counts for it.
    release: Option<Arc<Release>>,
    /// It is to be sent that, if it was not lately.
    is_offered: bool,
    /// It has no use for that: it runs it already, or cannot run it.
    is_useless: bool,
    /// It does not say what it runs ...
    is_silent: bool,
    /// ... though such devices can.
    blindly: bool,
    /// A rollout gives it that, once this place of its log is stored.
    ticket: Option<Ticket>,
}

impl OnOffer {
    fn of(release: Option<&Arc<Release>>, decision: &Decision<'_>, facts: &Facts<'_>) -> Self {
        Self {
            release: release.cloned(),
            is_offered: matches!(decision, Decision::Offer(_)),
            is_useless: matches!(
                decision,
                Decision::NoUpdate(
                    NoUpdate::UpToDate
                        | NoUpdate::SameVersion
                        | NoUpdate::OtherChip
                        | NoUpdate::RunsNewer
                )
            ),
            is_silent: facts.running_md5.is_none() && facts.running_sha256.is_none(),
            blindly: facts.is_blind(),
            ticket: None,
        }
    }
}

impl AwsService {
    /// Gives the thing the job for what it is offered, if it has nothing else to do, and takes from it what is not offered any more.
    pub(super) async fn look_for_release(&self, seat: &mut Seat<'_>) -> Result<(), Refusal> {
        let (thing, now) = (seat.thing, seat.now);
        let on_offer = self.look_up(thing, now);
        let id = on_offer.release.as_ref().map(|release| release.id);
        seat.act(|queue, now| queue.keep_offered(id, on_offer.is_useless, now));
        let Some(release) = on_offer.release.filter(|_| on_offer.is_offered) else {
            return Ok(());
        };
        if seat.queue().next().is_some() {
            return Ok(());
        }
        if let Some(ticket) = on_offer.ticket
            && !self.rollouts.stored(ticket).await
        {
            return Ok(());
        }
        let Some(job) = self
            .automatic_job(thing.organization, &release, now)
            .await?
        else {
            return Ok(());
        };
        let last = self.database().execution(thing.id, &job.name, None).await?;
        let last = last.map(|row| Execution::read(&row, Arc::clone(&job)));
        let number = match last.transpose()? {
            None => 1,
            Some(last) if last.status == Status::Succeeded && on_offer.is_silent => {
                // It said so, and the registry does not know: the server crashed in that second.
                self.note(thing, now, |device, state| {
                    state.runs(device, &release, now);
                });
                return Ok(());
            }
            Some(last) if !may_follow(&last, now) => return Ok(()),
            Some(last) => last.number + 1,
        };
        seat.act(|queue, now| queue.add(Execution::new(job, number, now)));
        self.note(thing, now, |device, state| {
            let decision = Decision::Offer(&release);
            state.told(
                device,
                None,
                &decision,
                Some(Blindly(on_offer.blindly)),
                now,
            );
        });
        Ok(())
    }

    /// Asks `decide`, and takes its answer down.
    fn look_up(&self, thing: &Thing, now: Timestamp) -> OnOffer {
        let snapshot = self.catalog().snapshot();
        let Some(organization) = snapshot.by_id(thing.organization) else {
            return OnOffer::default();
        };
        let key = thing.key.as_deref().unwrap_or_default();
        let (project, name) = (&*thing.project, &*thing.name);
        let resolve = |granted: &[_]| {
            let (order, wanted) = (self.resolution, Wanted::App);
            resolve(order, organization, project, name, key, wanted, granted)
        };
        let noted = self.note(thing, now, |device, state| {
            let table = self.rollouts.of(thing.organization);
            let facts = state.known(None, organization);
            let asker = Asker {
                facts: filter::Facts {
                    project,
                    key,
                    last_seen: Millis(now.0),
                    ..state.facts(name, organization)
                },
                wanted: Wanted::App,
                md5: facts.running_md5,
                sha256: facts.running_sha256,
                continues: false,
            };
            let turn = Turn::begin(table.as_deref(), organization, name, &asker, None, now);
            let release = resolve(turn.granted());
            let terms = turn.terms(release);
            let facts = Facts {
                allow_downgrade: terms.allow_downgrade,
                ..facts
            };
            let decision = decide(&facts, release, &terms.of(state.history(None)));
            let mut on_offer = OnOffer::of(release, &decision, &facts);
            let (decision, ticket) = turn.settle(release, decision);
            on_offer.is_offered = matches!(decision, Decision::Offer(_));
            on_offer.ticket = ticket;
            state.told(device, None, &decision, None, now);
            on_offer
        });
        noted.unwrap_or_else(|| {
            let (release, facts) = (resolve(&[]), Facts::default());
            let decision = decide(&facts, release, &History::default());
            OnOffer::of(release, &decision, &facts)
        })
    }

    /// The job for this release. `None`: a person has canceled it.
    async fn automatic_job(
        &self,
        organization: i64,
        release: &Release,
        now: Timestamp,
    ) -> Result<Option<Arc<Job>>, Refusal> {
        let name = format!("{PREFIX}{}", release.id);
        let database = self.database();
        let id = match database.job_by_name(organization, &name).await? {
            Some(row) => Some(row.id),
            None => {
                let stream = document::new_stream_name();
                let file = DocumentFile::of_release(release);
                let row = JobRow {
                    id: 0,
                    organization_id: organization,
                    name: name.clone(),
                    description: format!("release {}, version {}", release.id, release.version),
                    document: document::afr_ota(&stream, std::slice::from_ref(&file)),
                    release_id: Some(release.id),
                    automatic: 1,
                    stream: Some(stream),
                    timeout_minutes: None,
                    retries_failed: 0,
                    retries_timed_out: 0,
                    created_at: now.0,
                    created_by: None,
                    canceled_at: None,
                    cancel_forced: 0,
                    cancel_reason: None,
                    cancel_comment: None,
                };
                match database.insert_job(&row, &[file.row()], &[], 0).await? {
                    Inserted::Job(id) => Some(id),
                    // Another thing was faster.
                    Inserted::NameTaken | Inserted::ThingIsFull(_) => {
                        let row = database.job_by_name(organization, &name).await?;
                        row.map(|row| row.id)
                    }
                }
            }
        };
        let Some(id) = id else {
            return Ok(None);
        };
        let job = self.job(id).await?;
        Ok(job.filter(|job| job.automatic && job.canceled.is_none()))
    }
}

/// Whether a thing may be given a release again: at once if the end had nothing to do with it, never if a person ended it, and
/// otherwise after a pause. Things that fail ask again at once.
fn may_follow(last: &Execution, now: Timestamp) -> bool {
    match last.status {
        Status::Removed => true,
        Status::Canceled | Status::Queued | Status::InProgress => false,
        Status::Succeeded | Status::Failed | Status::Rejected | Status::TimedOut => {
            let doublings = u32::try_from(last.number.saturating_sub(1)).unwrap_or(u32::MAX);
            let factor = 1_i64.checked_shl(doublings.min(20)).unwrap_or(i64::MAX);
            let pause = FIRST_PAUSE_MS.saturating_mul(factor).min(LONGEST_PAUSE_MS);
            now.0 >= last.updated_at.0.saturating_add(pause)
        }
    }
}
