//! The agent: takes a job of AWS IoT from its document to its outcome, and tells the service everything that happens.
//!
//! ```text
//!  ask ─▶ job ─▶ parsers ─▶ what became of it before? ─▶ signature known? ─▶ fetch, write ─▶ verify ─▶ ready ─▶ activate
//!   ▲             │                │                        │                  │              │         │         │
//!   │          declined       accepted, rolled           rejected          aborted         rejected  canceled  restart
//!   │                         back, rejected                                                                      │
//!   └──────────────── accepted ◀── confirm ◀── self-test passed ◀── active ◀── the same job again ◀── new app ◀──┘
//! ```
//!
//! The documents of these jobs have no digest, only sizes and signatures. So a download is known after a restart by a name: the SHA-256
//! of job, file and signature, which stands in the journal where the digest of the image would. What makes an image good is its signature,
//! over the bytes as they lie in the flash.
//!
//! A job whose files are not just one app is installed as a [set](super::set): all of it or nothing.
//!
//! Nothing here knows MQTT or HTTP: the application brings a [`Link`], and for files over HTTP an [`HttpClient`].
//!
//! ```
//! use airlift_device::Updater;
//! use airlift_device::agent::{Agent, AgentError, Buffers, Ended, Link, SelfTest, Setup, StreamSource};
//! use airlift_device::download::aws_stream::{self, Cbor};
//! use airlift_device::install::BootControl;
//! use airlift_device::notify::aws_jobs::{self, AfrOtaParser, Jobs, Version};
//! use airlift_device::partition::JournalRestore;
//! use airlift_device::verify::{EcdsaP256, EspApp};
//! use airlift_formats::aws::job_document::Protocol;
//! use airlift_formats::esp::app_image::ChipId;
//! use embedded_storage_async::nor_flash::NorFlash;
//!
//! /// Does the jobs of `dev-1`, as long as the connection lasts. After `Ok`, reset the chip: the next boot tries another app, or goes back.
//! async fn do_jobs<F: NorFlash, B: BootControl, L: Link, T: SelfTest>(
//!     updater: &mut Updater<'_, F, B>,
//!     link: &mut L,
//!     app: &mut T,
//!     verifier: &EcdsaP256<'_>,
//! ) -> Result<(), AgentError<F::Error, L::Error>> {
//!     let setup = Setup {
//!         check: EspApp::new(ChipId::ESP32C3),
//!         verifier,
//!         version: Version { major: 1, minor: 2, build: 0 },
//!         routes: &[],
//!         progress: 64,
//!     };
//!     let (mut message, mut document, mut sector) = ([0; 6 << 10], [0; 2 << 10], [0; 4 << 10]);
//!     let buffers = Buffers { message: &mut message, document: &mut document, flash: &mut sector };
//!     let mut window = [0; 4 * 4096];
//!     let mut source = StreamSource::<Cbor>::new(aws_stream::Settings::default(), &mut window);
//!     let jobs = Jobs::new("dev-1", aws_jobs::Settings::default())?;
//!     let mut agent = Agent::new(jobs, AfrOtaParser(Protocol::Mqtt), setup, buffers);
//!     agent.subscribe(link).await.map_err(AgentError::Link)?;
//!     while agent.run(updater, link, &mut source, app, &mut JournalRestore).await? == Ended::NoJob {
//!         while !agent.wait(link, 60_000).await.map_err(AgentError::Link)? {}
//!     }
//!     Ok(())
//! }
//! ```

mod fetch;
mod install;
mod source;

use core::fmt;

use airlift_formats::aws::job_document::{AfrOta, Files};
use airlift_formats::aws::jobs::Execution;
use airlift_formats::aws::topic::{Job, Leg, Topic};
use airlift_formats::aws::{Buffer, Format, Value};
use sha2::{Digest as _, Sha256};

use super::install::BootControl;
use super::partition::RestoreMechanism;
use super::set::Destination;
use super::updater::Updater;
use super::{NorFlash, dual};
use crate::Error;
use crate::download::aws_stream::StreamError;
use crate::notify::aws_jobs::{Event, JobParser, Jobs, JobsError, Parsed, Report, Version};
use crate::verify::{ImageCheck, SignatureVerifier};

