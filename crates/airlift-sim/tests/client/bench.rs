//! A device in a temporary folder, and a server that says what a test tells it to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use airlift_formats::esp::app_image::{AppImageBuilder, ChipId};
use airlift_sim::client::{
    DeviceError, Event, Identity, Settled, VirtualDevice, default_table, provision,
};
use md5::{Digest as _, Md5};
use sha2::Sha256;
use tempfile::TempDir;

/// Small enough to be quick, large enough for two slots of 384 KiB.
pub(crate) const FLASH_SIZE: usize = 1 << 20;

/// An app image and what is said of it.
#[derive(Clone)]
pub(crate) struct Image {
    pub(crate) bytes: Vec<u8>,
    pub(crate) version: String,
}

impl Image {
    pub(crate) fn md5(&self) -> String {
        hex(&Md5::digest(&self.bytes))
    }

    pub(crate) fn sha256(&self) -> String {
        hex(&Sha256::digest(&self.bytes))
    }

    fn fields(&self) -> String {
        let (md5, sha256, version) = (self.md5(), self.sha256(), &self.version);
        format!(
            "x-MD5: {md5}\r\nx-SHA256: {sha256}\r\nx-version: {version}\r\nETag: \"{sha256}\"\r\n"
        )
    }
}

/// An image with about `size` bytes of payload that differ with everything else.
pub(crate) fn image(chip: ChipId, project: &str, version: &str, size: usize) -> Image {
    let seed = Sha256::digest(format!("{chip} {project} {version}"));
    let payload: Vec<u8> = (0..size)
        .map(|i| seed[i % 32].wrapping_add((i / 32) as u8))
        .collect();
    let bytes = AppImageBuilder::new(chip)
        .project(project)
        .version(version)
        .payload(&payload)
        .build()
        .unwrap();
    Image {
        bytes,
        version: version.to_owned(),
    }
}

/// Data of `size` bytes.
pub(crate) fn data(version: &str, size: usize) -> Image {
    let seed = Sha256::digest(version);
    Image {
        bytes: (0..size).map(|i| seed[i % 32] ^ (i / 32) as u8).collect(),
        version: version.to_owned(),
    }
}

/// A door as an Airlift server has it: an app, and data for partitions by name.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) app: Option<Image>,
    pub(crate) data: Vec<(&'static str, Image)>,
}

impl Door {
    /// What it answers, as long as nobody changes what it has.
    pub(crate) fn open(door: &Arc<Mutex<Self>>) -> impl FnMut(&str) -> Vec<u8> + Send + use<> {
        let door = Arc::clone(door);
        move |request| door.lock().unwrap().answer(request)
    }

    fn answer(&self, request: &str) -> Vec<u8> {
        let asked = request
            .lines()
            .find_map(|line| line.strip_prefix("x-Airlift-Partition: name="));
        let (image, named) = match asked {
            None => (self.app.as_ref(), String::new()),
            Some(asked) => {
                let name = asked.split(';').next().unwrap();
                let mut data = self.data.iter();
                let image = data.find(|(of, _)| *of == name).map(|(_, image)| image);
                (image, format!("x-Airlift-Partition: name={name}\r\n"))
            }
        };
        let runs = |image: &Image| match asked {
            None => request.contains(&format!("x-ESP32-sketch-md5: {}", image.md5())),
            Some(asked) => asked.contains(&image.sha256()),
        };
        let Some(image) = image.filter(|image| !runs(image)) else {
            return no_news()(request);
        };
        let part = format!("If-Range: \"{}\"\r\n", image.sha256());
        let answer = if request.contains(&part) {
            rest(image)(request)
        } else {
            offer(image)(request)
        };
        let end = answer.windows(2).position(|two| two == b"\r\n").unwrap() + 2;
        [&answer[..end], named.as_bytes(), &answer[end..]].concat()
    }
}

/// Answers every request with the whole image.
pub(crate) fn offer(image: &Image) -> impl FnMut(&str) -> Vec<u8> + Send + use<> {
    let image = image.clone();
    move |request| {
        let length = image.bytes.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{}\r\n",
            image.fields()
        );
        let body: &[u8] = if request.starts_with("HEAD") {
            &[]
        } else {
            &image.bytes
        };
        [head.as_bytes(), body].concat()
    }
}

/// Answers with the part that is asked for.
pub(crate) fn rest(image: &Image) -> impl FnMut(&str) -> Vec<u8> + Send + use<> {
    let image = image.clone();
    let mut whole = offer(&image);
    move |request| {
        let Some(first) = Peer::offset(request) else {
            return whole(request);
        };
        let total = image.bytes.len();
        let head = format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {first}-{}/{total}\r\n{}\r\n",
            total - first,
            total - 1,
            image.fields()
        );
        [head.as_bytes(), &image.bytes[first..]].concat()
    }
}

