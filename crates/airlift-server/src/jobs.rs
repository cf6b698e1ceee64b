//! AWS IoT Jobs and MQTT file streams: what things are told to do, how far they are, and the files that they need for it.
//!
//! ```text
//! queue     pure: the pending executions of one thing, and what each request makes of them
//! desk      that queue in memory, one thing a desk, written through to the database
//! service   requests of things by topic -> answers; who is connected, and what they are told unasked
//! stream    blocks of files
//! ```
//!
//! A transport (the MQTT door, the HTTP data plane) knows who a thing is and moves bytes; it decides nothing.
//! `docs/aws-iot.md` has the contract and where it differs from AWS.

mod answer;
mod automatic;
mod desk;
mod document;
mod execution;
mod job;
mod notice;
mod queue;
mod refusal;
mod registry;
mod reply;
mod request;
mod service;
mod stream;
mod thing;
mod upkeep;
mod writer;

#[allow(unused_imports, reason = "some are for the MQTT door only")]
pub(crate) use notice::{Notice, NoticeReceiver};
#[allow(unused_imports, reason = "some are for the MQTT door only")]
pub(crate) use reply::{Publication, Reply};
pub(crate) use service::AwsService;
pub(crate) use stream::BlockSource;
pub(crate) use thing::Thing;
