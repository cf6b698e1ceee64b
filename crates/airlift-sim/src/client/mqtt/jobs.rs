//! A device that does jobs: the engine's agent, on a board, over a connection.

use std::cell::{Cell, RefCell};
use std::mem;
use std::time::{Duration, Instant};

use airlift_device::agent::{
    Agent, AgentError, Buffers, Ended, FileKey, Incoming, Link as AgentLink, Route, SelfTest, Setup,
};
use airlift_device::download::aws_stream::{
    Cbor, Encoding, Json, Requests, Settings as StreamSettings,
};
use airlift_device::notify::aws_jobs::{Jobs, Settings, Version};
use airlift_device::set::{Destination, SetRestore};
use airlift_device::verify::{EcdsaP256, EspApp, SignatureVerifier};
use airlift_device::{Error as EngineError, Refusal, Retry, Status};
use airlift_formats::aws::job_document::{File, Protocol};

use super::super::device::{Observer, Parts, Running, SELF_TEST_FAILED};
use super::super::recovery::Told;
use super::super::set::Externals;
use super::super::transfer::BUFFER;
use super::super::{DeviceError, Event, Faults, PowerCut, Settled, VirtualDevice};
use super::files::{EitherWay, Files};
use super::link::Link;
use super::watch::{Watch, flip_block};
use super::{Credentials, MqttAddress};
use crate::flash::{Flash, FlashError, block_on};

/// Waits between attempts to reach the server, while there is something that only it can be told.
const BACK_OFF: [u64; 4] = [1, 2, 4, 8];

/// How a device is told what to do over MQTT.
#[derive(Debug, Clone)]
pub struct JobSettings {
    /// Where the server is.
    pub server: MqttAddress,
    /// Who the device is there.
    pub thing: String,
    /// How it shows that.
    pub credentials: Credentials,
    /// Bytes of a block, 256 to 131072.
    pub block_size: u32,
    /// Blocks that are asked for at once.
    pub window: u32,
    /// Blocks come in JSON and not in CBOR.
    pub json_blocks: bool,
    /// Requests are byte for byte those of the C library of AWS: one block at a time.
    pub like_c_library: bool,
    /// The public keys, as SEC 1 has them, that images may be signed with. `None`: no signature is looked at.
    pub keys: Option<Vec<Vec<u8>>>,
    /// How long to wait for an answer, and how often to ask.
    pub retry: Retry,
}

/// Which signatures are good.
enum Trust<'k> {
    Keys(EcdsaP256<'k>),
    Anybody,
}

impl SignatureVerifier for Trust<'_> {
    fn check(&self, file: &File<'_>) -> Result<(), Refusal> {
        match self {
            Self::Keys(keys) => keys.check(file),
            Self::Anybody => Ok(()),
        }
    }

    fn verify(&self, file: &File<'_>, sha256: &[u8; 32]) -> Result<(), Refusal> {
        match self {
            Self::Keys(keys) => keys.verify(file, sha256),
            Self::Anybody => Ok(()),
        }
    }
}

/// How a round of jobs ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Worked {
    /// There is no job any more; the last one that was ended went like this.
    NoJob(Option<JobEnd>),
    /// Switch the device off and on.
    Restart,
    /// The power failed: switch the device on again.
    PowerLost,
}

/// What the server was told of a job that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobEnd {
    /// `SUCCEEDED`, `FAILED`, `REJECTED`.
    pub status: String,
    /// Why, if the device said so.
    pub reason: String,
}

/// What both the connection and the app's self-test need of the device.
pub(super) struct Shared<'s, 'o, 'e> {
    faults: &'s mut Faults,
    flash: &'s Flash,
    bytes_fetched: &'s mut u64,
    cut_at_byte: &'s mut Option<u32>,
    watch: Watch,
    version: String,
    on: &'o mut Observer<'e>,
}

impl VirtualDevice {
    /// From now on the device does jobs: an app on trial is judged only when it has reached the server, and what was staged is
    /// tried when the server has been told.
    pub fn set_does_jobs(&mut self) {
        self.parts.does_jobs = true;
    }

