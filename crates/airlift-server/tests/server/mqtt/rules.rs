//! What a thing may publish and subscribe to: its own, and nothing else.

use super::client::{Client, Hello, V3, V5, packet, text};
use super::{server, topic};

#[tokio::test]
async fn a_thing_subscribes_to_its_own_topics_only() {
    let server = server().await;
    for (hello, denied) in [(V3, 0x80), (V5, 0x87)] {
        let mut client = server.client(hello).await;
        let codes = client
            .subscribe(&[
                ("$aws/things/dev-1/jobs/notify-next", 0),
                ("$aws/things/dev-1/#", 1),
                ("$aws/things/dev-1/jobs/+/update/accepted", 2),
                ("$aws/things/dev-2/#", 1),
                ("$aws/things/+/jobs/notify", 1),
                ("$aws/#", 1),
                ("#", 0),
                ("$aws/things/dev-1", 0),
                ("$aws/things/dev-10/jobs/notify", 0),
            ])
            .await;
        // QoS 2 is granted as 1.
        assert_eq!(
            codes,
            [0, 1, 1, denied, denied, denied, denied, denied, denied]
        );
        client.ping().await;
    }
}

#[tokio::test]
async fn a_message_to_anybody_else_is_refused_before_anything_is_answered() {
    let server = server().await;
    for elsewhere in [
        "$aws/things/dev-2/jobs/start-next",
        "$aws/things/dev-1",
        "$aws/events/job/j/completed",
        "$SYS/broker/clients",
        "sensors/dev-1",
        "$aws/things/dev-1/jobs/\u{1}",
        "",
    ] {
        // MQTT 3.1.1 has no words for it: no acknowledgement, and the end.
        for id in [None, Some(7)] {
            let mut client = server.client(V3).await;
            client.publish(elsewhere, "{}", id).await;
            assert_eq!(client.end().await, None, "{elsewhere:?} {id:?}");
        }
        // MQTT 5: the acknowledgement says no, and the connection goes on; without one, the end of the connection says it.
        let mut client = server.client(V5).await;
        client.publish(elsewhere, "{}", Some(7)).await;
        let refused = client.receive().await;
        assert_eq!(refused, Some((0x40, vec![0, 7, 0x87])), "{elsewhere:?}");
        client.ping().await;
        client.publish(elsewhere, "{}", None).await;
        assert_eq!(client.end().await, Some(0x87), "{elsewhere:?}");
    }
}

#[tokio::test]
async fn nothing_that_one_thing_publishes_reaches_another() {
    let server = server().await;
    let mut listener = server
        .client(Hello {
            client_id: "dev-2",
            ..V5
        })
        .await;
    listener.subscribe(&[("$aws/things/dev-2/#", 0)]).await;
    let mut client = server.client(V5).await;
    client
        .publish(&topic("dev-2", "jobs/notify"), "{}", Some(1))
        .await;
    assert!(client.receive().await.is_some());
    client.ask(&topic("dev-1", "jobs/get"), "{}").await;
    // Not to itself either: it is no broker.
    client.subscribe(&[("$aws/things/dev-1/#", 0)]).await;
    client.publish(&topic("dev-1", "chat"), "hello", None).await;
    client.ping().await;
    listener.ping().await;
}

#[tokio::test]
async fn messages_that_cannot_be_kept_as_asked_are_refused() {
    let server = server().await;
    let own = topic("dev-1", "jobs/get");
    // QoS 2, to be retained, a topic alias: not offered, and refused in the words of MQTT 5.
    for (first, tail, reason) in [
        (0x34, &[0, 1, 0][..], 0x9b),
        (0x31, &[0], 0x9a),
        (0x30, &[3, 0x23, 0, 1], 0x94),
    ] {
        let mut client = server.client(V5).await;
        client
            .send(&packet(first, &[&text(&own), tail].concat()))
            .await;
        assert_eq!(client.end().await, Some(reason));
    }
    let mut client = server.client(V3).await;
    client
        .send(&packet(0x34, &[&text(&own)[..], &[0, 1]].concat()))
        .await;
    assert_eq!(client.end().await, None);
    // MQTT 3.1.1 cannot be told that nothing is retained: the request counts.
    let mut client = server.client(V3).await;
    client
        .send(&packet(0x31, &[text(&own), b"{}".to_vec()].concat()))
        .await;
    assert_eq!(
        client.message().await.topic,
        topic("dev-1", "jobs/get/accepted")
    );
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let server = server().await;
    let own = topic("dev-1", "jobs/get");
    let fits = vec![b' '; 128 << 10];
    let too_large = vec![b' '; (128 << 10) + 1];
    let mut client = server.client(V5).await;
    client.publish(&own, &fits, Some(1)).await;
    assert_eq!(client.receive().await, Some((0x40, vec![0, 1])));
    client.message().await;
    client.publish(&own, &too_large, Some(2)).await;
    assert_eq!(client.receive().await, Some((0x40, vec![0, 2, 0x97])));
    client.ping().await;
    // A packet beyond the limit is not waited for.
    client.send(b"\x30\x80\x80\x40").await;
    assert_eq!(client.end().await, Some(0x95));

    let mut client = server.client(V3).await;
    client.publish(&own, &too_large, Some(2)).await;
    assert_eq!(client.end().await, None);
}

#[tokio::test]
async fn a_will_is_taken_and_told_to_nobody() {
    let server = server().await;
    for hello in [V3, V5] {
        let will = Some("$aws/things/dev-1/jobs/start-next");
        let client = server.client(Hello { will, ..hello }).await;
        drop(client);
    }
    let mut client = server.client(V3).await;
    let pending = client.ask(&topic("dev-1", "jobs/get"), "{}").await;
    assert_eq!(pending.json()["inProgressJobs"], serde_json::json!([]));
}

#[tokio::test]
async fn clients_are_told_what_is_offered() {
    let server = server().await;
    let mut client = Client::open(server.mqtt()).await;
    let hello = Hello {
        keep_alive: 0,
        client_id: "dev-9",
        // A session for ever.
        properties: b"\x11\xff\xff\xff\xff",
        ..V5
    };
    let welcome = client.hello(&hello).await;
    let offered = [
        // Receive maximum 16, packets of 129 KiB, QoS 1, no retained messages,
        &b"\x21\x00\x10\x27\x00\x02\x04\x00\x24\x01\x25\x00"[..],
        // no subscription identifiers, no shared subscriptions; a session of an hour; keep-alive 1200 s.
        b"\x29\x00\x2a\x00\x11\x00\x00\x0e\x10\x13\x04\xb0",
    ];
    assert_eq!(welcome.code, 0);
    assert_eq!(welcome.properties, offered.concat());
}
