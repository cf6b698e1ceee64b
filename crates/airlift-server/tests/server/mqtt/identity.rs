//! Who a client is, and who it is not. Over TCP: passwords and none; certificates are in `tls`.

use airlift_server::{Config, Server, StartError};

use super::client::{Client, Hello, V3, V5};
use super::{server, server_with, topic};
use crate::harness::{TestServer, send};

const WRONG_V3: u8 = 4;
const DENIED_V3: u8 = 5;
const WRONG_V5: u8 = 0x86;
const DENIED_V5: u8 = 0x87;

/// The code that a client is received with.
async fn code(server: &TestServer, hello: Hello<'_>) -> u8 {
    Client::open(server.mqtt()).await.hello(&hello).await.code
}

#[tokio::test]
async fn a_password_makes_a_client_its_thing_and_no_other() {
    let server = server_with(|config| config.mqtt.anonymous = None).await;
    let enrolled = server.enroll("dev-1", None).await;
    let other = server.enroll("dev-2", None).await;
    assert_eq!(enrolled["user_name"], "dev/dev-1");
    let password = enrolled["password"].as_str().unwrap();
    let others = other["password"].as_str().unwrap();
    assert_eq!(password.len(), 64);
    assert_ne!(password, others);

    let with = |user_name, password| Hello {
        // The client identifier does not say who it is.
        client_id: "whatever",
        user_name: Some(user_name),
        password: Some(password),
        ..V3
    };
    for (user_name, given, expected) in [
        ("dev/dev-1", password, 0),
        ("dev/dev-1?SDK=C&Version=4.0", password, 0),
        ("dev/dev-1", others, WRONG_V3),
        ("dev/dev-2", password, WRONG_V3),
        ("dev/dev-1", "", WRONG_V3),
        ("dev/dev-3", password, WRONG_V3),
        ("foreign/dev-1", password, WRONG_V3),
        ("nowhere/dev-1", password, WRONG_V3),
        ("dev-1", password, WRONG_V3),
        ("dev/dev-1/x", password, WRONG_V3),
        ("", password, WRONG_V3),
    ] {
        assert_eq!(
            code(&server, with(user_name, given)).await,
            expected,
            "{user_name}"
        );
    }
    let v5 = Hello {
        level: 5,
        ..with("dev/dev-1", others)
    };
    assert_eq!(code(&server, v5).await, WRONG_V5);

    let mut client = Client::open(server.mqtt()).await;
    assert_eq!(client.hello(&with("dev/dev-1", password)).await.code, 0);
    let answer = client.ask(&topic("dev-1", "jobs/get"), "{}").await;
    assert_eq!(answer.topic, topic("dev-1", "jobs/get/accepted"));
    client
        .publish(&topic("whatever", "jobs/get"), "{}", None)
        .await;
    assert_eq!(client.end().await, None);
}

#[tokio::test]
async fn nothing_proves_nothing() {
    let server = server_with(|config| config.mqtt.anonymous = None).await;
    server.enroll("dev-1", None).await;
    for (hello, expected) in [(V3, DENIED_V3), (V5, DENIED_V5)] {
        assert_eq!(code(&server, hello.clone()).await, expected);
        let named = Hello {
            user_name: Some("dev/dev-1"),
            ..hello
        };
        assert_eq!(code(&server, named).await, expected);
    }
}

