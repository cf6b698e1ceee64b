//! Requests of things, by topic.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::answer::{
    Description, Envelope, ExecutionState, ListNotice, One, Pending, Updated, json, seconds,
};
use super::desk::Desks;
use super::execution::{Execution, Status};
use super::job::{File, is_job_id};
use super::notice::{Kind, NoticeReceiver};
use super::queue::NotChanged;
use super::refusal::{Code, Refusal};
use super::reply::{Publication, Reply};
use super::request::{Describe, Request, StartNext, UpdateRequest};
use super::thing::Thing;
use super::writer::ExecutionWriter;
use crate::catalog::Catalog;
use crate::clock::{Clock, Timestamp};
use crate::config::Resolution;
use crate::fleet::registry::Registry;
use crate::rollout::Rollouts;
use crate::store::database::Database;

/// AWS IoT Jobs and MQTT file streams, for all things.
pub(crate) struct AwsService {
    catalog: Arc<Catalog>,
    pub(super) registry: Arc<Registry>,
    pub(super) rollouts: Arc<Rollouts>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) resolution: Resolution,
    pub(super) writer: ExecutionWriter,
    pub(super) desks: Desks,
}

/// What a request names in its topic where the id of a job stands.
pub(crate) const NEXT: &str = "$next";
/// Longest topic behind the thing's name that is answered.
const MAX_TOPIC: usize = 256;

impl AwsService {
    /// Starts the service. Call within a tokio runtime.
    pub(crate) fn new(
        catalog: Arc<Catalog>,
        registry: Arc<Registry>,
        rollouts: Arc<Rollouts>,
        clock: Arc<dyn Clock>,
        resolution: Resolution,
    ) -> Self {
        Self {
            writer: ExecutionWriter::start(catalog.database.clone()),
            catalog,
            registry,
            rollouts,
            clock,
            resolution,
            desks: Desks::default(),
        }
    }

    pub(super) fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    pub(super) fn database(&self) -> &Database {
        &self.catalog.database
    }

    /// A thing has a connection now.
    #[allow(dead_code, reason = "for the MQTT door")]
    pub(crate) fn connected(&self, thing: &Arc<Thing>, address: IpAddr) {
        self.desks.of(thing.id).connected(thing, address);
        self.hear(thing);
    }

    /// A connection of a thing is gone. Call as often as [`connected`](Self::connected).
    #[allow(dead_code, reason = "for the MQTT door")]
    pub(crate) fn disconnected(&self, thing: &Thing) {
        if let Some(desk) = self.desks.find(thing.id) {
            desk.disconnected();
        }
    }

    /// What a connection of that thing is to be told unasked, from now on.
    #[allow(dead_code, reason = "for the MQTT door")]
    pub(crate) fn notices(self: &Arc<Self>, thing: &Arc<Thing>) -> NoticeReceiver {
        let desk = self.desks.of(thing.id);
        NoticeReceiver::new(Arc::clone(self), Arc::clone(thing), desk)
    }

    /// Answers what a thing has published to `$aws/things/NAME/{topic_rest}`, where NAME is its own.
    ///
    /// What is answered is on the disk.
    #[allow(dead_code, reason = "for the MQTT door")]
    pub(crate) async fn request(
        self: &Arc<Self>,
        thing: &Arc<Thing>,
        topic_rest: &str,
        payload: &[u8],
    ) -> Reply {
        if topic_rest.len() > MAX_TOPIC {
            return Reply::None;
        }
        if let Some(rest) = topic_rest.strip_prefix("streams/") {
            return self.stream_request(thing, rest, payload).await;
        }
        let Some(rest) = topic_rest.strip_prefix("jobs/") else {
            return Reply::None;
        };
        // Where answers and notices go: nothing that asks for anything.
        let is_answer = ["/accepted", "/rejected"]
            .iter()
            .any(|end| rest.ends_with(end));
        if is_answer || matches!(rest, "notify" | "notify-next") {
            return Reply::None;
        }
        let (answer, payload) = match self.job_request(thing, rest, payload).await {
            Ok(payload) => ("accepted", payload),
            Err(payload) => ("rejected", payload),
        };
        Reply::One(Publication {
            topic_rest: format!("{topic_rest}/{answer}"),
            payload,
        })
    }

    /// The payload of `accepted` or of `rejected`.
    async fn job_request(
        &self,
        thing: &Arc<Thing>,
        rest: &str,
        payload: &[u8],
    ) -> Result<Bytes, Bytes> {
        let mut request = Request::default();
        let answer = self.answer(thing, rest, payload, &mut request).await;
        answer.map_err(|refusal| {
            tracing::debug!(thing = %thing.name, code = refusal.code.as_str(), refusal.message, "a job request is refused");
            refusal.json(request.client_token.as_deref(), self.clock.now())
        })
    }