pub use source::{Fetching, HttpClient, HttpFetching, HttpSource, Source, StreamSource};

/// The connection to the service, as the application has it.
#[dual(AFIT)]
#[allow(async_fn_in_trait)] // As in `BootControl`.
pub trait Link {
    /// Why it fails.
    type Error: fmt::Debug;

    /// Milliseconds of a clock that never goes back; may wrap around.
    fn now(&mut self) -> u32;

    /// Subscribes to what this filter says.
    async fn subscribe(&mut self, filter: &str) -> Result<(), Self::Error>;

    /// Publishes a message.
    async fn publish(&mut self, topic: &str, payload: &[u8]) -> Result<(), Self::Error>;

    /// Waits for the next message, which goes into `buffer`, at most until the clock says `until`. None: it is that late.
    async fn receive<'b>(
        &mut self,
        until: u32,
        buffer: &'b mut [u8],
    ) -> Result<Option<Incoming<'b>>, Self::Error>;
}

/// A message that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming<'b> {
    /// Where it came from.
    pub topic: &'b str,
    /// What it says.
    pub payload: &'b [u8],
}

/// What the agent asks of the app that runs.
#[dual(AFIT)]
#[allow(async_fn_in_trait)] // As in `BootControl`.
pub trait SelfTest {
    /// The app is on trial, and has reached the service. Is it good?
    ///
    /// # Errors
    /// Why not, as a number of the application's own, below 255: it is told to the service after the way back.
    async fn self_test(&mut self) -> Result<(), u8>;
}

/// Where a file of a job goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Which file it is.
    pub file: FileKey,
    /// Where it goes.
    pub to: Destination,
}

/// By what a file is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKey {
    /// Its number in the stream.
    Id(u8),
    /// Its type, `fileType`.
    Type(u8),
}

/// Memory for what is under way.
#[derive(Debug)]
pub struct Buffers<'b> {
    /// One message: a block and 64 bytes more in CBOR, a third more than a block in JSON; and [`BUFFER_LEN`](crate::mqtt::BUFFER_LEN) at least. A job's document
    /// comes in one, too.
    pub message: &'b mut [u8],
    /// The document of the job while it is worked at.
    pub document: &'b mut [u8],
    /// Between network and flash: see [`Updater::begin`].
    pub flash: &'b mut [u8],
}

/// How a run of the agent ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// There is no job: [`Agent::wait`] for one.
    NoJob,
    /// Restart: the next boot tries a new app, or goes back to the old one.
    Restart,
}

/// Why a run of the agent failed. What was downloaded is not lost: run it again, over a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentError<F, L> {
    /// The engine.
    Engine(Error<F>),
    /// The connection.
    Link(L),
    /// The conversation about jobs.
    Jobs(JobsError),
    /// The service does not send the files any more.
    Source(StreamError),
}

impl<F, L> From<JobsError> for AgentError<F, L> {
    fn from(error: JobsError) -> Self {
        Self::Jobs(error)
    }
}

impl<F, L> From<Error<F>> for AgentError<F, L> {
    fn from(error: Error<F>) -> Self {
        Self::Engine(error)
    }
}

impl<F: fmt::Debug, L: fmt::Debug> fmt::Display for AgentError<F, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(error) => error.fmt(f),
            Self::Link(error) => write!(f, "the connection failed: {error:?}"),
            Self::Jobs(error) => error.fmt(f),
            Self::Source(error) => error.fmt(f),
        }
    }
}

impl<F: fmt::Debug, L: fmt::Debug> core::error::Error for AgentError<F, L> {}

/// What the agent works with and does not change.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a, C, V> {
    /// What an app must be.
    pub check: C,
    /// Which signatures are good.
    pub verifier: &'a V,
    /// The version of the app that runs.
    pub version: Version,
    /// Where files go. One that is in no route is the app, if it is the first.
    pub routes: &'a [Route],
    /// Progress is told after so many blocks; 0: only at the start.
    pub progress: u32,
}

/// Takes jobs from their documents to their outcomes.
#[derive(Debug)]
pub struct Agent<'a, 'b, P, C, V> {
    jobs: Jobs<'a>,
    parsers: P,
    setup: Setup<'a, C, V>,
    buffers: Buffers<'b>,
}