    /// Switches the device on, does all jobs that there are, and restarts as often as that needs.
    ///
    /// # Errors
    /// [`DeviceError`]; when [`is_passing`](DeviceError::is_passing), trying again later can help.
    pub fn work(
        &mut self,
        settings: &JobSettings,
        on: &mut Observer<'_>,
    ) -> Result<Settled, DeviceError> {
        self.set_does_jobs();
        let mut from = None;
        loop {
            let Some(mut running) = self.power_on(on)? else {
                return Ok(Settled::PowerLost);
            };
            let from = &*from.get_or_insert_with(|| running.version().to_owned());
            match running.work(settings, None, on)? {
                Worked::Restart => {}
                Worked::PowerLost => return Ok(Settled::PowerLost),
                Worked::NoJob(end) => {
                    let (from, to) = (from.clone(), running.version().to_owned());
                    return Ok(match end {
                        None => Settled::UpToDate,
                        Some(end) if end.status == "SUCCEEDED" => Settled::Updated { from, to },
                        Some(end) => Settled::JobFailed {
                            status: end.status,
                            reason: end.reason,
                        },
                    });
                }
            }
        }
    }
}

impl Running<'_> {
    /// Connects and does all jobs that there are; with `wait`, also those that come in so much time after that.
    ///
    /// # Errors
    /// As [`VirtualDevice::work`].
    pub fn work(
        &mut self,
        settings: &JobSettings,
        wait: Option<Duration>,
        on: &mut Observer<'_>,
    ) -> Result<Worked, DeviceError> {
        let mut attempts = BACK_OFF.into_iter();
        loop {
            let worked = if settings.json_blocks {
                self.work_once::<Json>(settings, wait, on)
            } else {
                self.work_once::<Cbor>(settings, wait, on)
            };
            match worked {
                Err(_) if !self.parts.flash.lock().has_power() => {
                    self.parts.note_power_cut(on);
                    return Ok(Worked::PowerLost);
                }
                // A device that gives up now would go back at the next reset, from an image that may be good.
                Err(error) if error.is_passing() => match attempts.next() {
                    Some(seconds) if matches!(self.updater.status(), Status::OnTrial { .. }) => {
                        on(&Event::TryingAgain {
                            seconds,
                            message: error.to_string(),
                        });
                        std::thread::sleep(Duration::from_secs(seconds));
                    }
                    _ => return Err(error),
                },
                worked => return worked,
            }
        }
    }

    fn work_once<E: Encoding>(
        &mut self,
        settings: &JobSettings,
        wait: Option<Duration>,
        on: &mut Observer<'_>,
    ) -> Result<Worked, DeviceError> {
        let link = Link::connect(&settings.server, &settings.thing, &settings.credentials)?;
        on(&Event::Connected {
            server: settings.server.to_string(),
            thing: settings.thing.clone(),
            version: self.app.summary.version.clone(),
        });
        let jobs = Settings {
            retry: settings.retry,
            ..Settings::default()
        };
        let jobs = Jobs::new(&settings.thing, jobs).map_err(|error| told(&error))?;
        let keys = settings.keys.as_ref();
        let keys: Option<Vec<&[u8]>> = keys.map(|keys| keys.iter().map(Vec::as_slice).collect());
        let trust = match &keys {
            Some(keys) => Trust::Keys(EcdsaP256::new(keys).map_err(|error| told(&error))?),
            None => Trust::Anybody,
        };
        let routes = routes(self.parts);
        let project = self.app.summary.project.clone();
        let setup = Setup {
            check: app_check(self.parts, &project, self.app.summary.secure_version),
            verifier: &trust,
            version: version_of(&self.app.summary.version),
            routes: &routes,
            progress: 64,
        };
        let block = settings.block_size as usize;
        let (mut message, mut document) = (
            vec![0; block * 2 + (8 << 10) + (32 << 10)],
            vec![0; 32 << 10],
        );
        let mut buffer = [0; BUFFER];
        let mut window = vec![0; block.saturating_mul(settings.window.max(1) as usize)];
        let mut over_http = [0; BUFFER];
        let way = Cell::new(Protocol::Mqtt);
        let mut agent = Agent::new(
            jobs,
            EitherWay { way: &way },
            setup,
            Buffers {
                message: &mut message,
                document: &mut document,
                flash: &mut buffer,
            },
        );
        let stream = StreamSettings {
            block_size: settings.block_size,
            requests: match settings.like_c_library {
                true => Requests::CLibrary,
                false => Requests::Window,
            },
            retry: settings.retry,
        };

        let mut externals = match &mut self.parts.set {
            Some(unit) => unit.lend_externals(),
            None => Vec::new(),
        };
        let parts = &mut *self.parts;
        let shared = RefCell::new(Shared {
            faults: &mut parts.faults,
            flash: &parts.flash,
            bytes_fetched: &mut parts.counters.bytes_fetched,
            cut_at_byte: &mut parts.cut_at_byte,
            watch: Watch::new(settings.block_size),
            version: self.app.summary.version.clone(),
            on,
        });
        let mut source = Files::<E>::new(
            &way,
            stream,
            settings.retry,
            &mut window,
            &mut over_http,
            &shared,
        );
        let mut line = Line {
            link,
            since: Instant::now(),
            shared: &shared,
        };
        let mut app = App { shared: &shared };
        let mut mechanisms = (Told::default(), SetRestore(Externals(&mut externals)));
        let outcome = loop {
            if let Err(error) = block_on(agent.subscribe(&mut line)) {
                break Err(error);
            }
            let ran = block_on(agent.run(
                &mut self.updater,
                &mut line,
                &mut source,
                &mut app,
                &mut mechanisms,
            ));
            match ran {
                Ok(Ended::NoJob) => {}
                Ok(Ended::Restart) => break Ok(Ended::Restart),
                Err(error) => break Err(why(error)),
            }
            (shared.borrow_mut().on)(&Event::NoJob);
            let Some(wait) = wait else {
                break Ok(Ended::NoJob);
            };
            let longest = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX >> 1);
            match block_on(agent.wait(&mut line, longest)) {
                Ok(true) => {}
                Ok(false) => break Ok(Ended::NoJob),
                Err(error) => break Err(error),
            }
        };
        if outcome.is_ok() {
            line.link.close();
        }
        drop(source);
        let end = shared.into_inner().watch.end;
        if let Some(unit) = &mut self.parts.set {
            unit.externals = externals;
        }
        match outcome? {
            Ended::NoJob => Ok(Worked::NoJob(end)),
            Ended::Restart => {
                on(&Event::Restarting);
                Ok(Worked::Restart)
            }
        }
    }
}

