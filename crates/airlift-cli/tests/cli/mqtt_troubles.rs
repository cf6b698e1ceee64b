//! What happens to a job while a device is at it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use airlift_formats::aws::base64;
use p256::SecretKey;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::DecodePrivateKey as _;
use serde_json::{Value, json};

use crate::harness::{Run as _, Serve, airlift, eventually, image, steps};
use crate::lossy::Weather;
use crate::works::{KEY, Works, find, succeeded};

/// A device that runs in the background.
struct Background {
    child: Child,
    events: Receiver<Value>,
}

impl Background {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary runs");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let (send, events) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).expect("a line of JSON");
                if send.send(event).is_err() {
                    return;
                }
            }
        });
        Self { child, events }
    }

    /// All that it says until this happens.
    #[track_caller]
    fn until(&self, what: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut all = Vec::new();
        while let Ok(event) = self.events.recv_timeout(Duration::from_secs(60)) {
            all.push(event);
            if all.last().is_some_and(&what) {
                return all;
            }
        }
        panic!("never happened; what did: {:?}", steps(&all));
    }

    /// Its exit code.
    fn end(mut self) -> Option<i32> {
        self.child.wait().expect("an exit status").code()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_job_that_is_taken_away_stops_the_device_that_is_at_it() {
    for how in [["cancel", "job", "--force"], ["delete", "job", "--force"]] {
        let works = Works::new(&["a"]);
        works.write("app.bin", &image("2.0.0", 200_000));
        works.make("job", &["a"], &["app.bin"]);
        let network = works.network(Weather {
            stops_at: Some(80_000),
            ..Weather::FINE
        });
        let device = Background::start(works.device_at(&network.url(), "a", &[]));
        eventually("the network stops", || network.has_stopped());
        works.job(&how).run().good();
        network.go_on();
        let all = device.until(|event| event["event"] == "no-job");
        // That is not a fault of the device.
        assert_eq!(device.end(), Some(0), "{how:?}");
        let over = find(&all, "job-over").expect("it is over");
        assert_eq!(over["job"], "job", "{how:?}");
        // Where a block was refused before the news came, it says that it failed; nobody takes that for the outcome.
        if how[0] == "cancel" {
            assert_eq!(works.execution("job", "a").0, "CANCELED");
        }
        assert!(find(&all, "restarting").is_none(), "{all:?}");
        works.runs("a", "1.0.0");

        // What was begun is in nobody's way.
        works.make("next", &["a"], &["app.bin"]);
        succeeded(works.device("a", &[]).run());
        works.runs("a", "2.0.0");
    }
}

#[test]
fn a_device_that_runs_on_finds_its_server_again() {
    let mut works = Works::new(&["a"]);
    works.write("app.bin", &image("2.0.0", 200_000));
    works.make("job", &["a"], &["app.bin"]);
    let network = works.network(Weather {
        stops_at: Some(100_000),
        ..Weather::FINE
    });
    let once = works.device_at(&network.url(), "a", &["--interval", "1s"]);
    let mut for_ever = Command::new(once.get_program());
    for_ever
        .args(once.get_args().filter(|arg| *arg != "--once"))
        .current_dir(works.folder.path());
    let device = Background::start(for_ever);
    eventually("the network stops", || network.has_stopped());
    let address = works.mqtt().strip_prefix("mqtt://").expect("mqtt");
    let address = address.to_owned();
    let again = ["--mqtt", &address, "--mqtt-anonymous"];
    works.server.kill();
    network.go_on();
    // Long enough for an attempt that finds nobody.
    eventually("an attempt", || network.has_refused());
    works.server = Serve::start_with(&works.path("data"), &again);
    let all = device.until(|event| event["status"] == "SUCCEEDED");
    // It was on all the time, but for the restart into the new app, and went on where it was.
    let boots = all.iter().filter(|event| event["event"] == "booted");
    assert_eq!(boots.count(), 2, "{all:?}");
    let offers = all.iter().filter(|event| event["event"] == "offered");
    let offsets: Vec<_> = offers.map(|event| event["offset"].as_u64()).collect();
    assert_eq!(offsets[0], Some(0));
    assert!(offsets.last() > Some(&Some(60_000)), "{offsets:?}");

    // Of the next job it is told.
    device.until(|event| event["event"] == "no-job");
    works.write("app.bin", &image("3.0.0", 60_000));
    works.make("next", &["a"], &["app.bin"]);
    device.until(|event| event["status"] == "SUCCEEDED");
    drop(device);
    works.runs("a", "3.0.0");
}

#[test]
fn two_devices_do_the_same_job_at_the_same_time() {
    let works = Works::new(&["a", "b"]);
    works.write("app.bin", &image("2.0.0", 300_000));
    works.make("job", &["a", "b"], &["app.bin"]);
    let both = ["a", "b"].map(|thing| Background::start(works.device(thing, &[])));
    for device in &both {
        device.until(|event| event["status"] == "SUCCEEDED");
        device.until(|event| event["event"] == "no-job");
    }
    drop(both);
    for thing in ["a", "b"] {
        assert_eq!(works.execution("job", thing).0, "SUCCEEDED");
        works.runs(thing, "2.0.0");
    }
    assert_eq!(works.shown("job")["status"], "COMPLETED");
}

const TABLE: &str = "\
nvs,      data, nvs,       0x9000,   0x4000
otadata,  data, ota,       0xd000,   0x2000
ota_0,    app,  ota_0,     0x10000,  0x180000
ota_1,    app,  ota_1,     0x190000, 0x180000
keys,     data, 0x41,      0x320000, 0x1000
spare,    data, 0x42,      0x321000, 0x22000
airlift,  data, undefined, 0x3fc000, 0x4000
";

/// File 0 of a job is no app here.
const ONE_PART: &str = "\
[set]
vendor  = 0xFFF1
product = 0x8001

[[set.part]]
tag       = 0
partition = \"keys\"
";

#[test]
fn a_file_of_one_byte_is_a_file() {
    let works = Works::new(&["a", "b"]);
    works.write("table.csv", TABLE.as_bytes());
    works.write("part.toml", ONE_PART.as_bytes());
    works.write("byte.bin", b"!");
    works.write("app.bin", &image("1.0.0", 60_000));
    works.make("job", &["a", "b"], &["byte.bin"]);
    for (thing, way) in [("a", "--window=4"), ("b", "--json-blocks")] {
        let flash = format!("{thing}.flash");
        std::fs::remove_file(works.path(&flash)).expect("a flash");
        airlift(["device", "new", "--flash", &flash, "--table", "table.csv"])
            .args(["--firmware", "app.bin"])
            .current_dir(works.folder.path())
            .run()
            .good();
        succeeded(works.device(thing, &["--config", "part.toml", way]).run());
        let cells = std::fs::read(works.path(&flash)).expect("the flash");
        assert_eq!(&cells[0x32_0000..0x32_0004], b"!\xFF\xFF\xFF");
        assert_eq!(works.execution("job", thing).0, "SUCCEEDED");
    }
}

/// Messages that are lost, doubled and late, a connection that breaks and a power cut, one after the other.
#[test]
fn whatever_happens_on_the_way_the_job_is_done() {
    let works = Works::new(&["a"]);
    for seed in 1..=4_u64 {
        let version = format!("{}.0.0", seed + 1);
        works.write("app.bin", &image(&version, 80_000));
        let id = format!("job-{seed}");
        works.make(&id, &["a"], &["app.bin"]);
        let weather = Weather {
            seed,
            lost: 6,
            doubled: 6,
            late: 10,
            ..Weather::FINE
        };
        let breaking = works.network(Weather {
            breaks_at: Some(15_000 + seed * 6_000),
            ..weather
        });
        let network = works.network(weather);
        let way = ["--window=5", "--json-blocks"][seed as usize % 2];
        let run = |url: &str, more: &[&str]| {
            let more = [&["--block-size", "1024", way], more].concat();
            works.device_at(url, "a", &more).run()
        };
        run(&breaking.url(), &[]).refused(&["connection"]);
        let cut = (45_000 + seed * 7_000).to_string();
        run(&network.url(), &["--power-cut-at", &cut]).refused(&["power"]);
        succeeded(run(&network.url(), &[]));
        assert_eq!(works.execution(&id, "a").0, "SUCCEEDED");
        works.runs("a", &version);
    }
}

/// What `sig-sha256-ecdsa` is of these bytes.
fn signature(bytes: &[u8]) -> String {
    let pem = std::fs::read_to_string(KEY).expect("the key");
    let key = SecretKey::from_pkcs8_pem(&pem).expect("a key");
    let signature: Signature = SigningKey::from(key).sign(bytes);
    let mut text = Vec::new();
    base64::encode(signature.to_der().as_bytes().iter().copied(), &mut text);
    String::from_utf8(text).expect("base64")
}

/// The simplest server that there is: the whole file to everybody, whatever is asked for; and the first connection breaks.
fn bare_server(file: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.expect("a connection");
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).expect("a request");
            let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", file.len());
            let most = [70_000, file.len()][number.min(1)];
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(&file[..most]);
        }
    });
    format!("http://{address}/firmware.bin?x=1")
}

