//! Starting and stopping.

mod body;
mod connection;
mod start;

pub(crate) use body::Body;
pub use start::{Parts, RunningServer, Server, StartError};
