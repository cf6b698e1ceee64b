//! Which release a device gets now: pure functions of what the device says, what the catalog holds, and what happened before.
//!
//! ```text
//! wanted   what is asked for: the app, a file system, the content of one partition
//! resolve  (order, catalog, project, node, key, wanted, what rollouts have for the device)
//!                                                        -> the one release that counts, if any
//! decide   (facts, that release, history)                -> offer | tell the version | no update, with the reason
//! explain  the same, for people: each rule, with the values that it looked at
//! ```
//!
//! No clock, no database, no network, no HTTP: every door calls this, and its properties are tested without any of them.

mod explain;
mod resolve;
mod rule;
mod wanted;

pub(crate) use explain::{Step, explain_places, explain_rules};
pub(crate) use resolve::resolve;
pub(crate) use rule::{Decision, Facts, History, NoUpdate, Offers, decide, name_of};
pub(crate) use wanted::{FileSystemMode, Wanted};

#[cfg(test)]
mod tests;
