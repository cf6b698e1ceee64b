//! The bytes of one file, from where they come to where they go, with an ear for what the service says meanwhile.

use airlift_formats::aws::topic::Topic;

use super::super::install::BootControl;
use super::super::set::PartDownload;
use super::super::updater::Download;
use super::super::{NorFlash, dual};
use super::{AgentError, Event, Fetching, Link, Talk};
use crate::download::aws_stream::StreamError;
use crate::notify::aws_jobs::Report;
use crate::retry::{earlier, is_due};
use crate::verify::ImageCheck;
use crate::{Error, Refusal};

/// Where the bytes go.
#[dual(AFIT)]
pub(super) trait Writer<E> {
    /// Takes the next bytes.
    async fn take(&mut self, bytes: &[u8]) -> Result<(), Error<E>>;
}

#[dual(AFIT)]
impl<F: NorFlash, B: BootControl, C: ImageCheck> Writer<F::Error>
    for Download<'_, '_, '_, F, B, C>
{
    async fn take(&mut self, bytes: &[u8]) -> Result<(), Error<F::Error>> {
        self.write(bytes).await
    }
}

#[dual(AFIT)]
impl<F: NorFlash, B: BootControl, C: ImageCheck> Writer<F::Error>
    for PartDownload<'_, '_, '_, F, B, C>
{
    async fn take(&mut self, bytes: &[u8]) -> Result<(), Error<F::Error>> {
        self.write(bytes).await
    }
}

/// How it ended.
pub(super) enum Fetched {
    /// All bytes were taken.
    Whole,
    /// The job is not there any more.
    Over,
    /// It cannot be fetched, and will not be.
    Aborted(StreamError),
    /// It is not wanted.
    Refused(Refusal),
}

/// What is told of the way.
pub(super) struct Progress {
    /// Bytes of the file.
    pub(super) size: u32,
    /// Bytes that had come before a restart.
    pub(super) resumed: u32,
    /// After so many blocks; 0: only at the start.
    pub(super) every: u32,
}

impl Progress {
    fn report(&self, offset: u32, block_size: u32) -> Report {
        Report::Receiving {
            got: offset / block_size
                + u32::from(offset == self.size && !offset.is_multiple_of(block_size)),
            total: self.size.div_ceil(block_size),
            resumed: self.resumed,
        }
    }
}

/// Fetches a file.
#[dual(AFIT)]
pub(super) async fn fetch<E, L: Link, S: Fetching, W: Writer<E>>(
    talk: &mut Talk<'_, '_, L>,
    source: &mut S,
    writer: &mut W,
    progress: &Progress,
) -> Result<Fetched, AgentError<E, L::Error>> {
    let block_size = source.block_size();
    let pause = talk.jobs.heartbeat();
    let mut told = source.offset() / block_size;
    let mut told_at = talk.link.now();
    // At once: with it, the service sees that the job is taken up.
    talk.jobs
        .report(progress.report(source.offset(), block_size));
    loop {
        while let Some(bytes) = source.ready() {
            match writer.take(bytes).await {
                Ok(()) => source.taken(),
                Err(Error::Refused(refusal)) => return Ok(Fetched::Refused(refusal)),
                Err(error) => return Err(error.into()),
            }
        }
        if source.is_complete() {
            return Ok(Fetched::Whole);
        }
        let now = talk.link.now();
        let got = source.offset() / block_size;
        let enough = progress.every > 0 && got - told >= progress.every;
        if enough || pause.is_some_and(|pause| is_due(told_at.wrapping_add(pause), now)) {
            talk.jobs
                .report(progress.report(source.offset(), block_size));
            (told, told_at) = (got, now);
        }
        match publish(talk, source, now).await? {
            Ok(()) => {}
            // The service may be back with the next connection: the job goes on then.
            Err(StreamError::Unanswered) => {
                return Err(AgentError::Source(StreamError::Unanswered));
            }
            Err(error) => return Ok(Fetched::Aborted(error)),
        }
        talk.say().await?;
        let more = match source.pull(now).await {
            Ok(more) => more,
            Err(StreamError::Unanswered) => {
                return Err(AgentError::Source(StreamError::Unanswered));
            }
            Err(error) => return Ok(Fetched::Aborted(error)),
        };
        let until = match earlier(source.due(), talk.jobs.due()) {
            Some(until) if !more => until,
            _ => now,
        };
        let incoming = talk.link.receive(until, talk.message).await;
        let Some(incoming) = incoming.map_err(AgentError::Link)? else {
            continue;
        };
        let now = talk.link.now();
        if let Event::Over(_) = super::hear(talk.jobs, &incoming, now) {
            return Ok(Fetched::Over);
        }
        if let Ok((thing, topic)) = Topic::parse(incoming.topic)
            && thing == talk.jobs.thing()
            && let Err(error) = source.receive(&topic, incoming.payload, now)
        {
            return Ok(Fetched::Aborted(error));
        }
    }
}

/// Publishes what the source asks for.
#[dual(AFIT)]
async fn publish<E, L: Link, S: Fetching>(
    talk: &mut Talk<'_, '_, L>,
    source: &mut S,
    now: u32,
) -> Result<Result<(), StreamError>, AgentError<E, L::Error>> {
    loop {
        match source.poll(now, talk.message) {
            Ok(None) => return Ok(Ok(())),
            Err(error) => return Ok(Err(error)),
            Ok(Some(publish)) => {
                let sent = talk.link.publish(publish.topic, publish.payload).await;
                sent.map_err(AgentError::Link)?;
            }
        }
    }
}
