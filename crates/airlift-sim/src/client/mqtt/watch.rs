//! Reads along what goes over a connection: what happens is told in the words of the other protocols.

use airlift_formats::aws::jobs::Answer;
use airlift_formats::aws::streams::{Data, Payload};
use airlift_formats::aws::topic::{Job, Leg, StreamMessage, Topic};
use airlift_formats::aws::{Format, Value};

use super::super::Event;
use super::jobs::JobEnd;

/// What is known of the present job.
#[derive(Debug, Default)]
pub(super) struct Watch {
    block_size: u32,
    /// Bytes of its files, and of those that have come.
    size: u32,
    at: u32,
    /// The download was announced.
    announced: bool,
    /// The present job, until the device ends it, or it is gone.
    job: Option<String>,
    /// The job that the device has ended last.
    ended: Option<String>,
    /// How the last job ended.
    pub(super) end: Option<JobEnd>,
}

impl Watch {
    pub(super) fn new(block_size: u32) -> Self {
        Self {
            block_size,
            ..Self::default()
        }
    }

    /// A message of the device.
    pub(super) fn published(&mut self, topic: &str, payload: &[u8]) -> Option<Event> {
        let job = match Topic::parse(topic).ok()? {
            (_, Topic::Update(Job::Id(job), Leg::Request)) => job,
            // Who asks for another job has none any more.
            (_, Topic::StartNext(Leg::Request)) => {
                return self.job.take().map(|job| Event::JobOver { job });
            }
            _ => return None,
        };
        let update = Value::parse(Format::Json, payload).ok()?;
        let status = update.get("status").ok()??.text().ok()?.to_string();
        let details: Vec<(String, String)> = match update.get("statusDetails") {
            Ok(Some(details)) => details
                .members()
                .ok()?
                .filter_map(|(name, value)| {
                    Some((name.to_string(), value.text().ok()?.to_string()))
                })
                .collect(),
            _ => Vec::new(),
        };
        let detail = |name: &str| {
            let mut details = details.iter();
            let found = details.find(|(of, _)| of == name);
            found.map(|(_, value)| value.as_str())
        };
        if detail("receive").is_some() {
            if self.announced {
                return None;
            }
            self.announced = true;
            self.at = detail("resumed")
                .and_then(|text| text.parse().ok())
                .unwrap_or(0);
            return Some(Event::Offered {
                version: None,
                size: self.size,
                offset: self.at,
            });
        }
        if status != "IN_PROGRESS" {
            let reason = detail("cause").or(detail("reason")).unwrap_or_default();
            self.end = Some(JobEnd {
                status: status.clone(),
                reason: reason.to_owned(),
            });
            self.announced = false;
            self.ended = self.job.take();
        }
        let details = details.iter();
        let details = details.map(|(name, value)| format!("{name} {}", value.trim()));
        Some(Event::JobTold {
            job: job.to_owned(),
            status,
            details: details.collect::<Vec<_>>().join(", "),
        })
    }

    /// A message to the device, and of a block, where it starts in its file and how many bytes it has.
    pub(super) fn received(
        &mut self,
        topic: &str,
        payload: &[u8],
    ) -> (Option<Event>, Option<(u32, u32)>) {
        match Topic::parse(topic) {
            Ok((
                _,
                Topic::StartNext(Leg::Accepted) | Topic::Describe(Job::Next, Leg::Accepted),
            )) => (self.job(payload), None),
            Ok((
                _,
                Topic::Stream {
                    message: StreamMessage::Data,
                    format,
                    ..
                },
            )) => match Data::parse(format, payload) {
                Ok(data) => {
                    let start = data.block.saturating_mul(self.block_size);
                    (Some(self.fetched(data.len)), Some((start, data.len)))
                }
                Err(_) => (None, None),
            },
            // If the version was another one, it is told once more; otherwise the job had ended already.
            Ok((_, Topic::Update(Job::Id(job), Leg::Rejected)))
                if self.ended.as_deref() == Some(job) =>
            {
                self.end = None;
                self.job = self.ended.take();
                (None, None)
            }
            _ => (None, None),
        }
    }

    /// So many bytes of a file have come.
    pub(super) fn fetched(&mut self, bytes: u32) -> Event {
        self.at = self.at.saturating_add(bytes).min(self.size);
        Event::Progress {
            at: self.at,
            size: self.size,
        }
    }

    fn job(&mut self, payload: &[u8]) -> Option<Event> {
        let answer = Answer::parse(payload).ok()?;
        let execution = answer.execution?;
        self.announced = false;
        self.at = 0;
        self.size = sizes(&execution.document().ok()?).unwrap_or(0);
        self.job = Some(execution.job_id.to_string());
        Some(Event::Job {
            job: execution.job_id.to_string(),
            size: self.size,
        })
    }
}

/// Bytes of the files of a document.
fn sizes(document: &Value<'_>) -> Option<u32> {
    let update = document.get("afr_ota").ok()??;
    let files = update.get("files").ok()??;
    let sizes = files.elements().ok()?.map(|file| {
        let size = file.get("filesize").ok().flatten();
        size.and_then(|size| size.unsigned(u32::MAX).ok())
            .unwrap_or(0)
    });
    Some(sizes.fold(0, u32::saturating_add))
}

/// Flips a bit of the block in this message.
pub(super) fn flip_block(topic: &str, message: &mut [u8]) {
    let format = match topic.ends_with("cbor") {
        true => Format::Cbor,
        false => Format::Json,
    };
    let place = match Data::parse(format, message).map(|data| data.payload) {
        Ok(Payload::Bytes(bytes)) => Some(bytes.as_ptr() as usize - message.as_ptr() as usize),
        // The first character behind the quotes.
        Ok(Payload::Base64(_)) => {
            let mut places = message.windows(5);
            places
                .position(|window| window == b"\"p\":\"")
                .map(|at| at + 5)
        }
        Err(_) => None,
    };
    if let Some(byte) = place.and_then(|place| message.get_mut(place)) {
        *byte = match (format, *byte) {
            (Format::Cbor, byte) => byte ^ 1,
            (Format::Json, b'A') => b'B',
            (Format::Json, _) => b'A',
        };
    }
}
