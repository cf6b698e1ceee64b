//! Clients that others wrote: what CoreOTA's orchestrators, the older FreeRTOS agent and `mosquitto` do, step by step.

use std::process::Command;
use std::time::Duration;

use airlift_formats::aws::Format;
use airlift_formats::aws::streams::Data;
use serde_json::{Value, json};

use crate::harness::image;
use crate::lossy::Weather;
use crate::mqtt_client::Client;
use crate::works::Works;

/// A number as the C library's encoder writes it: as short as can be.
fn number(value: usize) -> Vec<u8> {
    match value {
        0..24 => vec![value as u8],
        24..256 => vec![0x18, value as u8],
        256..65536 => [&[0x19][..], &(value as u16).to_be_bytes()].concat(),
        _ => [&[0x1A][..], &(value as u32).to_be_bytes()].concat(),
    }
}

/// `mqttDownloader_createGetDataBlockRequest` in CBOR: with the bitmap `MQ==`, whatever it is asked for.
fn get_block(file: usize, size: usize, block: usize) -> Vec<u8> {
    let fields: [(u8, &[u8]); 6] = [
        (b'c', b"\x63rdy"),
        (b'f', &number(file)),
        (b'l', &number(size)),
        (b'o', &number(block)),
        (b'b', b"\x44MQ=="),
        (b'n', &number(1)),
    ];
    let mut request = vec![0xA6];
    for (key, value) in fields {
        request.extend_from_slice(&[0x61, key]);
        request.extend_from_slice(value);
    }
    request
}

#[test]
fn the_requests_are_those_of_the_c_library() {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/golden/aws/requests/"
    );
    for (name, file, size, block) in [
        ("get_f0_l131072_o0_n1.cbor", 0, 131_072, 0),
        ("get_f0_l4096_o65535_n1.cbor", 0, 4096, 65_535),
        ("get_f1_l1024_o7_n1.cbor", 1, 1024, 7),
    ] {
        let golden = std::fs::read(format!("{folder}{name}")).expect("golden vectors");
        assert_eq!(get_block(file, size, block), golden, "{name}");
    }
}

/// What a device needs of a job.
struct Job {
    id: String,
    stream: String,
    file: usize,
    size: usize,
    details: Value,
}

fn job_of(payload: &[u8]) -> Option<Job> {
    let answer: Value = serde_json::from_slice(payload).expect("JSON");
    let execution = answer.get("execution")?;
    let update = &execution["jobDocument"]["afr_ota"];
    assert_eq!(update["protocols"], json!(["MQTT"]));
    let file = &update["files"][0];
    let number = |name: &str| file[name].as_u64().expect("a number") as usize;
    Some(Job {
        id: execution["jobId"].as_str().expect("an identifier").into(),
        stream: update["streamname"].as_str().expect("a stream").into(),
        file: number("fileid"),
        size: number("filesize"),
        details: execution["statusDetails"].clone(),
    })
}

const START: &[u8] = br#"{"clientToken":"test"}"#;
const SUCCEEDED: &[u8] = br#"{"status":"SUCCEEDED","expectedVersion":"2"}"#;

/// `demo/simple-Ota-Orchestrator`: QoS 0 without a timer, CBOR, one block at a time, put one behind the other as they come.
/// `subscribes`: to the blocks, as the demo does; it never subscribes to anything else.
fn simple_orchestrator(url: &str, thing: &str, block_size: usize, subscribes: bool) -> Vec<u8> {
    let things = format!("$aws/things/{thing}");
    let mut client = Client::connect(url, thing);
    client.publish(&format!("{things}/jobs/start-next"), START);
    let (topic, payload) = client.next().expect("a job");
    assert_eq!(topic, format!("{things}/jobs/start-next/accepted"));
    let job = job_of(&payload).expect("a job");
    let stream = format!("{things}/streams/{}", job.stream);
    if subscribes {
        client.subscribe(&format!("{stream}/data/cbor"));
    }
    let mut file = Vec::new();
    let mut block = 0;
    while file.len() < job.size {
        let request = get_block(job.file, block_size, block);
        client.publish(&format!("{stream}/get/cbor"), &request);
        let (topic, payload) = client.next().expect("a block");
        assert_eq!(topic, format!("{stream}/data/cbor"));
        let data = Data::parse(Format::Cbor, &payload).expect("a block");
        // The library has a buffer of one block.
        let mut buffer = vec![0; block_size];
        let count = data.payload.copy_to(&mut buffer).expect("its bytes");
        assert_eq!(count, data.len as usize);
        file.extend_from_slice(&buffer[..count]);
        block += 1;
    }
    client.publish(&format!("{things}/jobs/{}/update", job.id), SUCCEEDED);
    let (topic, _) = client.next().expect("an answer");
    assert_eq!(topic, format!("{things}/jobs/{}/update/accepted", job.id));
    file
}

