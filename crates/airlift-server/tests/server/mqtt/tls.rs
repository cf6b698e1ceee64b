//! TLS: certificates of the server's own authority, of others, of others' things, and none.

use std::sync::Arc;

use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::client::{Client, Hello, V3, V5};
use super::{server, topic};
use crate::harness::{TestServer, send};

/// A device with a key that never leaves it.
struct Device {
    key: KeyPair,
    /// PEM; empty: it has none.
    certificate: String,
    ca: String,
}

impl Device {
    fn csr(key: &KeyPair) -> String {
        let request = CertificateParams::default().serialize_request(key);
        request.unwrap().pem().unwrap()
    }

    async fn enroll(server: &TestServer, thing: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let enrolled = server.enroll(thing, Some(&Self::csr(&key))).await;
        let text = |name: &str| enrolled[name].as_str().expect(name).to_owned();
        assert_eq!(enrolled["mqtts_port"], Value::from(server.mqtts().port()));
        Self {
            key,
            certificate: text("certificate"),
            ca: text("ca"),
        }
    }

    fn connector(&self, versions: &[&'static rustls::SupportedProtocolVersion]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.ca.as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let config = if self.certificate.is_empty() {
            config.with_no_client_auth()
        } else {
            let chain = CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(self.key.serialize_pem().as_bytes()).unwrap();
            config.with_client_auth_cert(vec![chain], key).unwrap()
        };
        TlsConnector::from(Arc::new(config))
    }

    async fn open(&self, server: &TestServer) -> std::io::Result<Client<TlsStream<TcpStream>>> {
        self.open_as(server, "localhost", rustls::ALL_VERSIONS)
            .await
    }

    async fn open_as(
        &self,
        server: &TestServer,
        name: &'static str,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> std::io::Result<Client<TlsStream<TcpStream>>> {
        let stream = TcpStream::connect(server.mqtts()).await?;
        let name = ServerName::try_from(name).unwrap();
        let stream = self.connector(versions).connect(name, stream).await?;
        Ok(Client::over(stream))
    }

    /// The code of the welcome; `None`: refused in the handshake, of which a client of TLS 1.3 hears afterwards.
    async fn code(&self, server: &TestServer, hello: Hello<'_>) -> Option<u8> {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut client = self.open(server).await.ok()?;
        client.io.write_all(&hello.bytes()).await.ok()?;
        let mut answer = [0; 4];
        client.io.read_exact(&mut answer).await.ok()?;
        assert_eq!(answer[0], 0x20);
        Some(answer[3])
    }
}

#[tokio::test]
async fn a_certificate_makes_a_client_its_thing_and_no_other() {
    let server = server().await;
    let device = Device::enroll(&server, "dev-1").await;
    for (name, versions) in [
        ("localhost", rustls::ALL_VERSIONS),
        ("127.0.0.1", &[&rustls::version::TLS12][..]),
        ("::1", &[&rustls::version::TLS13][..]),
    ] {
        let mut client = device.open_as(&server, name, versions).await.unwrap();
        // Neither identifier nor user name say who it is.
        let hello = Hello {
            client_id: "dev-2",
            user_name: Some("dev/dev-2"),
            password: Some("x"),
            ..V5
        };
        assert_eq!(client.hello(&hello).await.code, 0, "{name}");
        let answer = client.ask(&topic("dev-1", "jobs/get"), "{}").await;
        assert_eq!(answer.topic, topic("dev-1", "jobs/get/accepted"));
        let codes = client
            .subscribe(&[("$aws/things/dev-2/#", 0), ("$aws/things/dev-1/#", 0)])
            .await;
        assert_eq!(codes, [0x87, 0]);
        client
            .publish(&topic("dev-2", "jobs/get"), "{}", None)
            .await;
        assert_eq!(client.end().await, Some(0x87));
    }
    let shown = server.get("/dev/things/dev-1").await.body;
    let fingerprint = shown["certificate_fingerprint"].as_str().unwrap();
    assert_eq!(fingerprint.len(), 64);
}

#[tokio::test]
async fn a_client_is_given_a_name_if_it_has_none() {
    let server = server().await;
    let device = Device::enroll(&server, "dev-1").await;
    let mut client = device.open(&server).await.unwrap();
    let welcome = client
        .hello(&Hello {
            client_id: "",
            ..V5
        })
        .await;
    assert_eq!(welcome.code, 0);
    let assigned = b"\x12\x00\x05dev-1";
    assert!(
        welcome
            .properties
            .windows(assigned.len())
            .any(|part| part == assigned)
    );
}