    async fn answer<'a>(
        &self,
        thing: &Arc<Thing>,
        rest: &str,
        payload: &'a [u8],
        request: &mut Request<'a>,
    ) -> Result<Bytes, Refusal> {
        let operation = Operation::of(rest)?;
        *request = Request::read(payload)?;
        request.read_token()?;
        let token = request.client_token.clone();
        match operation {
            Operation::GetPending => {
                self.get_pending(thing, |executions, now| {
                    envelope(token, now, Pending::of(executions))
                })
                .await
            }
            Operation::StartNext => {
                self.start_next(thing, request.start_next()?, |next, now| {
                    envelope(token, now, described(next, true, now))
                })
                .await
            }
            Operation::Describe(job) => {
                let describe = request.describe()?;
                let with_document = describe.include_document;
                self.describe(thing, job, describe, |execution, now| {
                    envelope(token, now, described(execution, with_document, now))
                })
                .await
            }
            Operation::Update(job) => {
                let update = request.update()?;
                self.update(thing, job, update, |state, document, now| {
                    let updated = Updated {
                        execution_state: state,
                        job_document: document,
                    };
                    envelope(token, now, updated)
                })
                .await
            }
        }
    }

    /// `GetPendingJobExecutions`. `answer` writes what is answered, here and below.
    pub(crate) async fn get_pending<T>(
        &self,
        thing: &Arc<Thing>,
        answer: impl FnOnce(&[Execution], Timestamp) -> T,
    ) -> Result<T, Refusal> {
        self.hear(thing);
        let mut seat = self.sit(thing).await?;
        self.look_for_release(&mut seat).await?;
        let answer = answer(seat.queue().pending(), seat.now);
        seat.leave().await?;
        Ok(answer)
    }

    /// `StartNextPendingJobExecution`.
    pub(crate) async fn start_next<T>(
        &self,
        thing: &Arc<Thing>,
        request: StartNext,
        answer: impl FnOnce(Option<&Execution>, Timestamp) -> T,
    ) -> Result<T, Refusal> {
        self.hear(thing);
        let mut seat = self.sit(thing).await?;
        self.look_for_release(&mut seat).await?;
        seat.act(|queue, now| queue.start_next(request.details, request.step_timer, now));
        let answer = answer(seat.queue().next(), seat.now);
        seat.leave().await?;
        Ok(answer)
    }

    /// `DescribeJobExecution`.
    pub(crate) async fn describe<T>(
        &self,
        thing: &Arc<Thing>,
        job: &str,
        request: Describe,
        answer: impl FnOnce(Option<&Execution>, Timestamp) -> T,
    ) -> Result<T, Refusal> {
        self.hear(thing);
        let mut seat = self.sit(thing).await?;
        let is_meant = |execution: &&Execution| {
            request
                .number
                .is_none_or(|number| number == execution.number)
        };
        let found = if job == NEXT {
            self.look_for_release(&mut seat).await?;
            seat.queue().next().filter(is_meant)
        } else {
            check_job_id(job)?;
            let found = seat.queue().of_job(job).filter(is_meant);
            if found.is_none() {
                let ended = self.ended(thing, job, request.number).await;
                seat.leave().await?;
                let ended = ended?;
                return Err(Refusal::new(
                    Code::TerminalStateReached,
                    format!("this execution has ended: {}", ended.status.as_str()),
                )
                .with(ExecutionState::from(&ended)));
            }
            found
        };
        let answer = answer(found, seat.now);
        seat.leave().await?;
        Ok(answer)
    }

    /// `UpdateJobExecution`. `answer` gets what the request wants to know: the state, the document.
    pub(crate) async fn update<T>(
        &self,
        thing: &Arc<Thing>,
        job: &str,
        request: UpdateRequest,
        answer: impl FnOnce(Option<ExecutionState>, Option<&RawValue>, Timestamp) -> T,
    ) -> Result<T, Refusal> {
        check_job_id(job)?;
        let UpdateRequest {
            update,
            include_state,
            include_document,
        } = request;
        self.hear(thing);
        let mut seat = self.sit(thing).await?;
        let (number, was) = (update.number, seat.queue().of_job(job).cloned());
        let outcome = match seat.try_act(|queue, now| queue.update(job, &update, now)) {
            Ok(outcome) => outcome,
            Err(why) => {
                seat.leave().await?;
                return Err(self.not_changed(thing, job, number, was, why).await);
            }
        };
        let (Some(was), Some(execution)) = (was, outcome.changed.first()) else {
            return Err(Refusal::internal(&"an update has changed nothing"));
        };
        if execution.status.is_terminal() {
            self.take_report(&seat, &was, execution).await?;
            self.look_for_release(&mut seat).await?;
        }
        let state = include_state.then(|| ExecutionState::from(execution));
        let document = include_document.then_some(&*execution.job.document);
        let answer = answer(state, document, seat.now);
        seat.leave().await?;
        Ok(answer)
    }

    /// What to answer when an execution could not be changed. `was`: the pending execution of that job, if there is one.
    pub(super) async fn not_changed(
        &self,
        thing: &Thing,
        job: &str,
        number: Option<i64>,
        was: Option<Execution>,
        why: NotChanged,
    ) -> Refusal {
        let pending = was.filter(|_| why != NotChanged::NotPending);
        let execution = match pending {
            Some(execution) => execution,
            None => match self.ended(thing, job, number).await {
                Ok(execution) => execution,
                Err(refusal) => return refusal,
            },
        };
        let status = execution.status.as_str();
        let refusal = match why {
            NotChanged::VersionMismatch => Refusal::new(
                Code::VersionMismatch,
                format!("the execution has version {}", execution.version),
            ),
            NotChanged::NoSuchTransition if execution.status == Status::InProgress => Refusal::new(
                Code::InvalidStateTransition,
                format!("the execution is {status}, which this cannot end"),
            ),
            NotChanged::NoSuchTransition | NotChanged::NotPending => Refusal::new(
                Code::InvalidStateTransition,
                format!("the execution is {status} and stays so"),
            ),
        };
        refusal.with(ExecutionState::from(&execution))
    }

    /// An execution that is not pending.
    async fn ended(
        &self,
        thing: &Thing,
        job: &str,
        number: Option<i64>,
    ) -> Result<Execution, Refusal> {
        let nothing = || {
            Refusal::new(
                Code::ResourceNotFound,
                "this thing has no such job execution",
            )
        };
        let row = self.database().execution(thing.id, job, number).await?;
        let row = row.ok_or_else(nothing)?;
        let job = self.job(row.job).await?.ok_or_else(nothing)?;
        Ok(Execution::read(&row, job)?)
    }

    /// The message of a notice, of how things are now.
    pub(super) async fn notice(&self, thing: &Arc<Thing>, kind: Kind) -> Result<Bytes, Refusal> {
        let seat = self.sit_unasked(thing).await?;
        let (queue, now) = (seat.queue(), seat.now);
        let message = match kind {
            Kind::List => json(&ListNotice::of(queue.pending(), now)),
            Kind::Next => envelope(None, now, described(queue.next(), true, now)),
        };
        seat.leave().await?;
        Ok(message)
    }

    /// The files of a stream, if a pending execution of this thing has that stream.
    pub(super) async fn files_of_stream(
        &self,
        thing: &Arc<Thing>,
        stream: &str,
    ) -> Result<Option<Arc<[File]>>, Refusal> {
        let seat = self.sit(thing).await?;
        let files = seat
            .queue()
            .of_stream(stream)
            .map(|execution| Arc::clone(&execution.job.files));
        seat.leave().await?;
        Ok(files)
    }
}

