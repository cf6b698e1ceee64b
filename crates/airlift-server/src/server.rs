//! Starting and stopping.

mod body;
mod connection;
mod direct;
mod lifetime;
mod mqtt;
mod request_body;
mod socket;
mod start;

pub(crate) use body::Body;
pub(crate) use lifetime::{Phase, ending};
pub use start::{Parts, RunningServer, Server, StartError};
