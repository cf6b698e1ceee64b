//! A small language that chooses devices: `version<"2.0" and key=sht30_d1_mini and not group=beta and last_seen>7d`.
//!
//! ```text
//! filter  = all { "or" all }
//! all     = one { "and" one }
//! one     = "not" one | "(" filter ")" | test
//! test    = field operator value
//! value   = word | '"' text '"'           in quotes, \" and \\ stand for " and \
//! word    = 1 or more of A-Z a-z 0-9 _ . + : * -
//! ```
//!
//! `docs/rollouts.md` lists the fields. A test of something that is not known of a device is false, `!=` is true.
//!
//! ```
//! use airlift_rollout::{Filter, Millis, filter::Facts};
//!
//! let filter: Filter = "key=sht30* and version<2.0".parse().unwrap();
//! let device = Facts { key: "sht30_d1_mini", version: Some("1.9.3"), ..Facts::default() };
//! assert!(filter.matches(&device, Millis(0)));
//!
//! let error = "key=sht30 and vers<2".parse::<Filter>().unwrap_err();
//! assert_eq!(error.column(), 15);
//! ```

mod matching;
mod parse;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use matching::Facts;
pub use parse::{Expected, FilterError};

use crate::Version;

/// Longest text of a filter, in bytes.
pub const MAX_FILTER: usize = 1024;
/// How deep parentheses and `not` may go.
pub const MAX_DEPTH: usize = 16;

/// A choice of devices. Shown and serialized in the words in which it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Filter {
    text: Box<str>,
    root: Node,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    /// Two or more.
    Any(Vec<Node>),
    /// Two or more.
    All(Vec<Node>),
    Not(Box<Node>),
    Test(Test),
}

/// One comparison. Each kind of field has the operators that mean something for it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    /// `negated`: `!=`. The text may hold `*`, for any characters.
    Text {
        field: TextField,
        negated: bool,
        pattern: Box<str>,
    },
    Version {
        order: Order,
        text: Box<str>,
        /// `None` only where the text itself is compared: with `=` and `!=`.
        version: Option<Version>,
    },
    /// How long ago something was.
    Age {
        field: AgeField,
        order: Order,
        seconds: u64,
    },
}

/// A field that is a text, or several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TextField {
    Node,
    Project,
    Key,
    Group,
    Tag,
    Family,
    Sdk,
    Decision,
    Result,
}

impl TextField {
    const ALL: [(Self, &'static str); 9] = [
        (Self::Node, "node"),
        (Self::Project, "project"),
        (Self::Key, "key"),
        (Self::Group, "group"),
        (Self::Tag, "tag"),
        (Self::Family, "family"),
        (Self::Sdk, "sdk"),
        (Self::Decision, "decision"),
        (Self::Result, "result"),
    ];
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AgeField {
    FirstSeen,
    LastSeen,
}

impl AgeField {
    const ALL: [(Self, &'static str); 2] = [
        (Self::FirstSeen, "first_seen"),
        (Self::LastSeen, "last_seen"),
    ];
}

const VERSION: &str = "version";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Is,
    IsNot,
    Below,
    AtMost,
    Above,
    AtLeast,
}

impl Order {
    /// Longer ones before those that they begin with.
    const ALL: [(Self, &'static str); 6] = [
        (Self::IsNot, "!="),
        (Self::AtMost, "<="),
        (Self::AtLeast, ">="),
        (Self::Is, "="),
        (Self::Below, "<"),
        (Self::Above, ">"),
    ];

    fn holds(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            Self::Is => ordering.is_eq(),
            Self::IsNot => ordering.is_ne(),
            Self::Below => ordering.is_lt(),
            Self::AtMost => ordering.is_le(),
            Self::Above => ordering.is_gt(),
            Self::AtLeast => ordering.is_ge(),
        }
    }
}

/// Units of ages, in seconds; larger ones first.
const UNITS: [(char, u64); 5] = [
    ('w', 604_800),
    ('d', 86_400),
    ('h', 3600),
    ('m', 60),
    ('s', 1),
];

/// Words that cannot be written without quotes.
const KEYWORDS: [&str; 3] = ["and", "or", "not"];

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.+:*-".contains(&byte)
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Filter {
    type Error = FilterError;

    fn try_from(text: String) -> Result<Self, FilterError> {
        text.parse()
    }
}

impl From<Filter> for String {
    fn from(filter: Filter) -> Self {
        filter.text.into()
    }
}

#[cfg(test)]
mod tests;