#[tokio::test]
async fn an_anonymous_client_is_the_thing_of_its_identifier() {
    let place = Some(("workshop".to_owned(), "bench".to_owned()));
    let server = server_with(|config| config.mqtt.anonymous = place).await;
    let mut client = Client::open(server.mqtt()).await;
    // What AWS' clients put into the user name is no proof of anything, and no harm.
    let sdk = Hello {
        user_name: Some("?SDK=FreeRTOS&Version=1"),
        client_id: "dev:7",
        ..V3
    };
    assert_eq!(client.hello(&sdk).await.code, 0);
    client.ask(&topic("dev:7", "jobs/get"), "{}").await;
    // Organization, project and thing were made for it.
    let shown = server.get("/workshop/things/dev:7").await;
    assert_eq!(shown.status, 200, "{shown:?}");
    assert_eq!(shown.body["project"], "bench");
    assert_eq!(shown.body["connected"], true);

    for name in ["", "a/b", "#", "+", "dev 1", "dév", &"x".repeat(129)] {
        let named = |hello| Hello {
            client_id: name,
            ..hello
        };
        assert_eq!(code(&server, named(V3)).await, 2, "{name:?}");
        assert_eq!(code(&server, named(V5)).await, 0x85, "{name:?}");
    }
    assert_eq!(
        code(
            &server,
            Hello {
                client_id: &"x".repeat(128),
                ..V3
            }
        )
        .await,
        0
    );
    // A session that is to be kept needs a name.
    assert_eq!(
        code(
            &server,
            Hello {
                client_id: "",
                clean: false,
                ..V3
            }
        )
        .await,
        2
    );
}

#[tokio::test]
async fn a_thing_with_a_credential_is_not_anyone_s() {
    let server = server().await;
    let enrolled = server.enroll("dev-1", None).await;
    assert_eq!(code(&server, V3).await, DENIED_V3);
    let proved = Hello {
        user_name: Some("dev/dev-1"),
        password: enrolled["password"].as_str(),
        ..V3
    };
    assert_eq!(code(&server, proved).await, 0);
}

#[tokio::test]
async fn a_blocked_thing_is_out_at_once_and_stays_out() {
    let server = server().await;
    let enrolled = server.enroll("dev-1", None).await;
    let proved = |level| Hello {
        level,
        user_name: Some("dev/dev-1"),
        password: enrolled["password"].as_str(),
        ..V3
    };
    let mut client = server.client(proved(5)).await;
    let block = send(server.api("POST", "/dev/things/dev-1/block")).await;
    assert_eq!(block.status, 204);
    assert_eq!(client.end().await, Some(0x98));
    assert_eq!(code(&server, proved(4)).await, DENIED_V3);
    assert_eq!(code(&server, proved(5)).await, DENIED_V5);
    let unblock = send(server.api("DELETE", "/dev/things/dev-1/block")).await;
    assert_eq!(unblock.status, 204);
    assert_eq!(code(&server, proved(4)).await, 0);
}

#[tokio::test]
async fn a_new_credential_voids_the_one_before() {
    let server = server().await;
    let first = server.enroll("dev-1", None).await;
    let proved = |enrolled: &serde_json::Value| {
        let password = enrolled["password"].as_str().unwrap().to_owned();
        move |code| (password.clone(), code)
    };
    let hello = |password| Hello {
        level: 5,
        user_name: Some("dev/dev-1"),
        password: Some(password),
        ..V3
    };
    let (old, _) = proved(&first)(0);
    let mut client = server.client(hello(&old)).await;
    // A block is lifted with it: whoever enrolls the thing has it in hand.
    assert_eq!(
        send(server.api("POST", "/dev/things/dev-1/block"))
            .await
            .status,
        204
    );
    let second = server.enroll("dev-1", None).await;
    assert_eq!(client.end().await, Some(0x98));
    let (new, _) = proved(&second)(0);
    assert_eq!(code(&server, hello(&old)).await, WRONG_V5);
    assert_eq!(code(&server, hello(&new)).await, 0);
    // A certificate voids the password.
    let key = rcgen::KeyPair::generate().unwrap();
    let csr = rcgen::CertificateParams::default()
        .serialize_request(&key)
        .unwrap();
    server.enroll("dev-1", Some(&csr.pem().unwrap())).await;
    assert_eq!(code(&server, hello(&new)).await, WRONG_V5);
}