/// Files of a job that go elsewhere than to the app: as the parts of a set do, whose tags are the numbers of the files.
fn routes(parts: &Parts) -> Vec<Route> {
    let parts = parts.set.as_ref().map(|unit| unit.parts.as_slice());
    let known = parts.unwrap_or_default().iter();
    known
        .filter(|part| part.to != Destination::Custom)
        .filter_map(|part| {
            Some(Route {
                file: FileKey::Id(u8::try_from(part.tag).ok()?),
                to: part.to,
            })
        })
        .collect()
}

fn app_check<'p>(parts: &Parts, project: &'p str, secure_version: u32) -> EspApp<'p> {
    let chip = parts.chip();
    EspApp {
        chip_revision: Some(chip.revision),
        project: Some(project.as_bytes()).filter(|project| !project.is_empty()),
        min_secure_version: secure_version,
        ..EspApp::new(chip.id)
    }
}

/// `1.2.3`, as far as it is that.
fn version_of(text: &str) -> Version {
    let mut numbers = text
        .trim_start_matches(['v', 'V'])
        .split(|c: char| !c.is_ascii_digit())
        .map(|digits| digits.parse::<u16>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    let byte = |number: u16| u8::try_from(number).unwrap_or(u8::MAX);
    Version {
        major: byte(next()),
        minor: byte(next()),
        build: next(),
    }
}

fn told(error: &dyn std::fmt::Display) -> DeviceError {
    DeviceError::Service(error.to_string())
}

fn why(error: AgentError<FlashError, DeviceError>) -> DeviceError {
    match error {
        AgentError::Engine(error) => error.into(),
        AgentError::Link(error) => error,
        AgentError::Jobs(error) => told(&error),
        AgentError::Source(error) => told(&error),
    }
}

/// The connection, as the agent wants it, and with what goes wrong on it.
struct Line<'c, 's, 'o, 'e> {
    link: Link,
    since: Instant,
    shared: &'c RefCell<Shared<'s, 'o, 'e>>,
}

impl AgentLink for Line<'_, '_, '_, '_> {
    type Error = DeviceError;

    fn now(&mut self) -> u32 {
        // It wraps around, as the agent expects.
        self.since.elapsed().as_millis() as u32
    }

    async fn subscribe(&mut self, filter: &str) -> Result<(), DeviceError> {
        self.link.subscribe(&[filter])
    }

    async fn publish(&mut self, topic: &str, payload: &[u8]) -> Result<(), DeviceError> {
        self.link.publish(topic, payload)?;
        let mut shared = self.shared.borrow_mut();
        if let Some(event) = shared.watch.published(topic, payload) {
            (shared.on)(&event);
        }
        Ok(())
    }

    async fn receive<'b>(
        &mut self,
        until: u32,
        buffer: &'b mut [u8],
    ) -> Result<Option<Incoming<'b>>, DeviceError> {
        self.shared.borrow().check_power()?;
        let wait = until.wrapping_sub(self.now()).cast_signed().max(0);
        let deadline = Instant::now() + Duration::from_millis(wait.unsigned_abs().into());
        loop {
            let Some(mut message) = self.link.next(deadline)? else {
                return Ok(None);
            };
            self.shared
                .borrow_mut()
                .meddle(&message.topic, &mut message.payload);
            self.shared.borrow().check_power()?;
            let (topic, payload) = (message.topic.as_bytes(), &message.payload);
            let length = topic.len() + payload.len();
            // What the device has no room for does not exist for it.
            let Some(room) = buffer.get_mut(..length) else {
                continue;
            };
            let (to_topic, to_payload) = room.split_at_mut(topic.len());
            to_topic.copy_from_slice(topic);
            to_payload.copy_from_slice(payload);
            let room = buffer.get(..length).unwrap_or_default();
            let (topic, payload) = room.split_at(message.topic.len());
            return Ok(Some(Incoming {
                topic: std::str::from_utf8(topic).unwrap_or_default(),
                payload,
            }));
        }
    }
}

