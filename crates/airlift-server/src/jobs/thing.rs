//! Who a request comes from.

use crate::store::things::ThingRow;

/// Longest name of a thing, in bytes.
pub(crate) const MAX_THING_NAME: usize = 128;

/// A thing that has signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Thing {
    /// In the database.
    pub(crate) id: i64,
    pub(crate) organization: i64,
    pub(crate) project: Box<str>,
    /// Unique in the organization; the same as the node's in the device registry.
    pub(crate) name: Box<str>,
    /// The device type, which picks its releases. `None`: only releases for this one device are for it.
    pub(crate) key: Option<Box<str>>,
}

impl From<ThingRow> for Thing {
    fn from(row: ThingRow) -> Self {
        Self {
            id: row.id,
            organization: row.organization_id,
            project: row.project.into(),
            name: row.name.into(),
            key: row.key.map(Into::into),
        }
    }
}

/// Whether a thing may be called that: AWS' rule, `[a-zA-Z0-9:_-]{1,128}`. Such a name is one level of a topic and no wildcard.
pub(crate) fn is_thing_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'-');
    (1..=MAX_THING_NAME).contains(&text.len()) && text.bytes().all(allowed)
}