/// What is known of the present job besides its document.
#[derive(Clone, Copy)]
struct Present {
    /// Bytes of the document.
    len: usize,
    /// The version that the app before had, by what was told of the job.
    before: Version,
}

/// How a job, or a part of the work at it, went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// There is nothing more to be done about it.
    Over,
    /// Restart.
    Restart,
}

type Failed<F, L> =
    AgentError<<F as embedded_storage::nor_flash::ErrorType>::Error, <L as Link>::Error>;

#[dual(AFIT)]
impl<'a, 'b, P: JobParser, C: ImageCheck + Clone, V: SignatureVerifier> Agent<'a, 'b, P, C, V> {
    /// An agent that speaks as `jobs` does.
    pub const fn new(
        jobs: Jobs<'a>,
        parsers: P,
        setup: Setup<'a, C, V>,
        buffers: Buffers<'b>,
    ) -> Self {
        Self {
            jobs,
            parsers,
            setup,
            buffers,
        }
    }

    /// The parsers: one of them may have been told to do something.
    pub const fn parsers(&mut self) -> &mut P {
        &mut self.parsers
    }

    /// Subscribes to what the service has to say about jobs. AWS sends answers also to those who have not subscribed to them; other services may not.
    ///
    /// # Errors
    /// The connection failed.
    pub async fn subscribe<L: Link>(&mut self, link: &mut L) -> Result<(), L::Error> {
        for topic in [
            Topic::NotifyNext,
            Topic::StartNext(Leg::Accepted),
            Topic::StartNext(Leg::Rejected),
            Topic::Describe(Job::Any, Leg::Accepted),
            Topic::Describe(Job::Any, Leg::Rejected),
            Topic::Update(Job::Any, Leg::Accepted),
            Topic::Update(Job::Any, Leg::Rejected),
        ] {
            let mut sink = Buffer::new(self.buffers.message);
            let written = topic.emit(self.jobs.thing(), &mut sink).is_ok();
            if let (true, Ok(filter)) = (written, sink.finish()) {
                let filter = core::str::from_utf8(filter).unwrap_or_default();
                link.subscribe(filter).await?;
            }
        }
        Ok(())
    }