/// What a topic below `jobs/` asks for.
enum Operation<'a> {
    GetPending,
    StartNext,
    /// Of this job, or of `$next`.
    Describe(&'a str),
    Update(&'a str),
}

impl<'a> Operation<'a> {
    fn of(rest: &'a str) -> Result<Self, Refusal> {
        match rest.split_once('/') {
            None if rest == "get" => Ok(Self::GetPending),
            None if rest == "start-next" => Ok(Self::StartNext),
            Some((job, "get")) => Ok(Self::Describe(job)),
            Some((job, "update")) => Ok(Self::Update(job)),
            _ => Err(Refusal::new(
                Code::InvalidTopic,
                "below jobs/ there are get, start-next, {jobId}/get and {jobId}/update",
            )),
        }
    }
}

fn check_job_id(job: &str) -> Result<(), Refusal> {
    if is_job_id(job) {
        return Ok(());
    }
    Err(Refusal::invalid(
        "the id of a job has 1 to 64 of the characters A-Z a-z 0-9 _ -",
    ))
}

fn described(
    execution: Option<&Execution>,
    with_document: bool,
    now: Timestamp,
) -> One<'_, &RawValue> {
    One {
        execution: execution.map(|execution| {
            let document = with_document.then_some(&*execution.job.document);
            Description::of(execution, document, now)
        }),
    }
}

fn envelope(client_token: Option<String>, now: Timestamp, content: impl serde::Serialize) -> Bytes {
    json(&Envelope {
        client_token,
        timestamp: seconds(now),
        content,
    })
}
