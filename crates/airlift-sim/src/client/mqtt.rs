//! A device that is told over MQTT what there is to do: AWS IoT Jobs, and the files of its streams.
//!
//! ```text
//! address      where the server is, and who the device is there
//! link         one connection, MQTT 3.1.1; tls: encrypted
//! jobs         the engine's agent over it; files: by streams or over HTTP; watch: what happens, in words
//! ```

mod address;
mod files;
mod jobs;
mod link;
mod tls;
mod watch;

pub use address::{Credentials, MqttAddress};
pub use jobs::{JobEnd, JobSettings, Worked};
