//! Clients that are broken or mean: they cost little, and the others nothing.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::client::{Client, Hello, V3, V5, packet, text};
use super::{memory, server, server_with, topic};
use crate::harness::TestServer;

impl TestServer {
    /// A thing that behaves is answered, and soon.
    async fn is_well(&self) {
        let started = Instant::now();
        let mut client = self
            .client(Hello {
                client_id: "good",
                ..V3
            })
            .await;
        client.ask(&topic("good", "jobs/get"), "{}").await;
        client.ping().await;
        let time = started.elapsed();
        assert!(time < Duration::from_secs(3), "{time:?}");
    }
}

/// A small generator, seeded.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }
}

/// Good packets, each to be damaged.
fn samples() -> Vec<Vec<u8>> {
    let get = text(&topic("bad", "jobs/get"));
    let all = text("$aws/things/bad/#");
    vec![
        packet(0x30, &[&get[..], b"{}"].concat()),
        packet(0x32, &[&get[..], &[0, 1], b"{}"].concat()),
        packet(0x32, &[&get[..], &[0, 1, 0], b"{}"].concat()),
        packet(0x82, &[&[0, 1], &all[..], &[1]].concat()),
        packet(0x82, &[&[0, 1, 0], &all[..], &[1]].concat()),
        packet(0xa2, &[&[0, 1], &all[..]].concat()),
        packet(0x40, &[0, 1]),
        packet(0xc0, &[]),
        packet(0xe0, &[]),
        packet(0xe0, &[0, 5, 0x11, 0, 0, 0, 9]),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_malformed_connections_do_no_harm() {
    let server = server().await;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let samples = samples();
    for round in 0..3000 {
        let hello = if random.below(2) == 0 { V3 } else { V5 };
        let mut bytes = Hello {
            client_id: "bad",
            ..hello
        }
        .bytes();
        let mut from = 0;
        if random.below(5) > 0 {
            // The introduction is fine; what follows is not.
            from = bytes.len();
            bytes.extend_from_slice(&samples[random.below(samples.len())]);
        }
        for _ in 0..=random.below(3) {
            let at = from + random.below(bytes.len().saturating_sub(from).max(1));
            match random.below(4) {
                0 if at < bytes.len() => bytes[at] = random.byte(),
                1 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
                2 => bytes.insert(at, random.byte()),
                _ => bytes.truncate(at.max(1)),
            }
        }
        let mut client = Client::open(server.mqtt()).await;
        // It may be closed in the middle.
        let _ = client.io.write_all(&bytes).await;
        let _ = client.io.shutdown().await;
        let mut answer = Vec::new();
        let read = client.io.read_to_end(&mut answer);
        let ended = tokio::time::timeout(Duration::from_secs(15), read).await;
        assert!(ended.is_ok(), "round {round}: {bytes:02x?} is still open");
    }
    server.is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn noise_is_dropped() {
    let server = server().await;
    let mut random = Random(1);
    for address in [server.mqtt(), server.mqtts()] {
        for _ in 0..200 {
            let length = 1 + random.below(300);
            let bytes: Vec<u8> = (0..length).map(|_| random.byte()).collect();
            let mut client = Client::open(address).await;
            let _ = client.io.write_all(&bytes).await;
            let _ = client.io.shutdown().await;
            let mut answer = Vec::new();
            let read = client.io.read_to_end(&mut answer);
            tokio::time::timeout(Duration::from_secs(15), read)
                .await
                .expect("it is closed")
                .ok();
        }
    }
    server.is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_asks_for_much_and_reads_nothing_costs_little() {
    let server = server().await;
    let names: Vec<String> = (0..20).map(|number| format!("greedy-{number}")).collect();
    for name in &names {
        drop(
            server
                .client(Hello {
                    client_id: name,
                    ..V3
                })
                .await,
        );
    }
    let things: Vec<&str> = names.iter().map(String::as_str).collect();
    server.job_with_file("j1", &things, &vec![7; 4 << 20]).await;

    let mut clients = Vec::new();
    let mut asked = Vec::new();
    for name in &names {
        let mut client = server
            .client(Hello {
                client_id: name,
                ..V3
            })
            .await;
        let next = client
            .ask(&topic(name, "jobs/start-next"), "{}")
            .await
            .json();
        let stream = &next["execution"]["jobDocument"]["afr_ota"]["streamname"];
        let get = topic(
            name,
            &format!("streams/{}/get/json", stream.as_str().unwrap()),
        );
        asked.push(client.publish_bytes(&get, br#"{"f":0,"l":131072,"o":0,"n":1}"#, None));
        clients.push(client);
    }
    let before = memory();
    // 3200 requests each, for 128 KiB each: 400 MB a client, 8 GB in all. They are taken only as far as they are answered.
    for (client, request) in clients.iter_mut().zip(&asked) {
        let all = request.repeat(3200);
        let flood = client.io.write_all(&all);
        let _ = tokio::time::timeout(Duration::from_millis(300), flood).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let grown = memory().saturating_sub(before);
    // Of each client: one answer of 175 KB that waits, another in the making, 16 requests.
    assert!(grown < 20 << 20, "{} KiB for 20 clients", grown >> 10);
    println!("{} KiB a client", (grown >> 10) / clients.len());
    server.is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_nothing_is_given_up() {
    let server = server_with(|config| config.stall_timeout = Duration::from_millis(500)).await;
    drop(server.client(V3).await);
    server
        .job_with_file("j1", &["dev-1"], &vec![7; 4 << 20])
        .await;
    let mut client = server.client(V3).await;
    let next = client
        .ask(&topic("dev-1", "jobs/start-next"), "{}")
        .await
        .json();
    let stream = &next["execution"]["jobDocument"]["afr_ota"]["streamname"];
    let get = topic(
        "dev-1",
        &format!("streams/{}/get/json", stream.as_str().unwrap()),
    );
    let request = client.publish_bytes(&get, br#"{"f":0,"l":131072,"o":0,"n":1}"#, None);
    // 200 answers of 175 KB: more than the sockets hold.
    let _ = tokio::time::timeout(
        Duration::from_millis(500),
        client.io.write_all(&request.repeat(200)),
    )
    .await;
    let started = Instant::now();
    loop {
        let shown = server.get("/dev/things/dev-1").await.body;
        if shown["connected"] == false {
            break;
        }
        assert!(started.elapsed() < super::SOON, "{shown}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_do_not_keep_the_others_waiting() {
    let server = server().await;
    let mut floods = Vec::new();
    for number in 0..4 {
        let name = format!("flood-{number}");
        let client = server
            .client(Hello {
                client_id: &name,
                ..V3
            })
            .await;
        let requests = [
            client.publish_bytes(&topic(&name, "jobs/start-next"), b"{}", None),
            client.publish_bytes(&topic(&name, "jobs/get"), b"not JSON", None),
            packet(0xc0, &[]),
            packet(
                0x82,
                &[&[0, 1], &text(&topic(&name, "#"))[..], &[0]].concat(),
            ),
        ]
        .concat();
        let (mut read, mut write) = client.io.into_split();
        let reading = tokio::spawn(async move {
            let mut answers = vec![0; 1 << 16];
            while read.read(&mut answers).await.is_ok_and(|read| read > 0) {}
        });
        let writing =
            tokio::spawn(
                async move { while write.write_all(&requests.repeat(100)).await.is_ok() {} },
            );
        floods.push((reading, writing));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    for _ in 0..5 {
        server.is_well().await;
    }
    for (reading, writing) in floods {
        reading.abort();
        writing.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_open_connections_leave_room_for_others() {
    let server = server().await;
    let mut half_open = Vec::new();
    for _ in 0..1024 {
        half_open.push(Client::open(server.mqtt()).await);
    }
    // One more from this address is not waited for.
    let mut one_more = Client::open(server.mqtt()).await;
    assert_eq!(one_more.end().await, None);
    half_open.truncate(1000);
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_idle_things_cost_little() {
    let server = server().await;
    // What the first ones make the server and this test set up is not counted.
    let mut clients = Vec::new();
    for number in 0..200 {
        let name = format!("warm-{number}");
        clients.push(
            server
                .client(Hello {
                    client_id: &name,
                    ..V3
                })
                .await,
        );
    }
    let before = memory();
    for number in 0..1000 {
        let name = format!("idle-{number}");
        let mut client = server
            .client(Hello {
                client_id: &name,
                ..V3
            })
            .await;
        client
            .subscribe(&[(&topic(&name, "jobs/notify-next"), 0)])
            .await;
        clients.push(client);
    }
    let each = memory().saturating_sub(before) / 1000;
    // With the client's half, which is in this process, too.
    println!("{each} bytes a thing");
    assert!(each < 16 << 10, "{each} bytes a thing");
    for client in &mut clients {
        client.ping().await;
    }
}
