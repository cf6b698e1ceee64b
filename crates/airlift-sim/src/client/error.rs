//! Why a virtual device cannot go on.

use std::io;
use std::path::PathBuf;

use airlift_device::Error as EngineError;
use airlift_device::download::http::{HttpError, Refusal as HttpRefusal};
use airlift_device::install::EspLayoutError;
use airlift_device::notify::esp_http::EncodeError;
use airlift_formats::esp::partition_table;

use crate::board::{BootError, EspFlashError};
use crate::flash::{FlashError, FlashFileError, GeometryError};

/// Why a virtual device cannot go on. What it had installed before runs on, unless the variant says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The file of the flash.
    #[error(transparent)]
    File(#[from] FlashFileError),
    /// The file cannot be the flash of a board.
    #[error("a flash of this size does not exist: {0}")]
    Size(#[from] GeometryError),
    /// The flash cannot be that of this board.
    #[error(transparent)]
    Board(#[from] EspFlashError),
    /// The board does not start.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The partition table is unusable.
    #[error("the partition table is unusable: {0}")]
    Table(#[from] partition_table::Error),
    /// The partition table has no room for updates.
    #[error("the partition table does not allow updates: {0}")]
    Layout(#[from] EspLayoutError),
    /// The test app runs, which updates nothing.
    #[error("the board runs its test app, which takes no updates")]
    TestApp,
    /// No connection.
    #[error("cannot reach the server {server}: {source}; is it running, and is the address right?")]
    Unreachable {
        /// Its address.
        server: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The connection broke before the answer.
    #[error("the connection to {server} broke before it answered: {source}")]
    Connection {
        /// Its address.
        server: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The MQTT server does not take the device.
    #[error("{server} does not take the thing {thing}: {why}")]
    NotWelcome {
        /// Its address.
        server: String,
        /// Who the device says that it is.
        thing: String,
        /// What the server says.
        why: &'static str,
    },
    /// The MQTT server does not send the device what it needs.
    #[error(
        "{server} does not allow a subscription to {filter}: is that the name that the device signed in with?"
    )]
    NotSubscribed {
        /// Its address.
        server: String,
        /// What the device needs.
        filter: String,
    },
    /// Nobody says how the server can show who it is.
    #[error(
        "{server} is to show who it is: name the file with the certificates of those who can say so (--ca; `airlift device enroll` writes ca.pem)"
    )]
    NoCa {
        /// Its address.
        server: String,
    },
    /// The service cannot be talked to, or does not send what it should.
    #[error("{0}")]
    Service(String),
    /// A certificate or a key cannot be used.
    #[error("{path}: {why}")]
    Credentials {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The answer cannot be read.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The answer is of no use.
    #[error(transparent)]
    Answer(#[from] HttpRefusal),
    /// An image whose digest is not known beforehand is not taken.
    #[error("the server sent no x-SHA256 with the image: what cannot be verified is not installed")]
    NoDigest,
    /// The answer to a question for one partition does not say that it is for that partition.
    #[error(
        "the server sent something that it does not call the data for the partition {partition}: it may not know data for partitions"
    )]
    OtherPartition {
        /// What was asked for.
        partition: String,
    },
    /// The partitions of the configuration do not suit the flash.
    #[error("{0}")]
    Plan(#[from] super::PlanError),
    /// The parts of the configuration do not suit the flash.
    #[error("{0}")]
    SetPlan(#[from] super::SetPlanError),
    /// A set of parts is neither in place nor undone, and the device does not know its parts.
    #[error(
        "a set of parts is being applied or undone: switch the device on with the configuration that declares its parts ([set])"
    )]
    SetPending,
    /// A set of parts is neither in place nor undone: a flash fails.
    #[error(
        "the set of parts could neither be put in place nor undone ({reason}): `device show` says what is where; the next boot tries again"
    )]
    SetStuck {
        /// Why, in one word.
        reason: String,
    },
    /// The request cannot be built.
    #[error("cannot ask for updates: {0}")]
    Request(#[from] EncodeError),
    /// The engine failed.
    #[error("{0}")]
    Engine(#[from] EngineError<FlashError>),
    /// An update does not settle: it reboots again and again.
    #[error("the device reboots again and again without settling on an image")]
    RestartsForEver,
}

impl DeviceError {
    /// Trying again later can help: the network or the server is at fault, not the device.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Connection { .. }
                | Self::Service(_)
                | Self::Http(_)
                | Self::Answer(_)
                | Self::NoDigest
                | Self::OtherPartition { .. }
        )
    }
}
