//! A service with jobs and streams, and the way to it, in simulated time.

use std::{
    cell::{RefCell, RefMut},
    collections::{BTreeMap, VecDeque},
    rc::Rc,
};

use airlift_device::agent::{Incoming, Link};
use airlift_formats::aws::{
    Format,
    streams::{Data, EndOfFile, ErrorCode, GetStream, Payload, Rejected},
    topic::{Job, Leg, StreamMessage, Topic},
};
use serde_json::{Value, json};

pub(crate) const THING: &str = "dev-1";
pub(crate) const STREAM: &str = "AFR_OTA-1";

/// Milliseconds from a request to its answer.
const ROUND_TRIP: u32 = 50;

/// Why the link fails: nothing gets through any more.
#[derive(Debug, PartialEq)]
pub(crate) struct Cut;

/// A job of the device.
pub(crate) struct Execution {
    pub(crate) id: String,
    pub(crate) document: Value,
    pub(crate) status: &'static str,
    pub(crate) version: u32,
    pub(crate) details: Value,
}

impl Execution {
    fn is_pending(&self) -> bool {
        matches!(self.status, "QUEUED" | "IN_PROGRESS")
    }

    fn state(&self) -> Value {
        json!({"status": self.status, "versionNumber": self.version, "statusDetails": self.details})
    }
}

#[derive(Default)]
pub(crate) struct State {
    now: u32,
    pub(crate) jobs: Vec<Execution>,
    pub(crate) files: BTreeMap<u8, Vec<u8>>,
    /// Every update that was taken: job, status, details.
    pub(crate) updates: Vec<(String, &'static str, Value)>,
    /// File and number of each block that was sent.
    pub(crate) blocks: Vec<(u32, u32)>,
    /// One of so many messages is lost; 0: none.
    pub(crate) loses: u32,
    chance: u32,
    /// The link breaks when so many more blocks were sent.
    pub(crate) breaks_after: Option<u32>,
    /// The job is canceled when so many more blocks were sent.
    pub(crate) cancels_after: Option<u32>,
    /// The job is canceled when this report comes.
    pub(crate) cancels_at: Option<&'static str>,
    /// Requests for blocks are not answered.
    pub(crate) mute: bool,
    /// So many answers to updates are lost.
    pub(crate) swallows: u32,
    pub(crate) subscriptions: Vec<String>,
    pub(crate) requests: u32,
    on_its_way: VecDeque<(u32, String, Vec<u8>)>,
}

/// The service, which outlives the device's restarts.
#[derive(Clone, Default)]
pub(crate) struct Cloud(Rc<RefCell<State>>);

impl Cloud {
    pub(crate) fn state(&self) -> RefMut<'_, State> {
        self.0.borrow_mut()
    }

    pub(crate) fn job(&self, id: &str, document: Value) {
        self.state().jobs.push(Execution {
            id: id.to_owned(),
            document,
            status: "QUEUED",
            version: 1,
            details: json!({}),
        });
    }

    /// Status of a job, and the last details that were told of it.
    pub(crate) fn fate(&self, id: &str) -> (&'static str, Value) {
        let state = self.state();
        let job = state.jobs.iter().find(|job| job.id == id).unwrap();
        (job.status, job.details.clone())
    }

    /// Names of the details that were told, or the status where there were none, without repetitions.
    pub(crate) fn story(&self) -> Vec<String> {
        let mut story: Vec<String> = self
            .state()
            .updates
            .iter()
            .map(|(_, status, details)| {
                match details.as_object().and_then(|all| all.iter().next()) {
                    Some((name, value)) if name != "receive" => {
                        format!("{status} {name}={}", value.as_str().unwrap())
                    }
                    Some((name, _)) => format!("{status} {name}"),
                    None => (*status).to_owned(),
                }
            })
            .collect();
        story.dedup();
        story
    }
}

impl State {
    fn is_lost(&mut self) -> bool {
        self.chance = self
            .chance
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        self.loses > 0 && (self.chance >> 16).is_multiple_of(self.loses)
    }

