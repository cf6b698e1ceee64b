//! The update server: releases, devices, and the doors through which devices come.
//!
//! ```text
//! doors/    one module a device protocol; thin: parse, ask, answer
//! decide/   pure: what does this device get now
//! catalog/  releases: checked at upload, looked up in memory
//! fleet/    devices: what each one said and was told, written behind
//! rollout/  releases that devices get by turns: the rules of `airlift-rollout`, stored
//! jobs/     AWS IoT Jobs and file streams: what things are to do, and the files that they need for it
//! store/    the database, and image bytes named by their digest
//! admin/    the REST API for people and tools, one operation a file
//! ```
//!
//! A program starts it like this:
//!
//! ```no_run
//! # async fn run() -> Result<(), airlift_server::StartError> {
//! use airlift_server::{Config, Server};
//!
//! let server = Server::start(Config::new("data", ([127, 0, 0, 1], 8080).into())).await?;
//! if let Some(token) = server.admin_token() {
//!     println!("admin token, shown only now: {token}");
//! }
//! println!("listening on http://{}", server.local_addr());
//! // ... until told to stop ...
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! Invariants that hold in every module:
//!
//! * No text from a request ever becomes part of a file name. Objects are named by the digest that the server computed.
//! * An update check that ends in "no update" runs from memory: no file, no database, no waiting.
//! * Everything belongs to an organization; a token of another one is told that the thing does not exist.

mod admin;
mod catalog;
mod clock;
mod config;
mod decide;
mod digest;
mod doors;
mod fleet;
mod identity;
mod jobs;
mod name;
mod random;
mod rollout;
mod server;
mod store;

pub use clock::{Clock, SystemClock, Timestamp};
pub use config::{Config, Mqtt, Resolution};
pub use server::{Parts, RunningServer, Server, StartError};