#[test]
fn a_file_can_come_over_http_as_well() {
    let works = Works::new(&["a", "b", "c", "d"]);
    let app = image("2.0.0", 200_000);
    works.write("app.bin", &app);
    airlift(["publish", "app.bin", "--server", &works.server.url])
        .args(["--org", "default", "--project", "shop", "--key", "till"])
        .args(["--version", "2.0.0"])
        .env("AIRLIFT_TOKEN", &works.token)
        .current_dir(works.folder.path())
        .run()
        .good();
    let make = |thing: &str, protocols: &[&str], url: &str| {
        let document = json!({"afr_ota": {"protocols": protocols, "streamname": "gone", "files": [{
            "filepath": "firmware.bin", "filesize": app.len(), "fileid": 0, "certfile": "code-sign.pem",
            "update_data_url": url, "auth_scheme": null, "sig-sha256-ecdsa": signature(&app),
        }]}});
        works.write("job.json", document.to_string().as_bytes());
        works
            .job(&["create", "--job-id", thing, "--thing", thing])
            .args(["--document", "job.json"])
            .run()
            .good();
    };
    let refused = |thing: &str, more: &[&str]| -> Value {
        let ended = works.device(thing, more).run();
        ended.refused(&["the server was told"]);
        works.execution(thing, thing).1["cause"].clone()
    };
    let url = format!("{}/ota_update/default/shop/any/till", works.server.url);

    make("a", &["HTTP"], &url);
    let cut = works.device("a", &["--power-cut-at", "150000"]).run();
    cut.refused(&["power"]);
    let all = succeeded(works.device("a", &[]).run());
    let offset = find(&all, "offered").expect("a download")["offset"].as_u64();
    let expected = Some(140_000)..=Some(150_000);
    assert!(expected.contains(&offset), "{offset:?}");
    works.runs("a", "2.0.0");

    make("d", &["HTTP"], &bare_server(app.clone()));
    succeeded(works.device("d", &[]).run());
    works.runs("d", "2.0.0");

    make("b", &["HTTP"], &url);
    let cause = refused("b", &["--flip-byte", "70000"]);
    assert_eq!(cause, "image-checksum");
    works.runs("b", "1.0.0");

    // Nothing there; an address that this device cannot reach; and where there is a choice, the stream it is.
    let https = url.replace("http:", "https:");
    for (protocols, url, cause) in [
        (&["HTTP"][..], url.replace("till", "other"), "http-status"),
        (&["HTTP", "MQTT"], url, "ResourceNotFound"),
    ] {
        make("c", protocols, &url);
        assert_eq!(refused("c", &[]), cause);
        works.job(&["delete", "c", "--force"]).run().good();
    }
    make("c", &["HTTP"], &https);
    refused("c", &[]);
    let (status, details) = works.execution("c", "c");
    assert_eq!(
        (status, details),
        (
            "REJECTED".into(),
            json!({"reason": "only-http", "field": "update_data_url"})
        )
    );
}