    /// Waits until there is another job, at most for so many milliseconds (less than 24 days). Whether there is one.
    ///
    /// # Errors
    /// The connection failed.
    pub async fn wait<L: Link>(&mut self, link: &mut L, longest: u32) -> Result<bool, L::Error> {
        let until = link.now().wrapping_add(longest);
        while let Some(incoming) = link.receive(until, self.buffers.message).await? {
            let now = link.now();
            if hear(&mut self.jobs, &incoming, now) == Event::Changed {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Does all jobs that there are, one after the other, until there is none any more or the device must restart.
    ///
    /// Call it after each boot, and whenever there is a job. An app on trial is judged by its self-test here: first it must have reached the
    /// service.
    ///
    /// # Errors
    /// The connection, the service or the flash failed. Nothing is lost: run it again.
    pub async fn run<
        F: NorFlash,
        B: BootControl,
        L: Link,
        S: Source,
        T: SelfTest,
        M: RestoreMechanism,
    >(
        &mut self,
        updater: &mut Updater<'_, F, B>,
        link: &mut L,
        source: &mut S,
        app: &mut T,
        mechanisms: &mut M,
    ) -> Result<Ended, Failed<F, L>> {
        loop {
            let mut talk = Talk {
                jobs: &mut self.jobs,
                link,
                message: self.buffers.message,
            };
            let present = talk.next_job(self.buffers.document).await?;
            let Some(present) = present else {
                let flash = &mut *self.buffers.flash;
                return Ok(
                    match install::judge(updater, app, mechanisms, flash).await? {
                        Some(false) => Ended::Restart,
                        _ => Ended::NoJob,
                    },
                );
            };
            let document = self.buffers.document.get(..present.len).unwrap_or_default();
            let mut work = install::Work {
                updater,
                talk,
                source,
                app,
                mechanisms,
                setup: &self.setup,
                flash: self.buffers.flash,
                before: present.before,
            };
            let step = match read(document, &mut self.parsers, work.talk.jobs) {
                Parsed::Update(update) => work.install(&update).await?,
                other => work.answer(&other).await?,
            };
            if step == Step::Restart {
                return Ok(Ended::Restart);
            }
        }
    }
}

/// What the parsers make of a document.
fn read<'d, P: JobParser>(document: &'d [u8], parsers: &mut P, jobs: &Jobs<'_>) -> Parsed<'d> {
    match Value::parse(Format::Json, document) {
        Ok(document) => parsers.parse(jobs.job().unwrap_or_default(), &document),
        Err(error) => Parsed::Declined {
            cause: error.fault.token(),
            field: error.field,
        },
    }
}

/// What a message means for the jobs of this thing.
fn hear<'m>(jobs: &mut Jobs<'_>, incoming: &Incoming<'m>, now: u32) -> Event<'m> {
    match Topic::parse(incoming.topic) {
        Ok((thing, topic)) if thing == jobs.thing() => jobs.receive(&topic, incoming.payload, now),
        _ => Event::Nothing,
    }
}

/// The name by which a job's files are known after a restart.
fn name_of(job: &str, update: &AfrOta<'_, Files<'_>>) -> [u8; 32] {
    let mut name = Sha256::new();
    name.update(job);
    for file in update.files.clone() {
        name.update([0, file.id]);
        name.update(file.size.to_le_bytes());
        for character in file.signature.chars() {
            name.update(character.encode_utf8(&mut [0; 4]));
        }
    }
    name.finalize().into()
}

/// The conversation with the service.
struct Talk<'x, 'a, L> {
    jobs: &'x mut Jobs<'a>,
    link: &'x mut L,
    message: &'x mut [u8],
}

#[dual(AFIT)]
impl<L: Link> Talk<'_, '_, L> {
    /// Publishes what there is to say about jobs.
    async fn say<F>(&mut self) -> Result<(), AgentError<F, L::Error>> {
        let now = self.link.now();
        while let Some(publish) = self.jobs.poll(now, self.message)? {
            let sent = self.link.publish(publish.topic, publish.payload).await;
            sent.map_err(AgentError::Link)?;
        }
        Ok(())
    }

    /// Tells this, and waits until it has arrived. Whether the job is still there.
    async fn tell<F>(&mut self, report: Report) -> Result<bool, AgentError<F, L::Error>> {
        self.jobs.report(report);
        loop {
            self.say().await?;
            if !self.jobs.is_busy() {
                return Ok(true);
            }
            let now = self.link.now();
            let until = self.jobs.due().unwrap_or(now);
            let incoming = self.link.receive(until, self.message).await;
            let Some(incoming) = incoming.map_err(AgentError::Link)? else {
                continue;
            };
            match hear(self.jobs, &incoming, now) {
                Event::Over(_) => return Ok(false),
                Event::NotTaken(report) if report.is_last() => {
                    return Err(JobsError::NotTaken.into());
                }
                _ => {}
            }
        }
    }

    /// Asks for the next job, and keeps its document.
    async fn next_job<F>(
        &mut self,
        document: &mut [u8],
    ) -> Result<Option<Present>, AgentError<F, L::Error>> {
        self.jobs.ask();
        loop {
            self.say().await?;
            let now = self.link.now();
            let until = self.jobs.due().unwrap_or(now);
            let incoming = self.link.receive(until, self.message).await;
            let Some(incoming) = incoming.map_err(AgentError::Link)? else {
                continue;
            };
            match hear(self.jobs, &incoming, now) {
                Event::NoJob | Event::Refused(_) => return Ok(None),
                Event::Job(execution) => match keep(&execution, document) {
                    Ok(present) => return Ok(Some(present)),
                    Err(cause) => {
                        let field = "jobDocument";
                        self.tell(Report::Declined { cause, field }).await?;
                        self.jobs.ask();
                    }
                },
                _ => {}
            }
        }
    }
}

/// Copies the document of a job.
fn keep(execution: &Execution<'_>, buffer: &mut [u8]) -> Result<Present, &'static str> {
    let document = execution.document().map_err(|error| error.fault.token())?;
    let document = document.as_bytes();
    let place = buffer
        .get_mut(..document.len())
        .ok_or("document-too-long")?;
    place.copy_from_slice(document);
    let before = execution.state.detail("updatedBy");
    Ok(Present {
        len: document.len(),
        before: before.and_then(Version::from_detail).unwrap_or_default(),
    })
}