    fn send(&mut self, topic: Topic<'_>, payload: Vec<u8>) {
        if self.is_lost() {
            return;
        }
        let mut text = Vec::new();
        topic.emit(THING, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        self.on_its_way
            .push_back((self.now + ROUND_TRIP, text, payload));
    }

    fn answer(&mut self, topic: Topic<'_>, request: &Value, mut answer: Value) {
        answer["timestamp"] = json!(1_700_000_000);
        answer["clientToken"] = request["clientToken"].clone();
        self.send(topic, answer.to_string().into_bytes());
    }

    /// The next job, as `$next` gives it.
    fn next(&self) -> Option<usize> {
        let of = |status| self.jobs.iter().position(|job| job.status == status);
        of("IN_PROGRESS").or_else(|| of("QUEUED"))
    }

    fn notify(&mut self) {
        let notice = match self.next() {
            Some(index) => json!({"execution": self.describe(index)}),
            None => json!({"timestamp": 1}),
        };
        self.send(Topic::NotifyNext, notice.to_string().into_bytes());
    }

    fn describe(&self, index: usize) -> Value {
        let job = &self.jobs[index];
        json!({
            "jobId": job.id, "status": job.status, "versionNumber": job.version, "executionNumber": 1,
            "statusDetails": job.details, "jobDocument": job.document,
        })
    }

    fn cancel(&mut self) {
        if let Some(job) = self.jobs.iter_mut().find(|job| job.is_pending()) {
            job.status = "CANCELED";
            job.version += 1;
        }
        self.notify();
    }

    fn take(&mut self, topic: Topic<'_>, payload: &[u8]) {
        if self.is_lost() {
            return;
        }
        match topic {
            Topic::StartNext(Leg::Request) | Topic::Describe(Job::Next, Leg::Request) => {
                let starts = topic == Topic::StartNext(Leg::Request);
                let request: Value = serde_json::from_slice(payload).unwrap();
                let mut answer = json!({});
                if let Some(index) = self.next() {
                    let job = &mut self.jobs[index];
                    if starts && job.status == "QUEUED" {
                        job.status = "IN_PROGRESS";
                        job.version += 1;
                    }
                    answer["execution"] = self.describe(index);
                }
                let topic = match topic {
                    Topic::StartNext(_) => Topic::StartNext(Leg::Accepted),
                    _ => Topic::Describe(Job::Next, Leg::Accepted),
                };
                self.answer(topic, &request, answer);
            }
            Topic::Describe(Job::Id(id), Leg::Request) => {
                let request: Value = serde_json::from_slice(payload).unwrap();
                let index = self.jobs.iter().position(|job| job.id == id);
                let (leg, answer) = match index {
                    Some(index) => (Leg::Accepted, json!({"execution": self.describe(index)})),
                    None => (Leg::Rejected, json!({"code": "ResourceNotFound"})),
                };
                self.answer(Topic::Describe(Job::Id(id), leg), &request, answer);
            }
            Topic::Update(Job::Id(id), Leg::Request) => self.update(id, payload),
            Topic::Stream {
                name,
                message: StreamMessage::Get,
                format,
            } => self.blocks(name, format, payload),
            other => panic!("no request: {other:?}"),
        }
    }

    fn update(&mut self, id: &str, payload: &[u8]) {
        let request: Value = serde_json::from_slice(payload).unwrap();
        let details = request["statusDetails"].clone();
        let status = match request["status"].as_str().unwrap() {
            "IN_PROGRESS" => "IN_PROGRESS",
            "SUCCEEDED" => "SUCCEEDED",
            "FAILED" => "FAILED",
            "REJECTED" => "REJECTED",
            other => panic!("{other}"),
        };
        if self
            .cancels_at
            .is_some_and(|word| details.to_string().contains(word))
        {
            self.cancels_at = None;
            self.cancel();
        }
        let Some(job) = self.jobs.iter_mut().find(|job| job.id == id) else {
            let answer = json!({"code": "ResourceNotFound"});
            return self.answer(Topic::Update(Job::Id(id), Leg::Rejected), &request, answer);
        };
        let expected = request["expectedVersion"].as_str().unwrap();
        let code = if !job.is_pending() {
            Some("InvalidStateTransition")
        } else if expected != job.version.to_string() {
            Some("VersionMismatch")
        } else {
            None
        };
        if let Some(code) = code {
            let answer = json!({"code": code, "executionState": job.state()});
            return self.answer(Topic::Update(Job::Id(id), Leg::Rejected), &request, answer);
        }
        job.status = status;
        job.version += 1;
        if details.is_object() {
            job.details = details.clone();
        }
        self.updates.push((id.to_owned(), status, details));
        if self.swallows > 0 {
            self.swallows -= 1;
            return;
        }
        self.answer(
            Topic::Update(Job::Id(id), Leg::Accepted),
            &request,
            json!({}),
        );
    }

    fn blocks(&mut self, name: &str, format: Format, payload: &[u8]) {
        self.requests += 1;
        if self.mute {
            return;
        }
        let request = GetStream::parse(format, payload).unwrap();
        let answer = |message| Topic::Stream {
            name: STREAM,
            message,
            format,
        };
        let file = self.files.get(&(request.file as u8)).cloned();
        let Some(file) = file.filter(|_| name == STREAM) else {
            let mut message = Vec::new();
            Rejected::new(request.token, ErrorCode::ResourceNotFound).emit(format, &mut message);
            return self.send(answer(StreamMessage::Rejected), message);
        };
        for block in request
            .selected(file.len() as u32, EndOfFile::Refuse)
            .unwrap()
        {
            self.blocks.push((request.file, block.id));
            let counters = [&mut self.breaks_after, &mut self.cancels_after];
            for left in counters.into_iter().flatten() {
                *left = left.saturating_sub(1);
            }
            if self.cancels_after == Some(0) {
                self.cancels_after = None;
                self.cancel();
            }
            let data = Data {
                token: request.token,
                file: request.file,
                block: block.id,
                len: block.len,
                payload: Payload::Bytes(&file[block.offset as usize..][..block.len as usize]),
            };
            let mut message = Vec::new();
            data.emit(format, &mut message);
            self.send(answer(StreamMessage::Data), message);
        }
    }
}

impl Link for Cloud {
    type Error = Cut;