#[tokio::test]
async fn enrolling_is_for_the_organization_s_own() {
    let server = server().await;
    let token = server
        .post("/foreign/tokens", serde_json::json!({"label": "f"}))
        .await;
    let foreign = token.body["token"].as_str().unwrap().to_owned();
    let body = serde_json::json!({"project": "lotus"});
    let url = server.url("/api/v1/organizations/dev/things/dev-1/credential");
    let refused = send(server.http.post(&url).bearer_auth(&foreign).json(&body)).await;
    assert_eq!((refused.status, refused.code()), (404, "not-found"));
    let refused = send(server.http.post(&url).json(&body)).await;
    assert_eq!(refused.status, 401);
    // A publisher cannot make up projects.
    let token = server
        .post("/dev/tokens", serde_json::json!({"label": "d"}))
        .await;
    let own = token.body["token"].as_str().unwrap();
    let elsewhere = serde_json::json!({"project": "new"});
    let refused = send(server.http.post(&url).bearer_auth(own).json(&elsewhere)).await;
    assert_eq!(refused.status, 404, "{refused:?}");
    let made = send(server.http.post(&url).bearer_auth(own).json(&body)).await;
    assert_eq!(made.status, 201, "{made:?}");

    for (thing, body, code) in [
        ("a%2Fb", serde_json::json!({"project": "lotus"}), "bad-name"),
        ("a+b", serde_json::json!({"project": "lotus"}), "bad-name"),
        ("dev-1", serde_json::json!({"project": "+"}), "bad-name"),
        (
            "dev-1",
            serde_json::json!({"project": "lotus", "key": "a b"}),
            "bad-name",
        ),
        (
            "dev-1",
            serde_json::json!({"project": "lotus", "csr": "no"}),
            "bad-csr",
        ),
        (
            "dev-1",
            serde_json::json!({"project": "lotus", "csr": "x".repeat(20_000)}),
            "bad-csr",
        ),
        (
            "dev-1",
            serde_json::json!({"project": "other"}),
            "thing-of-other-project",
        ),
    ] {
        let refused = server
            .post(&format!("/dev/things/{thing}/credential"), body)
            .await;
        assert_eq!(refused.code(), code, "{thing} {refused:?}");
    }
}

#[tokio::test]
async fn anonymous_clients_are_refused_off_loopback_at_the_start() {
    for (plain, tls, place) in [
        (Some("0.0.0.0:0"), None, ("dev", "lotus")),
        (Some("[::]:0"), None, ("dev", "lotus")),
        (Some("192.0.2.1:1883"), None, ("dev", "lotus")),
        (None, Some("127.0.0.1:0"), ("dev", "lotus")),
        (Some("127.0.0.1:0"), None, ("d/v", "lotus")),
        (Some("127.0.0.1:0"), None, ("dev", "+")),
    ] {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("data");
        let mut config = Config::new(&folder, ([127, 0, 0, 1], 0).into());
        config.mqtt.plain = plain.map(|address| address.parse().unwrap());
        config.mqtt.tls = tls.map(|address| address.parse().unwrap());
        config.mqtt.anonymous = Some((place.0.into(), place.1.into()));
        let error = Server::start(config)
            .await
            .err()
            .expect("it does not start");
        assert!(matches!(error, StartError::Anonymous { .. }), "{error}");
        assert!(!folder.exists(), "nothing was touched");
    }
}

#[tokio::test]
async fn a_port_that_is_taken_does_not_use_up_the_token() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let data = tempfile::tempdir().unwrap();
    let mut config = crate::harness::config(data.path());
    config.mqtt.plain = taken.local_addr().ok();
    let error = Server::start(config).await.err().unwrap();
    assert!(
        matches!(error, StartError::Listen { address, .. } if Some(address) == taken.local_addr().ok())
    );
    let server = Server::start(crate::harness::config(data.path()))
        .await
        .unwrap();
    assert!(server.admin_token().is_some());
    assert_eq!(server.mqtt_addr(), None);
    server.shutdown().await;
}
