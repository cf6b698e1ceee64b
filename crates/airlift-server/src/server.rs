//! Starting and stopping.

mod body;
mod connection;
mod request_body;
mod socket;
mod start;

pub(crate) use body::Body;
pub use start::{Parts, RunningServer, Server, StartError};