    fn now(&mut self) -> u32 {
        self.state().now
    }

    async fn subscribe(&mut self, filter: &str) -> Result<(), Cut> {
        self.state().subscriptions.push(filter.to_owned());
        Ok(())
    }

    async fn publish(&mut self, topic: &str, payload: &[u8]) -> Result<(), Cut> {
        let (thing, topic) = Topic::parse(topic).unwrap();
        assert_eq!(thing, THING);
        let mut state = self.state();
        if state.breaks_after == Some(0) {
            return Err(Cut);
        }
        state.take(topic, payload);
        Ok(())
    }

    async fn receive<'b>(
        &mut self,
        until: u32,
        buffer: &'b mut [u8],
    ) -> Result<Option<Incoming<'b>>, Cut> {
        let mut state = self.state();
        match state.on_its_way.front() {
            Some((at, ..)) if *at <= until.max(state.now) => {}
            _ if state.breaks_after == Some(0) => {
                // Whatever was on its way is lost with the link.
                state.on_its_way.clear();
                return Err(Cut);
            }
            _ => {
                state.now = state.now.max(until);
                return Ok(None);
            }
        }
        let (at, topic, payload) = state.on_its_way.pop_front().unwrap();
        state.now = state.now.max(at);
        let (place, rest) = buffer.split_at_mut(topic.len());
        place.copy_from_slice(topic.as_bytes());
        rest[..payload.len()].copy_from_slice(&payload);
        Ok(Some(Incoming {
            topic: str::from_utf8(place).unwrap(),
            payload: &rest[..payload.len()],
        }))
    }
}
