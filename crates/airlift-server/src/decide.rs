//! Which release a device gets now: pure functions of what the device says, what the catalog holds, and what happened before.
//!
//! ```text
//! resolve  (order, catalog, project, node, key)  -> the one release that counts, if any
//! decide   (facts, that release, history)        -> offer | tell the version | no update, with the reason
//! ```
//!
//! No clock, no database, no network, no HTTP: every door calls this, and its properties are tested without any of them.

mod resolve;
mod rule;

pub(crate) use resolve::resolve;
pub(crate) use rule::{Ask, Decision, Facts, History, Offers, decide, name_of};

#[cfg(test)]
mod tests;
