//! What people do with jobs: make them, cancel them, take them away.

use std::sync::Arc;

use super::automatic;
use super::document::{self, DocumentFile};
use super::execution::{Details, Execution};
use super::job::{MAX_DOCUMENT, Retries};
use super::refusal::Refusal;
use super::service::AwsService;
use super::thing::Thing;
use crate::catalog::release::Release;
use crate::store::jobs::{Inserted, JobRow};
use crate::store::things::ThingRow;

/// Most executions of one thing that have not ended: what a request has to go through.
pub(crate) const MAX_PENDING: usize = 100;
/// Most things of one job that is made by hand.
pub(crate) const MAX_THINGS: usize = 1000;
/// Most files of a job: as many as the reference parser sees.
pub(crate) const MAX_FILES: usize = 10;
/// Deepest nesting of a job document. The messages that carry it are two levels deeper, and the JSON reader of the reference
/// library takes 32.
const MAX_NESTING: usize = 30;

/// A job that is to be made. Names are checked.
pub(crate) struct Order {
    pub(crate) organization: i64,
    /// `None`: one is made up.
    pub(crate) name: Option<String>,
    pub(crate) description: String,
    pub(crate) content: Content,
    /// Each once, all of the organization.
    pub(crate) things: Vec<ThingRow>,
    pub(crate) timeout_minutes: Option<u32>,
    pub(crate) retries: Retries,
    pub(crate) created_by: i64,
}

/// What the job is about.
pub(crate) enum Content {
    /// To install a release.
    Release(Box<Release>),
    /// To fetch files, which are stored.
    Files(Vec<DocumentFile>),
    /// A document, as it is.
    Document(String),
}

/// Why no job was made. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CreateError {
    #[error("there is a job {0} already: choose another job id")]
    NameTaken(String),
    #[error(
        "thing {0} has {MAX_PENDING} jobs to do already: cancel some of them, or wait until it has done them"
    )]
    ThingIsFull(String),
    #[error(
        "the job document has {0} bytes and may have {MAX_DOCUMENT}: put what is large into a file of the job"
    )]
    DocumentTooLarge(usize),
    #[error("a job document is a JSON object: it begins with a brace")]
    NotAnObject,
    #[error(
        "the job document is nested deeper than {MAX_NESTING} levels, which devices do not read"
    )]
    TooDeep,
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}

impl AwsService {
    /// Makes a job and queues it for its things. Returns its name.
    pub(crate) async fn create_job(&self, order: Order) -> Result<String, CreateError> {
        let now = self.clock.now();
        let (release, stream, files, document) = match order.content {
            Content::Release(release) => {
                let files = vec![DocumentFile::of_release(&release)];
                (
                    Some(release.id),
                    Some(document::new_stream_name()),
                    files,
                    None,
                )
            }
            Content::Files(files) => (None, Some(document::new_stream_name()), files, None),
            Content::Document(document) => (None, None, Vec::new(), Some(document)),
        };
        let document = match (document, &stream) {
            (Some(document), _) => document,
            (None, stream) => document::afr_ota(stream.as_deref().unwrap_or_default(), &files),
        };
        check_document(&document)?;
        let prefix = if stream.is_some() { "AFR_OTA" } else { "job" };
        let made_up = || format!("{prefix}-{}", crate::random::hex::<8>());
        let row = JobRow {
            id: 0,
            organization_id: order.organization,
            name: order.name.unwrap_or_else(made_up),
            description: order.description,
            document,
            release_id: release,
            automatic: 0,
            stream,
            timeout_minutes: order.timeout_minutes.map(i64::from),
            retries_failed: order.retries.failed.into(),
            retries_timed_out: order.retries.timed_out.into(),
            created_at: now.0,
            created_by: Some(order.created_by),
            canceled_at: None,
            cancel_forced: 0,
            cancel_reason: None,
            cancel_comment: None,
        };
        let files: Vec<_> = files.iter().map(DocumentFile::row).collect();
        let ids: Vec<_> = order.things.iter().map(|thing| thing.id).collect();
        let most = MAX_PENDING as i64;
        match self.database().insert_job(&row, &files, &ids, most).await? {
            Inserted::Job(_) => {}
            Inserted::NameTaken => return Err(CreateError::NameTaken(row.name)),
            Inserted::ThingIsFull(id) => {
                let full = order.things.into_iter().find(|thing| thing.id == id);
                let name = full.map(|thing| thing.name).unwrap_or_default();
                return Err(CreateError::ThingIsFull(name));
            }
        }
        for thing in order.things {
            if self.desks.find(thing.id).is_some() {
                self.look_again(&Arc::new(Thing::from(thing))).await;
            }
        }
        tracing::info!(job = row.name, things = ids.len(), "a job was made");
        Ok(row.name)
    }