#[test]
fn coreota_that_subscribes_to_next_to_nothing_is_served() {
    let works = Works::new(&["core"]);
    let whole = image("2.0.0", 20_000);
    // Blocks that come out even, ones that do not, and a file of one byte.
    for (number, (size, block_size, subscribes)) in [
        (16_384, 4096, true),
        (16_384, 256, false),
        (whole.len(), 256, true),
        (whole.len(), 1024, false),
        (1, 4096, false),
    ]
    .into_iter()
    .enumerate()
    {
        works.write("app.bin", &whole[..size]);
        let id = format!("job-{number}");
        works.make(&id, &["core"], &["app.bin"]);
        let file = simple_orchestrator(works.mqtt(), "core", block_size, subscribes);
        assert!(file == whole[..size], "{id}: another file");
        assert_eq!(works.execution(&id, "core").0, "SUCCEEDED");
    }
}

/// `demo/ota-Agent-Orchestrator`: subscribes to nothing at all, JSON, and fetches what its bitmap lacks.
#[test]
fn the_agent_of_coreota_takes_up_its_job_after_a_restart() {
    let works = Works::new(&["agent"]);
    let whole = image("2.0.0", 6000);
    works.write("app.bin", &whole);
    works.make("job", &["agent"], &["app.bin"]);
    let things = "$aws/things/agent";
    let mut have = vec![None; whole.len().div_ceil(256)];
    for fetches in [10, have.len() - 10] {
        let mut client = Client::connect(works.mqtt(), "agent");
        client.publish(&format!("{things}/jobs/start-next"), START);
        let (_, payload) = client.next().expect("an answer");
        let job = job_of(&payload).expect("a job, and the same one again");
        assert_eq!(job.id, "job");
        let stream = format!("{things}/streams/{}", job.stream);
        for _ in 0..fetches {
            let missing = have.iter().position(Option::is_none).expect("a gap");
            let file = job.file;
            let request = format!(r#"{{"s": 1,"f": {file},"l": 256,"o": {missing},"n": 1}}"#);
            client.publish(&format!("{stream}/get/json"), request.as_bytes());
            let (topic, payload) = client.next().expect("a block");
            assert_eq!(topic, format!("{stream}/data/json"));
            let data = Data::parse(Format::Json, &payload).expect("a block");
            let mut buffer = [0; 256];
            let count = data.payload.copy_to(&mut buffer).expect("base64");
            have[data.block as usize] = Some(buffer[..count].to_vec());
        }
        // That it started twice has not changed the version: the firmware knows no other than "2".
        if have.iter().all(Option::is_some) {
            client.publish(&format!("{things}/jobs/job/update"), SUCCEEDED);
            let (topic, _) = client.next().expect("an answer");
            assert_eq!(topic, format!("{things}/jobs/job/update/accepted"));
        }
    }
    let file: Vec<u8> = have.into_iter().flatten().flatten().collect();
    assert!(file == whole, "another file");
    assert_eq!(works.execution("job", "agent").0, "SUCCEEDED");
}

/// What `ota_cbor.c` writes: a bitmap of all blocks of the file that are missing.
fn get_missing(file: usize, have: &[Option<Vec<u8>>], count: usize) -> Vec<u8> {
    let mut bitmap = vec![0_u8; have.len().div_ceil(8)];
    for (block, _) in have.iter().enumerate().filter(|(_, have)| have.is_none()) {
        bitmap[block / 8] |= 1 << (block % 8);
    }
    assert!(bitmap.len() < 24, "its length has a byte of its own");
    [
        &b"\xa6\x61c\x63rdy\x61f"[..],
        &number(file),
        b"\x61l\x19\x10\x00\x61o\x00\x61b",
        &[0x40 | bitmap.len() as u8],
        &bitmap,
        b"\x61n",
        &number(count),
    ]
    .concat()
}

/// The FreeRTOS agent before CoreOTA: describes its job instead of starting it, and has timers, bitmaps and a self-test.
struct OldAgent {
    client: Client,
    things: String,
}

impl OldAgent {
    /// `otaconfigMAX_NUM_BLOCKS_REQUEST`
    const BLOCKS: usize = 8;
    /// `otaconfigMAX_NUM_REQUEST_MOMENTUM`
    const MOMENTUM: usize = 32;

    fn boot(url: &str, thing: &str) -> Self {
        let mut client = Client::connect(url, thing);
        client.set_patience(Duration::from_millis(300));
        let things = format!("$aws/things/{thing}");
        client.subscribe(&format!("{things}/jobs/notify-next"));
        Self { client, things }
    }

    /// `surely`: with QoS 1. Progress is told without.
    fn update(&mut self, surely: bool, status: &str, details: &Value) {
        let topic = format!("{}/jobs/job/update", self.things);
        let message = json!({"status": status, "statusDetails": details}).to_string();
        match surely {
            true => self.client.publish_surely(&topic, message.as_bytes()),
            false => self.client.publish(&topic, message.as_bytes()),
        }
    }

    /// Asks until there is an answer.
    fn job(&mut self) -> Option<Job> {
        let topic = format!("{}/jobs/$next/get", self.things);
        for _ in 0..Self::MOMENTUM {
            self.client
                .publish_surely(&topic, br#"{"clientToken":"0:old"}"#);
            while let Some((topic, payload)) = self.client.next() {
                if topic.ends_with("/jobs/$next/get/accepted") {
                    return job_of(&payload);
                }
            }
        }
        panic!("no answer");
    }

    fn download(&mut self, job: &Job) -> Vec<u8> {
        let stream = format!("{}/streams/{}", self.things, job.stream);
        self.client.subscribe(&format!("{stream}/data/cbor"));
        let blocks = job.size.div_ceil(4096);
        let mut have: Vec<Option<Vec<u8>>> = vec![None; blocks];
        let mut unanswered = 0;
        while let missing @ 1.. = have.iter().filter(|have| have.is_none()).count() {
            let request = get_missing(job.file, &have, Self::BLOCKS);
            self.client.publish(&format!("{stream}/get/cbor"), &request);
            unanswered += 1;
            assert!(unanswered <= Self::MOMENTUM, "it would give up now");
            for _ in 0..missing.min(Self::BLOCKS) {
                let Some((topic, payload)) = self.client.next() else {
                    break;
                };
                if !topic.ends_with("/data/cbor") {
                    continue;
                }
                unanswered = 0;
                let data = Data::parse(Format::Cbor, &payload).expect("a block");
                let block = data.block as usize;
                // `validateDataBlock`: another length ends the job.
                let expected = (job.size - block * 4096).min(4096);
                let came = (data.file as usize, data.len as usize);
                assert_eq!(came, (job.file, expected));
                if have[block].is_some() {
                    continue;
                }
                let mut buffer = [0; 4096];
                let count = data.payload.copy_to(&mut buffer).expect("its bytes");
                have[block] = Some(buffer[..count].to_vec());
                let got = have.iter().flatten().count();
                if got == 1 || got.is_multiple_of(64) {
                    let details = json!({"receive": format!("{got}/{blocks}")});
                    self.update(false, "IN_PROGRESS", &details);
                }
            }
        }
        have.into_iter().flatten().flatten().collect()
    }

    /// Takes what still comes.
    fn listen(&mut self) {
        while self.client.next().is_some() {}
    }
}

#[test]
fn the_older_agent_is_served_on_a_bad_network_and_through_its_self_test() {
    let works = Works::new(&["old"]);
    let app = image("1.2.3", 300_000);
    works.write("app.bin", &app);
    works.make("job", &["old"], &["app.bin"]);
    let weather = Weather {
        seed: 3,
        lost: 8,
        doubled: 8,
        late: 8,
        ..Weather::FINE
    };
    let network = works.network(weather);

    let mut agent = OldAgent::boot(&network.url(), "old");
    let job = agent.job().expect("a job");
    assert_eq!((job.id.as_str(), &job.details), ("job", &Value::Null));
    // It describes, and so the job has not begun.
    assert_eq!(works.execution("job", "old").0, "QUEUED");
    assert!(agent.download(&job) == app, "another file");
    let ready = json!({"self_test": "ready", "updatedBy": "0x01020002"});
    agent.update(true, "IN_PROGRESS", &ready);
    agent.listen();
    assert_eq!(
        works.execution("job", "old"),
        ("IN_PROGRESS".into(), ready.clone())
    );

    // It restarts into the new image, and finds the same job, with what it said.
    let mut agent = OldAgent::boot(&network.url(), "old");
    let job = agent.job().expect("the same job");
    assert_eq!(job.details, ready);
    let active = json!({"self_test": "active", "updatedBy": "0x01020002"});
    agent.update(true, "IN_PROGRESS", &active);
    let accepted = json!({"reason": "accepted  v1.2.3", "updatedBy": "  v1.2.2"});
    agent.update(true, "SUCCEEDED", &accepted);
    agent.listen();
    assert_eq!(
        works.execution("job", "old"),
        ("SUCCEEDED".into(), accepted)
    );
    assert!(agent.job().is_none());
    let counts = network.counts();
    assert!(counts.lost() > 0 && counts.doubled() > 0 && counts.late() > 0);
}

/// `mosquitto_pub` and `mosquitto_sub` have the whole conversation, and put the file together.
#[test]
fn a_foreign_client_does_a_job_by_script() {
    let works = Works::new(&["old-one"]);
    let app = image("2.0.0", 20_000);
    works.write("app.bin", &app);
    works.make("job", &["old-one"], &["app.bin"]);
    let port = works.mqtt().rsplit(':').next().expect("a port");
    let ask = |topic: &str, answers: &str, message: &str, count: usize| -> Vec<Vec<u8>> {
        let topic = format!("$aws/things/old-one/{topic}");
        let answers = format!("$aws/things/old-one/{answers}");
        let output = Command::new("mosquitto_rr")
            .args(["-h", "127.0.0.1", "-p", port, "-i", "old-one", "-W", "10"])
            .args(["-t", &topic, "-e", &answers, "-m", message, "-F", "%x"])
            .output()
            .expect("mosquitto_rr (Debian: mosquitto-clients)");
        let text = String::from_utf8(output.stdout).expect("hexadecimal");
        let messages: Vec<Vec<u8>> = text.lines().map(bytes_of).collect();
        assert_eq!(messages.len(), count, "{topic}: {text}");
        messages
    };
    let started = ask("jobs/start-next", "jobs/start-next/accepted", "{}", 1);
    let started: Value = serde_json::from_slice(&started[0]).expect("JSON");
    let execution = &started["execution"];
    assert_eq!(execution["status"], "IN_PROGRESS");
    let document = &execution["jobDocument"]["afr_ota"];
    let stream = document["streamname"].as_str().expect("a stream");
    let size = document["files"][0]["filesize"].as_u64().expect("a size");
    assert_eq!(size, app.len() as u64);
    let mut file = Vec::new();
    while (file.len() as u64) < size {
        let block = file.len() / 4096;
        let message = format!(r#"{{"s": 1,"f": 0,"l": 4096,"o": {block},"n": 1}}"#);
        let get = format!("streams/{stream}/get/json");
        let data = ask(&get, &format!("streams/{stream}/data/json"), &message, 1);
        let data = Data::parse(Format::Json, &data[0]).expect("a block");
        assert_eq!(data.block as usize, block);
        let mut bytes = [0; 4096];
        let count = data.payload.copy_to(&mut bytes).expect("base64");
        file.extend_from_slice(&bytes[..count]);
    }
    assert_eq!(file, app);
    let update = r#"{"status":"SUCCEEDED","expectedVersion":"2"}"#;
    ask("jobs/job/update", "jobs/job/update/accepted", update, 1);
    assert_eq!(works.execution("job", "old-one").0, "SUCCEEDED");
    // Nothing more to do.
    let next = ask("jobs/start-next", "jobs/start-next/accepted", "{}", 1);
    let next: Value = serde_json::from_slice(&next[0]).expect("JSON");
    assert!(next.get("execution").is_none(), "{next}");
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .chars()
        .filter_map(|digit| digit.to_digit(16).map(|digit| digit as u8))
        .collect();
    digits
        .as_chunks::<2>()
        .0
        .iter()
        .map(|[high, low]| high << 4 | low)
        .collect()
}
