//! Answers, blocks of files and notices, as they come over a connection.

use std::time::Duration;

use serde_json::json;

use super::client::{Client, Hello, V3, V5};
use super::{document, server, topic};
use crate::harness::TestServer;

/// The name of the stream that carries the file of the next job.
async fn stream_of_next<S>(client: &mut Client<S>, thing: &str) -> String
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let next = client
        .ask(&topic(thing, "jobs/start-next"), "{}")
        .await
        .json();
    let stream = &next["execution"]["jobDocument"]["afr_ota"]["streamname"];
    stream.as_str().expect("a stream").to_owned()
}

/// A server where `dev-1` has a job with a file of this size.
async fn with_file(size: usize) -> (TestServer, Vec<u8>) {
    let server = server().await;
    drop(server.client(V3).await);
    let file: Vec<u8> = (0..size)
        .map(|at| u8::try_from(at / 7 % 251).unwrap())
        .collect();
    server.job_with_file("j1", &["dev-1"], &file).await;
    (server, file)
}

#[tokio::test]
async fn answers_come_without_a_subscription_and_to_the_one_who_asked() {
    let server = server().await;
    for (hello, id) in [(V3, None), (V3, Some(5)), (V5, None), (V5, Some(5))] {
        let mut client = server.client(hello.clone()).await;
        let asked = topic("dev-1", "jobs/get");
        client.publish(&asked, r#"{"clientToken":"t"}"#, id).await;
        if id.is_some() {
            assert_eq!(
                client.receive().await,
                Some((0x40, vec![0, 5])),
                "{hello:?}"
            );
        }
        let answer = client.message().await;
        assert_eq!(answer.topic, format!("{asked}/accepted"));
        assert_eq!(answer.json()["clientToken"], "t");
        // Without a subscription, nothing that would have to be acknowledged.
        assert_eq!(answer.id, None);
    }
}

#[tokio::test]
async fn the_qos_is_that_of_the_subscription() {
    let server = server().await;
    for hello in [V3, V5] {
        let mut client = server.client(hello).await;
        let asked = topic("dev-1", "jobs/get");
        let all = topic("dev-1", "#");
        assert_eq!(client.subscribe(&[(&all, 1)]).await, [1]);
        let first = client.ask(&asked, "{}").await;
        let second = client.ask(&asked, "{}").await;
        assert_eq!((first.id, second.id), (Some(1), Some(2)));
        assert_eq!(client.subscribe(&[(&all, 0)]).await, [0]);
        assert_eq!(client.ask(&asked, "{}").await.id, None);
    }
}

#[tokio::test]
async fn no_more_is_in_flight_than_the_client_takes() {
    let server = server().await;
    let two_at_once = b"\x21\x00\x02";
    let mut client = server
        .client(Hello {
            properties: two_at_once,
            ..V5
        })
        .await;
    client.subscribe(&[("$aws/things/dev-1/#", 1)]).await;
    let asked = topic("dev-1", "jobs/get");
    for _ in 0..5 {
        client.publish(&asked, "{}", None).await;
    }
    let first = client.message().await.id.unwrap();
    let second = client.message().await.id.unwrap();
    // The third waits; the connection does not.
    client.ping().await;
    client.acknowledge(first).await;
    let third = client.message().await.id.unwrap();
    client.ping().await;
    client.acknowledge(second).await;
    client.acknowledge(third).await;
    client.message().await;
    client.message().await;
    client.ping().await;
}

#[tokio::test]
async fn what_the_client_cannot_take_is_left_out() {
    let server = server().await;
    // Packets of 80 bytes: an empty list of jobs with its topic is longer.
    let mut client = server
        .client(Hello {
            properties: b"\x27\x00\x00\x00\x50",
            ..V5
        })
        .await;
    client
        .publish(&topic("dev-1", "jobs/get"), "{}", None)
        .await;
    client.ping().await;
}

#[tokio::test]
async fn notices_come_to_those_who_have_subscribed() {
    let server = server().await;
    let mut client = server.client(V3).await;
    server.job_for("unseen", &["dev-1"], document()).await;
    client.ping().await;

    let next = topic("dev-1", "jobs/notify-next");
    client.subscribe(&[(&next, 1)]).await;
    let deleted = crate::harness::send(server.api("DELETE", "/dev/jobs/unseen?force=true")).await;
    assert!(deleted.status < 300, "{deleted:?}");
    let nothing_left = client.message().await;
    assert_eq!(nothing_left.topic, next);
    assert_eq!(nothing_left.json().get("execution"), None);
    server.job_for("seen", &["dev-1"], document()).await;
    let notice = client.message().await;
    assert_eq!(notice.json()["execution"]["jobId"], "seen");
    assert_eq!(notice.id, Some(2));

    // The other list, by a wildcard.
    client.subscribe(&[("$aws/things/dev-1/+/notify", 0)]).await;
    server.job_for("third", &["dev-1"], document()).await;
    let list = client.message().await;
    assert_eq!(list.topic, topic("dev-1", "jobs/notify"));
    let queued = &list.json()["jobs"]["QUEUED"];
    assert_eq!(queued.as_array().map(Vec::len), Some(2), "{queued}");
}

#[tokio::test]
async fn a_file_comes_in_blocks() {
    let (server, file) = with_file(10_000).await;
    for hello in [V3, V5] {
        let mut client = server.client(hello).await;
        let stream = stream_of_next(&mut client, "dev-1").await;
        let get = topic("dev-1", &format!("streams/{stream}/get/cbor"));
        // {"c": "rdy", "f": 0, "l": 4096, "o": 0, "n": 3}
        let request = b"\xa5\x61c\x63rdy\x61f\x00\x61l\x19\x10\x00\x61o\x00\x61n\x03";
        client.publish(&get, request, None).await;
        let mut received = Vec::new();
        for block in 0..3_u8 {
            let message = client.message().await;
            assert_eq!(
                message.topic,
                topic("dev-1", &format!("streams/{stream}/data/cbor"))
            );
            let bytes =
                &file[usize::from(block) * 4096..file.len().min((usize::from(block) + 1) * 4096)];
            assert!(
                message
                    .payload
                    .windows(bytes.len())
                    .any(|part| part == bytes)
            );
            received.extend_from_slice(bytes);
        }
        assert_eq!(received, file);
    }
}

#[tokio::test]
async fn many_requests_at_once_are_answered_in_order() {
    let (server, _) = with_file(40_960).await;
    let mut client = server.client(V3).await;
    let stream = stream_of_next(&mut client, "dev-1").await;
    let get = topic("dev-1", &format!("streams/{stream}/get/json"));
    for block in 0..40 {
        let request = json!({"f": 0, "l": 1024, "o": block, "n": 1}).to_string();
        client.publish(&get, request, None).await;
    }
    for block in 0..40 {
        assert_eq!(client.message().await.json()["i"], block);
    }
}

#[tokio::test]
async fn what_a_device_asked_before_it_hung_up_is_done() {
    let server = server().await;
    drop(server.client(V3).await);
    server.job_for("j1", &["dev-1"], document()).await;
    let status = async || {
        let shown = server.get("/dev/jobs/j1/executions").await.body;
        shown["executions"][0]["status"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let mut client = server.client(V3).await;
    let update = client.publish_bytes(
        &topic("dev-1", "jobs/j1/update"),
        br#"{"status":"SUCCEEDED"}"#,
        None,
    );
    // The report and DISCONNECT in one segment, and nobody there to hear the answer.
    client.send(&[update, vec![0xe0, 0]].concat()).await;
    drop(client);
    let started = std::time::Instant::now();
    while status().await != "SUCCEEDED" {
        assert!(started.elapsed() < super::SOON, "{}", status().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
