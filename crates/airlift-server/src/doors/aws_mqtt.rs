//! AWS IoT Jobs and MQTT file streams: the server is the MQTT endpoint itself.
//!
//! ```text
//! listener -> (tls) -> welcome -> sign_in, sessions -> connection <-> jobs
//!                         codec: bytes <-> packets     topic: what is whose
//! ```
//!
//! It is no broker. A client publishes requests below its own name and gets the answers on the same connection, whether it has
//! subscribed to them or not; nothing that one client publishes ever reaches another. `docs/mqtt-door.md` has the rules and limits.

mod allowance;
mod codec;
mod connection;
mod farewell;
mod listener;
mod sessions;
mod sign_in;
mod tls;
mod topic;
mod welcome;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::config::Config;
use crate::jobs::AwsService;
use crate::store::database::Database;

pub(crate) use listener::run;
pub(crate) use tls::acceptor;

/// What all connections of the door share.
pub(crate) struct AwsMqtt {
    service: Arc<AwsService>,
    catalog: Arc<Catalog>,
    database: Database,
    clock: Arc<dyn Clock>,
    sessions: Arc<sessions::Sessions>,
    strangers: listener::Strangers,
    connections: Arc<Semaphore>,
    anonymous: Option<sign_in::Place>,
    max_packet: u32,
    connect_timeout: Duration,
    stall_timeout: Duration,
}

impl AwsMqtt {
    pub(crate) fn new(
        config: &Config,
        service: Arc<AwsService>,
        catalog: Arc<Catalog>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        let mqtt = &config.mqtt;
        let place = |(organization, project): &(String, String)| sign_in::Place {
            organization: organization.clone(),
            project: project.clone(),
        };
        Arc::new(Self {
            service,
            database: catalog.database.clone(),
            catalog,
            clock,
            sessions: sessions::Sessions::new(),
            strangers: listener::Strangers::default(),
            connections: Arc::new(Semaphore::new(mqtt.max_connections)),
            anonymous: mqtt.anonymous.as_ref().map(place),
            max_packet: mqtt.max_packet,
            connect_timeout: mqtt.connect_timeout,
            stall_timeout: config.stall_timeout,
        })
    }

    /// Ends the connection of a thing whose credential is not valid any more.
    pub(crate) fn evict(&self, organization: i64, thing: &str) {
        let reason = codec::Reason::AdministrativeAction;
        self.sessions.evict(&(organization, thing.into()), reason);
    }
}
