//! Processes of the binary under test, and what they say.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use airlift_formats::esp::app_image::{AppImageBuilder, ChipId};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// The organization, project and key that most tests use, as arguments.
pub(crate) const PLACE: [&str; 6] = [
    "--org",
    "dev",
    "--project",
    "lotus",
    "--key",
    "sht30_d1_mini",
];

/// The binary, with an environment in which nothing is set that it looks at.
pub(crate) fn airlift<const N: usize>(args: [&str; N]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_airlift"));
    command.args(args);
    for name in ["AIRLIFT_TOKEN", "AIRLIFT_SERVER", "RUST_LOG", "NO_COLOR"] {
        command.env_remove(name);
    }
    // What users see when a defect panics; tests look for it.
    command.env("RUST_BACKTRACE", "0");
    command
}

/// A run that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let ended = Self {
            status: output.status,
            stdout: String::from_utf8(output.stdout).expect("text on standard output"),
            stderr: String::from_utf8(output.stderr).expect("text on standard error"),
        };
        assert!(
            !ended.stderr.contains("panicked"),
            "a panic: {}",
            ended.stderr
        );
        ended
    }
}

impl Ended {
    /// Exit code 0; what it printed.
    #[track_caller]
    pub(crate) fn good(self) -> String {
        assert_eq!(self.status.code(), Some(0), "{self:?}");
        self.stdout
    }

    /// Exit code 1 and one message that has all of these words.
    #[track_caller]
    pub(crate) fn refused(self, words: &[&str]) -> String {
        assert_eq!(self.status.code(), Some(1), "{self:?}");
        let message = self.stderr.trim_end();
        assert!(message.starts_with("airlift: "), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
        for word in words {
            assert!(message.contains(word), "{word:?} is not in: {message}");
        }
        message.to_owned()
    }
}

/// Runs to the end.
pub(crate) trait Run {
    fn run(&mut self) -> Ended;
}

impl Run for Command {
    #[track_caller]
    fn run(&mut self) -> Ended {
        self.stdin(Stdio::null())
            .output()
            .expect("the binary runs")
            .into()
    }
}

/// `airlift serve` on a free port.
pub(crate) struct Serve {
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub(crate) url: String,
    /// All lines up to the last of its greeting.
    pub(crate) greeting: Vec<String>,
    /// Printed by the first start only.
    pub(crate) token: Option<String>,
}

impl Serve {
    pub(crate) fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    pub(crate) fn start_with(data: &Path, more: &[&str]) -> Self {
        let mut command = airlift(["serve", "--http", "127.0.0.1:0", "--data"]);
        command.arg(data).args(more);
        Self::of(command)
    }

    /// From a command that ends up as a server.
    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (mut url, mut token) = (None, None);
        let mut greeting = Vec::new();
        loop {
            let mut line = String::new();
            let read = stdout.read_line(&mut line).expect("text");
            assert!(read > 0, "the server did not start");
            let line = line.trim();
            greeting.push(line.to_owned());
            if let Some(address) = line.strip_prefix("address") {
                url = Some(address.trim().to_owned());
            }
            if line.starts_with("airlift_") {
                token = Some(line.to_owned());
            }
            if line.starts_with("Press Ctrl-C") {
                break;
            }
        }
        Self {
            child,
            stdout,
            url: url.expect("an address"),
            greeting,
            token,
        }
    }

    /// What it said after its start, once it has ended.
    pub(crate) fn terminate(mut self) -> (ExitStatus, String) {
        let pid = self.child.id().to_string();
        let killed = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(killed.expect("kill").success());
        let status = self.child.wait().expect("an exit status");
        let mut rest = String::new();
        let _ = self.stdout.read_to_string(&mut rest);
        (status, rest)
    }