#[tokio::test]
async fn the_server_proves_who_it_is() {
    let server = server().await;
    let other = super::server().await;
    let device = Device::enroll(&server, "dev-1").await;
    // Another server of the same kind is not the one that the device was enrolled with.
    assert!(device.open(&other).await.is_err());
    assert!(
        device
            .open_as(&server, "ota.example", rustls::ALL_VERSIONS)
            .await
            .is_err()
    );
    let named = super::server_with(|config| {
        config.mqtt.tls_names = vec!["ota.example".into(), "192.0.2.7".into()];
    });
    let named = named.await;
    let device = Device::enroll(&named, "dev-1").await;
    for name in ["ota.example", "192.0.2.7", "localhost"] {
        assert!(
            device
                .open_as(&named, name, rustls::ALL_VERSIONS)
                .await
                .is_ok(),
            "{name}"
        );
    }
}

#[tokio::test]
async fn without_a_certificate_there_is_the_password_or_nothing() {
    let server = server().await;
    let mut device = Device::enroll(&server, "dev-1").await;
    device.certificate.clear();
    // Anonymous things are for the loopback interface without TLS.
    assert_eq!(device.code(&server, V3).await, Some(5));
    let enrolled = server.enroll("dev-2", None).await;
    let hello = Hello {
        user_name: Some("dev/dev-2"),
        password: enrolled["password"].as_str(),
        ..V3
    };
    assert_eq!(device.code(&server, hello).await, Some(0));
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_in_the_handshake() {
    let server = server().await;
    let other = super::server().await;
    let good = Device::enroll(&server, "dev-1").await;
    let foreign = Device::enroll(&other, "dev-1").await;
    let mut device = Device {
        ca: good.ca.clone(),
        ..foreign
    };
    assert_eq!(device.code(&server, V3).await, None);

    // One that the device has signed itself, and one by an authority that has the name of the real one.
    device.key = KeyPair::generate().unwrap();
    device.certificate = CertificateParams::default()
        .self_signed(&device.key)
        .unwrap()
        .pem();
    assert_eq!(device.code(&server, V3).await, None);
    let real = KeyPair::generate().unwrap();
    let pretended = Issuer::from_ca_cert_pem(&good.ca, real).unwrap();
    let params = CertificateParams::default();
    device.certificate = params.signed_by(&device.key, &pretended).unwrap().pem();
    assert_eq!(device.code(&server, V3).await, None);
    assert_eq!(good.code(&server, V3).await, Some(0));
}

#[tokio::test]
async fn a_certificate_that_was_replaced_or_blocked_is_void() {
    let server = server().await;
    let old = Device::enroll(&server, "dev-1").await;
    let mut connected = old.open(&server).await.unwrap();
    connected.hello(&V5).await;
    let new = Device::enroll(&server, "dev-1").await;
    assert_eq!(connected.end().await, Some(0x98));
    assert_eq!(old.code(&server, V3).await, Some(5));
    assert_eq!(new.code(&server, V3).await, Some(0));

    let mut connected = new.open(&server).await.unwrap();
    connected.hello(&V5).await;
    assert_eq!(
        send(server.api("POST", "/dev/things/dev-1/block"))
            .await
            .status,
        204
    );
    assert_eq!(connected.end().await, Some(0x98));
    assert_eq!(new.code(&server, V3).await, Some(5));
    assert_eq!(
        send(server.api("DELETE", "/dev/things/dev-1/block"))
            .await
            .status,
        204
    );
    assert_eq!(new.code(&server, V3).await, Some(0));
}

#[tokio::test]
async fn the_authority_stays_the_same_over_a_restart() {
    let server = server().await;
    let device = Device::enroll(&server, "dev-1").await;
    let data = server.data;
    server.server.shutdown().await;
    let mut config = crate::harness::config(data.path());
    config.mqtt.tls = super::any_port();
    let again = airlift_server::Server::start(config).await.unwrap();
    let again = TestServer {
        server: again,
        admin: server.admin,
        data,
        http: server.http,
    };
    assert_eq!(device.code(&again, V3).await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_things_over_tls_cost_little() {
    let server = server().await;
    let mut things = Vec::new();
    for number in 0..220 {
        let name = format!("dev-{number}");
        things.push((Device::enroll(&server, &name).await, name));
    }
    let mut clients = Vec::new();
    let mut before = 0;
    for (number, (device, name)) in things.iter().enumerate() {
        if number == 20 {
            // What the first ones make the server and this test set up is not counted.
            before = super::memory();
        }
        let mut client = device.open(&server).await.unwrap();
        assert_eq!(client.hello(&V3).await.code, 0);
        client
            .subscribe(&[(&topic(name, "jobs/notify-next"), 0)])
            .await;
        clients.push(client);
    }
    let each = super::memory().saturating_sub(before) / 200;
    // With the client's half, which is in this process, too.
    println!("{each} bytes a thing");
    assert!(each < 96 << 10, "{each} bytes a thing");
    for client in &mut clients {
        client.ping().await;
    }
}
