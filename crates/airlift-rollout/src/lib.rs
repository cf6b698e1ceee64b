//! Who gets a release when: the language in which devices are chosen, the order of versions.

pub mod filter;
mod time;
mod version;

pub use filter::Filter;
pub use time::{Millis, NotATime};
pub use version::Version;