/// Answers 304.
pub(crate) fn no_news() -> impl FnMut(&str) -> Vec<u8> + Send {
    status("304 Not Modified")
}

/// Answers with this status and no body.
pub(crate) fn status(line: &'static str) -> impl FnMut(&str) -> Vec<u8> + Send {
    move |_| format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

/// A server of one connection a request, as `Connection: close` wants it.
pub(crate) struct Peer {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Peer {
    /// Answers each request with what `answer` makes of it, and closes.
    pub(crate) fn start(mut answer: impl FnMut(&str) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                    request.push(byte[0]);
                }
                let request = String::from_utf8(request).unwrap();
                let answer = answer(&request);
                log.lock().unwrap().push(request);
                // A device that has seen enough hangs up.
                let _ = stream.write_all(&answer);
            }
        });
        Self { address, requests }
    }

    /// An address of this server.
    pub(crate) fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.address)
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// The `N` of `Range: bytes=N-`.
    pub(crate) fn offset(request: &str) -> Option<usize> {
        let (_, range) = request.split_once("\r\nRange: bytes=")?;
        range.split_once('-')?.0.parse().ok()
    }
}

/// A device that runs version 1.0.0 of the project `demo`.
pub(crate) struct Bench {
    folder: TempDir,
    pub(crate) device: VirtualDevice,
    pub(crate) factory: Image,
    server: SocketAddr,
}

impl Bench {
    pub(crate) fn new(peer: &Peer) -> Self {
        Self::with_table(peer, &default_table(FLASH_SIZE).unwrap())
    }

    /// With this partition table.
    pub(crate) fn with_table(peer: &Peer, table: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let factory = image(ChipId::ESP32, "demo", "1.0.0", 20_000);
        let file = folder.path().join("flash");
        provision(&file, FLASH_SIZE, table, &factory.bytes).unwrap();
        let device = open(&folder, peer.address).unwrap();
        Self {
            folder,
            device,
            factory,
            server: peer.address,
        }
    }

    /// Another device on the same file.
    pub(crate) fn open_again(&self) -> Result<VirtualDevice, DeviceError> {
        open(&self.folder, self.server)
    }

    /// What a partition holds: its first bytes.
    pub(crate) fn holds(&mut self, offset: u32, len: usize) -> Vec<u8> {
        let flash = self.device.flash().lock();
        flash.cells()[offset as usize..][..len].to_vec()
    }

    /// Writes to the flash as the factory does.
    pub(crate) fn fill(&mut self, offset: u32, bytes: &[u8]) {
        self.device.flash().lock().overwrite(offset, bytes).unwrap();
    }

    /// Checks until a check ends without a power cut; what happened in all of them.
    pub(crate) fn check_until_powered(&mut self) -> (Settled, Vec<Event>) {
        let mut all = Vec::new();
        for _ in 0..8 {
            let (settled, events) = self.check();
            all.extend(events);
            match settled.unwrap() {
                Settled::PowerLost => {}
                settled => return (settled, all),
            }
        }
        panic!("power cuts without end: {all:?}");
    }

    /// One check, and what happened; progress aside.
    pub(crate) fn check(&mut self) -> (Result<Settled, DeviceError>, Vec<Event>) {
        let mut events = Vec::new();
        let settled = self.device.check(&mut |event: &Event| {
            if !matches!(
                event,
                Event::Progress { .. } | Event::PartitionProgress { .. }
            ) {
                events.push(event.clone());
            }
        });
        (settled, events)
    }

    /// What runs after switching off and on.
    pub(crate) fn version(&mut self) -> String {
        let running = self.device.power_on(&mut |_| {}).unwrap();
        running.expect("power").version().to_owned()
    }

    /// The process ends, and another one is started on the same file.
    pub(crate) fn reopen(&mut self) {
        let elsewhere = tempfile::tempdir().unwrap();
        let file = elsewhere.path().join("flash");
        let table = default_table(FLASH_SIZE).unwrap();
        provision(&file, FLASH_SIZE, &table, &self.factory.bytes).unwrap();
        // There has to be a device while the file is closed.
        self.device = open(&elsewhere, self.server).unwrap();
        self.device = open(&self.folder, self.server).unwrap();
    }

    /// A file in the device's folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn flash_content(&self) -> Vec<u8> {
        std::fs::read(self.folder.path().join("flash")).unwrap()
    }
}

fn open(folder: &TempDir, server: SocketAddr) -> Result<VirtualDevice, DeviceError> {
    let identity = Identity::new("dev", "lotus", "esp32-85ea2b", "key").unwrap();
    let server = format!("http://{server}").parse().unwrap();
    VirtualDevice::open(&folder.path().join("flash"), identity, server)
}

/// The name of an event, as in its JSON form.
pub(crate) fn name(event: &Event) -> String {
    let json = serde_json::to_value(event).unwrap();
    json["event"].as_str().unwrap().to_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
