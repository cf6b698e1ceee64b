//! Rollouts: the rules of `airlift-rollout`, for the devices that come through the doors.
//!
//! ```text
//! table     the board of one organization in memory, and the way of each event: on the board, and into the log
//! turn      one device asks: what its rollouts have for it, and what became of that
//! log       follows the board into the database; an offer waits for it
//! service   all tables; what people do to rollouts, and what time does
//! look      the same questions without an answer to a device: for explanations
//! ```
//!
//! The board in memory is the truth of the moment and is what the log makes of it: at the start it is folded anew. Locks are taken in
//! the order device, table, queue of the log; nothing waits while it holds one.

mod log;
mod look;
mod service;
mod table;
mod turn;

pub(crate) use log::Ticket;
pub(crate) use look::Look;
pub(crate) use service::{Action, RolloutError, Rollouts};
pub(crate) use turn::{Asker, Granted, Heard, Turn};
