//! Who may do what.

use airlift_formats::esp::app_image::ChipId;
use serde_json::json;

use crate::harness::{Answer, TestServer, send};
use crate::images::esp32;

/// A request with this token instead of the administrator's.
async fn with(server: &TestServer, token: &str, method: &str, path: &str) -> Answer {
    let url = server.url(&format!("/api/v1/organizations{path}"));
    let body = json!({ "name": "new" });
    let request = server
        .http
        .request(method.parse().unwrap(), url)
        .bearer_auth(token);
    send(if method == "POST" && !path.contains("releases") {
        request.json(&body)
    } else {
        request
    })
    .await
}

const ADDRESSES: &[(&str, &str)] = &[
    ("GET", ""),
    ("POST", ""),
    ("GET", "/dev/projects"),
    ("POST", "/dev/projects"),
    ("GET", "/dev/tokens"),
    ("POST", "/dev/tokens"),
    ("DELETE", "/dev/tokens/1"),
    ("GET", "/dev/releases"),
    ("POST", "/dev/releases?project=lotus&key=k&version=1"),
    ("GET", "/dev/releases/1"),
    ("DELETE", "/dev/releases/1"),
    ("POST", "/dev/releases/1/withdraw"),
    ("GET", "/dev/devices"),
    ("GET", "/dev/devices/n1"),
    ("POST", "/dev/files"),
    ("GET", "/dev/things"),
    ("POST", "/dev/things"),
    ("GET", "/dev/things/n1"),
    ("POST", "/dev/things/n1/block"),
    ("DELETE", "/dev/things/n1/block"),
    ("GET", "/dev/jobs"),
    ("POST", "/dev/jobs"),
    ("GET", "/dev/jobs/j1"),
    ("DELETE", "/dev/jobs/j1"),
    ("GET", "/dev/jobs/j1/document"),
    ("POST", "/dev/jobs/j1/cancel"),
    ("GET", "/dev/jobs/j1/executions"),
    ("POST", "/dev/jobs/j1/executions/n1/cancel"),
];

#[tokio::test]
async fn nothing_goes_without_a_valid_token() {
    let server = TestServer::start().await;
    let selector = server.admin.split('_').nth(1).unwrap();
    let wrong_secret = format!("airlift_{selector}_{}", "0".repeat(64));
    for (method, path) in ADDRESSES {
        for token in [
            "",
            "airlift_",
            "nonsense",
            &wrong_secret,
            &server.admin[..server.admin.len() - 1],
        ] {
            let answer = with(&server, token, method, path).await;
            assert_eq!(
                (answer.status, answer.code()),
                (401, "unauthorized"),
                "{method} {path} {token}"
            );
        }
        let url = server.url(&format!("/api/v1/organizations{path}"));
        let none = server
            .http
            .request(method.parse().unwrap(), &url)
            .send()
            .await
            .unwrap();
        assert_eq!(none.status(), 401);
        assert!(
            none.headers()["www-authenticate"]
                .to_str()
                .unwrap()
                .starts_with("Bearer")
        );
        let basic = server
            .http
            .request(method.parse().unwrap(), &url)
            .basic_auth("a", Some(&server.admin));
        assert_eq!(basic.send().await.unwrap().status(), 401);
    }
}

#[tokio::test]
async fn a_token_of_another_organization_sees_the_same_as_if_there_was_none() {
    let server = TestServer::start().await;
    server
        .publish("project=lotus&key=k", &esp32(ChipId::ESP32, "1", 1))
        .await;
    server.check_in("k", &[]).await;
    let foreign = server.post("/foreign/tokens", json!({})).await.body["token"]
        .as_str()
        .unwrap()
        .to_owned();
    for (method, path) in ADDRESSES.iter().filter(|(_, path)| !path.is_empty()) {
        let theirs = with(&server, &foreign, method, path).await;
        let nobodys = with(
            &server,
            &foreign,
            method,
            &path.replace("/dev/", "/nosuch/"),
        )
        .await;
        assert_eq!(
            (theirs.status, theirs.code()),
            (404, "not-found"),
            "{method} {path}"
        );
        assert_eq!(theirs.body, nobodys.body, "{method} {path}");
    }
    let visible = with(&server, &foreign, "GET", "").await.body;
    assert_eq!(visible["organizations"].as_array().unwrap().len(), 1);
    assert_eq!(visible["organizations"][0]["name"], "foreign");
    assert_eq!(
        server.get("/dev/releases").await.body["releases"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_publisher_publishes_and_does_not_administrate() {
    let server = TestServer::start().await;
    let created = server
        .post("/dev/tokens", json!({ "label": "build server" }))
        .await;
    assert_eq!(
        (created.status, &created.body["label"]),
        (201, &json!("build server"))
    );
    let token = created.body["token"].as_str().unwrap();
    let image = esp32(ChipId::ESP32, "1", 1);
    let url = server.url("/api/v1/organizations/dev/releases?project=lotus&key=k");
    assert_eq!(
        send(server.http.put(url).bearer_auth(token).body(image.clone()))
            .await
            .status,
        201
    );
    let url = server.url("/api/v1/organizations/dev/releases?project=unknown&key=k");
    let unknown = send(server.http.put(url).bearer_auth(token).body(image.clone())).await;
    assert_eq!((unknown.status, unknown.code()), (404, "not-found"));
    assert_eq!(
        with(&server, token, "GET", "/dev/releases").await.status,
        200
    );
    assert_eq!(
        with(&server, token, "GET", "/dev/devices").await.status,
        200
    );
    for (method, path) in [
        ("POST", ""),
        ("POST", "/dev/projects"),
        ("GET", "/dev/tokens"),
        ("POST", "/dev/tokens"),
    ] {
        let answer = with(&server, token, method, path).await;
        assert_eq!(
            (answer.status, answer.code()),
            (403, "forbidden"),
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn a_revoked_token_is_worth_nothing() {
    let server = TestServer::start().await;
    let created = server.post("/dev/tokens", json!({})).await.body;
    let (token, id) = (created["token"].as_str().unwrap(), &created["id"]);
    assert_eq!(
        with(&server, token, "GET", "/dev/releases").await.status,
        200
    );
    assert_eq!(
        send(server.api("DELETE", &format!("/dev/tokens/{id}")))
            .await
            .status,
        204
    );
    assert_eq!(
        with(&server, token, "GET", "/dev/releases").await.status,
        401
    );
    assert!(server.get("/dev/tokens").await.body["tokens"][0]["revoked_at"].is_string());
    // The administrator's own is not the organization's to revoke.
    assert_eq!(
        send(server.api("DELETE", "/dev/tokens/1")).await.status,
        404
    );
}

#[tokio::test]
async fn no_secret_is_stored() {
    let server = TestServer::start().await;
    let secret = server.admin.split('_').nth(2).unwrap().to_owned();
    let (data, admin) = (server.data, server.admin);
    server.server.shutdown().await;
    for file in ["airlift.db", "lock"] {
        let content = std::fs::read(data.path().join(file)).unwrap();
        for text in [secret.as_bytes(), admin.as_bytes()] {
            assert!(
                !content.windows(text.len()).any(|window| window == text),
                "{file}"
            );
        }
    }
}