impl Shared<'_, '_, '_> {
    /// Notes a message, and lets happen to it what is to happen.
    fn meddle(&mut self, topic: &str, payload: &mut [u8]) {
        let (event, block) = self.watch.received(topic, payload);
        if let Some(event) = event {
            (self.on)(&event);
        }
        if let Some((start, bytes)) = block
            && self.came(start, bytes)
        {
            flip_block(topic, payload);
        }
    }

    /// Notes bytes of a file that came over HTTP, and lets happen to them what is to happen.
    pub(super) fn fetched(&mut self, start: u32, bytes: &mut [u8]) {
        let length = bytes.len() as u32;
        (self.on)(&self.watch.fetched(length));
        let at = self.faults.flip_byte.and_then(|at| at.checked_sub(start));
        if self.came(start, length)
            && let Some(byte) = at.and_then(|at| bytes.get_mut(at as usize))
        {
            *byte ^= 1;
        }
    }

    /// So many bytes of a file came, from `start` on; whether a bit of them flips. The power may fail with them: the flash knows.
    fn came(&mut self, start: u32, bytes: u32) -> bool {
        *self.bytes_fetched += u64::from(bytes);
        if let Some(PowerCut::AtOperation(cut)) = self.faults.power_cut {
            self.faults.power_cut = None;
            self.flash.lock().arm(cut);
        }
        let within = |at: u32| (start..start.saturating_add(bytes)).contains(&at);
        let flips = self.faults.flip_byte.is_some_and(within);
        if flips {
            self.faults.flip_byte = None;
        }
        if let Some(PowerCut::AtByte(byte)) = self.faults.power_cut
            && within(byte)
        {
            self.faults.power_cut = None;
            *self.cut_at_byte = Some(byte);
            self.flash.lock().power_off();
        }
        flips
    }

    /// Without power, nothing comes any more.
    fn check_power(&self) -> Result<(), DeviceError> {
        match self.flash.lock().has_power() {
            true => Ok(()),
            false => Err(EngineError::Flash(FlashError::PowerLost).into()),
        }
    }
}

/// The app that runs, on trial.
struct App<'c, 's, 'o, 'e> {
    shared: &'c RefCell<Shared<'s, 'o, 'e>>,
}

impl SelfTest for App<'_, '_, '_, '_> {
    async fn self_test(&mut self) -> Result<(), u8> {
        let mut shared = self.shared.borrow_mut();
        let version = shared.version.clone();
        if mem::take(&mut shared.faults.self_test_fails) {
            (shared.on)(&Event::Rejected { version });
            return Err(SELF_TEST_FAILED);
        }
        (shared.on)(&Event::Confirmed { version });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_far_as_they_are_numbers() {
        for (text, (major, minor, build)) in [
            ("1.2.3", (1, 2, 3)),
            ("v2.0", (2, 0, 0)),
            ("1.2.3-rc1+7", (1, 2, 3)),
            ("300.1.70000", (255, 1, 0)),
            ("unknown", (0, 0, 0)),
            ("", (0, 0, 0)),
        ] {
            let expected = Version {
                major,
                minor,
                build,
            };
            assert_eq!(version_of(text), expected, "{text}");
        }
    }
}
