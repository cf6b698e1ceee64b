//! `kill -9` at the worst moment.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::Stdio;

use serde_json::Value;

use crate::harness::{Ended, Field, Run as _, Serve, events, eventually, image};
use crate::network::{Limit, Network};

#[test]
fn a_server_that_is_killed_during_an_upload_offers_what_it_offered_before() {
    let mut field = Field::new();
    field.write("new.bin", &image("2.0.0", 900_000));
    let network = Network::to(field.server.host(), Limit::Up(400_000));
    let child = field
        .publish_at(&network.url(), "new.bin", "2.0.0")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    eventually("half of the upload", || network.passed() >= 400_000);
    field.server.kill();
    network.cut();
    let ended = Ended::from(child.wait_with_output().unwrap());
    ended.refused(&["new.bin was not published", "broke"]);

    field.server = Serve::start(&field.path("data"));
    assert_eq!(field.server.token, None);
    field.is_at("1.1.0");
    let (_, releases) = field.server.http(
        "GET",
        "/api/v1/organizations/dev/releases",
        &field.token,
        "",
    );
    assert_eq!(releases["releases"].as_array().unwrap().len(), 1);

    field.publish("new.bin", "2.0.0").run().good();
    field.device().run().good();
    field.is_at("2.0.0");
}

#[test]
fn a_server_that_is_killed_during_a_download_costs_the_device_nothing_that_is_safe() {
    let mut field = Field::new();
    field.write("new.bin", &image("2.0.0", 900_000));
    field.publish("new.bin", "2.0.0").run().good();
    let network = Network::to(field.server.host(), Limit::Down(400_000));
    let child = field
        .device_at(&network.url())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    eventually("half of the download", || network.passed() >= 400_000);
    field.server.kill();
    network.cut();
    let ended = Ended::from(child.wait_with_output().unwrap());
    let seen = events(&ended.stdout);
    let last = seen.last().unwrap();
    assert_eq!(last["event"], "interrupted");
    let durable = last["durable"].as_u64().unwrap();
    assert!(
        durable > 350_000 && durable.is_multiple_of(4096),
        "{durable}"
    );
    ended.refused(&["broke off", "goes on where it stopped"]);
    // No server: the device runs on with what it has.
    field.device().run().refused(&["cannot reach the server"]);
    assert_eq!(field.show()["slots"][1]["image"]["version"], "1.1.0");

    field.server = Serve::start(&field.path("data"));
    let seen = events(&field.device().run().good());
    let notify = seen
        .iter()
        .find(|event| event["event"] == "notify")
        .unwrap();
    assert_eq!(notify["resume_at"], durable);
    assert_eq!(notify["report"], "interrupted");
    field.is_at("2.0.0");
}

#[test]
fn a_device_that_is_killed_during_a_download_goes_on_where_it_was() {
    let field = Field::new();
    field.write("new.bin", &image("2.0.0", 900_000));
    field.publish("new.bin", "2.0.0").run().good();
    let network = Network::to(field.server.host(), Limit::Down(400_000));
    let mut child = field
        .device_at(&network.url())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Until it has told that nearly all that can come is written.
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let last = lines.find(|line| {
        let event: Value = serde_json::from_str(line.as_ref().unwrap()).unwrap();
        event["at"].as_u64() >= Some(370_000)
    });
    assert!(last.is_some(), "it ended by itself");
    child.kill().unwrap();
    child.wait().unwrap();

    let shown = field.show();
    assert_eq!(shown["journal"]["phase"], "downloading");
    assert_eq!(shown["boot"]["next"], "ota_1");
    let durable = shown["journal"]["durable"].as_u64().unwrap();
    assert!(durable > 350_000, "{durable}");
    let seen = events(&field.device().run().good());
    let notify = seen
        .iter()
        .find(|event| event["event"] == "notify")
        .unwrap();
    assert_eq!(notify["resume_at"], durable);
    field.is_at("2.0.0");
}

#[test]
fn a_client_that_vanishes_in_the_middle_of_an_upload_leaves_nothing() {
    let field = Field::new();
    let body = image("2.0.0", 300_000);
    let mut stream = TcpStream::connect(field.server.host()).unwrap();
    write!(
        stream,
        "POST /api/v1/organizations/dev/releases?project=lotus&key=sht30_d1_mini&version=2.0.0 HTTP/1.1\r\n\
         Host: x\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
        field.token,
        body.len()
    )
    .unwrap();
    stream.write_all(&body[..150_000]).unwrap();
    drop(stream);
    eventually("the upload is cleaned up", || {
        let incoming = std::fs::read_dir(field.path("data").join("incoming"));
        incoming.is_ok_and(|mut files| files.next().is_none())
    });
    field.is_at("1.1.0");
}