    /// As `kill -9` does.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn token(&self) -> &str {
        self.token
            .as_deref()
            .expect("the first start prints a token")
    }

    /// What its greeting says behind this word.
    pub(crate) fn greets_with(&self, word: &str) -> Option<&str> {
        let mut lines = self.greeting.iter();
        lines
            .find_map(|line| line.strip_prefix(word))
            .map(str::trim)
    }

    pub(crate) fn host(&self) -> &str {
        self.url.strip_prefix("http://").expect("http")
    }

    /// One request, and its status and body.
    pub(crate) fn http(&self, method: &str, path: &str, token: &str, body: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(self.host()).expect("a connection");
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head
            .split(' ')
            .nth(1)
            .expect("a status")
            .parse()
            .expect("a number");
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A folder with a server that has published `old.bin` as version 1.1.0, and a device that runs it.
pub(crate) struct Field {
    pub(crate) folder: TempDir,
    pub(crate) server: Serve,
    pub(crate) token: String,
}

impl Field {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let server = Serve::start(&folder.path().join("data"));
        let token = server.token().to_owned();
        let field = Self {
            folder,
            server,
            token,
        };
        field.write("old.bin", &image("1.1.0", 60_000));
        field.publish("old.bin", "1.1.0").run().good();
        field.device().run().good();
        field
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).expect("written");
    }

    pub(crate) fn publish(&self, file: &str, version: &str) -> Command {
        self.publish_at(&self.server.url, file, version)
    }

    pub(crate) fn publish_at(&self, server: &str, file: &str, version: &str) -> Command {
        let mut command = airlift(["publish", "--server", server, "--version", version]);
        command
            .args(PLACE)
            .env("AIRLIFT_TOKEN", &self.token)
            .arg(self.path(file));
        command
    }

    /// One check of the device, events as lines of JSON.
    pub(crate) fn device(&self) -> Command {
        self.device_at(&self.server.url)
    }

    pub(crate) fn device_at(&self, server: &str) -> Command {
        let mut command = airlift(["device", "run", "--once", "--json", "--server", server]);
        command
            .args(PLACE)
            .args(["--node", "esp32-85ea2b", "--flash"])
            .arg(self.path("flash"));
        command
    }

    pub(crate) fn show(&self) -> Value {
        show(&self.path("flash"))
    }

    /// The device runs this version, and that is what the server offers: nothing that worked is lost.
    #[track_caller]
    pub(crate) fn is_at(&self, version: &str) {
        let events = events(&self.device().run().good());
        assert_eq!(events.last().expect("events")["event"], "up-to-date");
        let booted = events.iter().find(|event| event["event"] == "booted");
        assert_eq!(booted.expect("a boot")["version"], version);
    }
}

pub(crate) fn show(flash: &Path) -> Value {
    let mut command = airlift(["device", "show", "--json", "--flash"]);
    serde_json::from_str(&command.arg(flash).run().good()).expect("JSON")
}

/// Lines of JSON.
pub(crate) fn events(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

/// The names of events, progress aside.
pub(crate) fn steps(events: &[Value]) -> Vec<&str> {
    let names = events.iter().filter_map(|event| event["event"].as_str());
    names.filter(|name| *name != "progress").collect()
}

/// An app image of the project `field`.
pub(crate) fn image(version: &str, size: usize) -> Vec<u8> {
    image_for(ChipId::ESP32, "field", version, size)
}

pub(crate) fn image_for(chip: ChipId, project: &str, version: &str, size: usize) -> Vec<u8> {
    let seed = Sha256::digest(format!("{project} {version}"));
    let payload: Vec<u8> = (0..size)
        .map(|i| seed[i % 32].wrapping_add((i / 32) as u8))
        .collect();
    AppImageBuilder::new(chip)
        .project(project)
        .version(version)
        .payload(&payload)
        .build()
        .expect("an image")
}

/// A golden vector; a clear message if it is not there.
pub(crate) fn golden(name: &str) -> PathBuf {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/golden/esp/app"
    );
    let path = Path::new(folder).join(name);
    assert!(path.is_file(), "golden vector needed: {}", path.display());
    path
}

/// Waits until `done` says so; fails after a time that no machine needs.
#[track_caller]
pub(crate) fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..600 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("never happened: {what}");
}
