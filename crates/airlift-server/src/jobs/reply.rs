//! What a request is answered.

use bytes::Bytes;

use super::stream::BlockSource;

/// A message for a thing. It goes to the connection that published the request, subscribed or not: these clients count on that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Publication {
    /// Topic behind `$aws/things/NAME/`.
    pub(crate) topic_rest: String,
    pub(crate) payload: Bytes,
}

/// One answer, or the blocks of a file.
#[derive(Debug)]
#[allow(dead_code, reason = "for the MQTT door")]
pub(crate) enum Reply {
    /// The topic is not one that asks for anything.
    None,
    One(Publication),
    /// To be pulled one by one, each when there is room for it.
    Blocks(BlockSource),
}
