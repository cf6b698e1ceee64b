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

pub(crate) mod answer;
mod automatic;
mod desk;
mod document;
mod execution;
mod job;
mod notice;
mod order;
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

pub(crate) use document::{DEFAULT_CERTIFICATE, DocumentFile};
pub(crate) use execution::{Details, Execution};
pub(crate) use job::{File, MAX_JOB_ID, MAX_MINUTES, MAX_RETRIES, Retries, is_job_id};
pub(crate) use notice::{Notice, NoticeReceiver};
pub(crate) use order::{Content, CreateError, MAX_FILES, MAX_THINGS, Order, is_reserved};
pub(crate) use refusal::{Code, Refusal};
pub(crate) use reply::{Publication, Reply};
pub(crate) use request::{Describe, Request};
pub(crate) use service::{AwsService, NEXT};
pub(crate) use stream::BlockSource;
pub(crate) use thing::{MAX_THING_NAME, Thing, is_thing_name};

#[cfg(test)]
mod tests;
