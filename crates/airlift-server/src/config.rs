//! What a person can set.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of a [`Server`](crate::Server). [`Config::new`] fills in the defaults.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The data folder: database, image bytes, lock file. Made at the first start.
    pub data: PathBuf,
    /// Where people, tools and HTTP devices connect. Port 0 picks a free one.
    pub http: SocketAddr,
    /// Largest image, in bytes, that an upload may have; also the bound of what a gzip image may inflate to. Default 16 MiB.
    pub max_image_size: u64,
    /// In which order the places are searched where a release can lie. Default [`Resolution::Current`].
    pub resolution: Resolution,
    /// Most devices that the registry holds for one organization. A check-in of one more is answered, but not recorded. Default 50 000.
    pub max_devices_per_organization: usize,
    /// Most devices that the registry holds in all, which bounds its memory (about 1 KiB a device, and 256 bytes for each of up to 16 partitions). Default 100 000.
    pub max_devices: usize,
    /// Bytes of images kept in memory for downloads. Default 256 MiB.
    pub image_cache: u64,
    /// Most simultaneous HTTP connections; further ones wait in the kernel's queue. Default 8192.
    pub max_connections: usize,
    /// How long a client may take to send its request headers, and how long an idle connection is kept. Default 10 s.
    pub header_timeout: Duration,
    /// How long a connection may make no progress while a body is sent or received. Default 60 s.
    pub stall_timeout: Duration,
    /// How often devices are written to the database. A crash loses at most what came in since. Default 1 s.
    pub registry_flush: Duration,
    /// Devices that come over MQTT. Default: nobody listens for them.
    pub mqtt: Mqtt,
}

/// Settings of the MQTT door.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Mqtt {
    /// Where it listens without TLS: meant for the loopback interface, as passwords go over the wire as they are.
    pub plain: Option<SocketAddr>,
    /// Where it listens with TLS, for devices with a certificate of this server's authority or with a password.
    pub tls: Option<SocketAddr>,
    /// Host names and addresses by which devices know the server over TLS, beside the address it listens on, the name of the
    /// machine and `localhost`.
    pub tls_names: Vec<String>,
    /// Organization and project of things that sign in with nothing but a client identifier. Refused unless
    /// [`plain`](Self::plain) is a loopback address; made when the first comes. Default: there are none.
    pub anonymous: Option<(String, String)>,
    /// Most simultaneous connections; further ones wait in the kernel's queue. Default 20 000.
    pub max_connections: usize,
    /// Largest packet, in bytes, that a client may send. Default 129 KiB: AWS' largest message (128 KiB) and its topic.
    pub max_packet: u32,
    /// How long a TLS handshake may take, and then CONNECT and its answer. Default 10 s.
    pub connect_timeout: Duration,
}

impl Default for Mqtt {
    fn default() -> Self {
        Self {
            plain: None,
            tls: None,
            tls_names: Vec::new(),
            anonymous: None,
            max_connections: 20_000,
            max_packet: 129 << 10,
            connect_timeout: Duration::from_secs(10),
        }
    }
}

impl Config {
    /// Defaults for everything but the data folder and the address.
    pub fn new(data: impl Into<PathBuf>, http: SocketAddr) -> Self {
        Self {
            data: data.into(),
            http,
            max_image_size: 16 << 20,
            resolution: Resolution::default(),
            max_devices_per_organization: 50_000,
            max_devices: 100_000,
            image_cache: 256 << 20,
            max_connections: 8192,
            header_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(60),
            registry_flush: Duration::from_secs(1),
            mqtt: Mqtt::default(),
        }
    }
}

/// The order, most specific first, in which a device's places are searched. The first place that holds a release decides;
/// no later one is looked at, even if that release does not fit the device.
///
/// The place for all projects of an organization is written `ORG/+/...` by the current reference server and was `ORG/KEY`
/// in its older documents. Here both are one place, published with `all_projects`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Resolution {
    /// `ORG/PROJECT/NODE`, `ORG/+/NODE`, `ORG/PROJECT/KEY`, `ORG/+/KEY`: what the current reference server does.
    #[default]
    Current,
    /// `ORG/PROJECT/NODE`, `ORG/PROJECT/KEY`, `ORG/KEY`: the three steps of the older documents. A release for one node in
    /// all projects is never found.
    Documented,
}