    /// Cancels a job: executions that wait end, with force also those in progress, and nothing is tried again.
    pub(crate) async fn cancel_job(
        &self,
        job: i64,
        force: bool,
        reason: Option<&str>,
        comment: Option<&str>,
    ) -> Result<(), sqlx::Error> {
        let now = self.clock.now();
        let cancel = self.database().cancel_job(job, force, reason, comment, now);
        self.change_job(job, cancel).await?;
        let pending = self.database().things_with_pending(job).await?;
        for thing in self.things(&pending).await? {
            self.look_again(&thing).await;
        }
        Ok(())
    }

    /// Takes a job away with all that is known of it.
    pub(crate) async fn delete_job(&self, job: i64) -> Result<(), sqlx::Error> {
        let now = self.clock.now();
        let mark = self.database().mark_job_deleted(job, now);
        self.change_job(job, mark).await?;
        let pending = self.database().things_with_pending(job).await?;
        for thing in self.things(&pending).await? {
            if self.desks.find(thing.id).is_some() {
                self.look_again(&thing).await;
            }
        }
        self.database().remove_job(job).await
    }

    /// Cancels one execution, as [`Queue::cancel`](super::queue::Queue::cancel) does.
    pub(crate) async fn cancel_execution(
        &self,
        thing: &Arc<Thing>,
        job: &str,
        force: bool,
        expected_version: Option<i64>,
        details: Option<Details>,
    ) -> Result<Execution, Refusal> {
        let mut seat = self.sit_unasked(thing).await?;
        let was = seat.queue().of_job(job).cloned();
        let outcome = seat.try_act(|queue, now| {
            queue.cancel(job, force, expected_version, details.as_ref(), now)
        });
        seat.leave().await?;
        match outcome {
            Ok(outcome) => {
                let canceled = outcome.changed.into_iter().next();
                canceled.ok_or_else(|| Refusal::internal(&"a cancellation has changed nothing"))
            }
            Err(why) => Err(self.not_changed(thing, job, None, was, why).await),
        }
    }

    /// Blocks a thing, or lets it in again. A blocked one loses its connections at once.
    pub(crate) async fn block(&self, thing: i64, is_blocked: bool) -> Result<(), sqlx::Error> {
        let since = is_blocked.then(|| self.clock.now());
        self.database().block_thing(thing, since).await?;
        if let Some(desk) = self.desks.find(thing) {
            desk.set_over(is_blocked);
        }
        Ok(())
    }

    /// Whether a thing has a connection.
    pub(crate) fn is_connected(&self, thing: i64) -> bool {
        let desk = self.desks.find(thing);
        desk.is_some_and(|desk| desk.address().is_some())
    }

    /// Something was changed in the database that is this thing's business. If it cannot be read now, the next request will.
    async fn look_again(&self, thing: &Arc<Thing>) {
        if let Ok(seat) = self.sit_anew(thing).await {
            let _ = seat.leave().await;
        }
    }
}

/// Whether a job that a person makes may be called that.
pub(crate) fn is_reserved(name: &str) -> bool {
    name.starts_with(automatic::PREFIX)
}

fn check_document(document: &str) -> Result<(), CreateError> {
    if document.len() > MAX_DOCUMENT {
        return Err(CreateError::DocumentTooLarge(document.len()));
    }
    if !document.trim_start().starts_with('{') {
        return Err(CreateError::NotAnObject);
    }
    // It is known to be JSON: what is not in a text is structure.
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in document.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_NESTING {
            return Err(CreateError::TooDeep);
        }
    }
    Ok(())
}
