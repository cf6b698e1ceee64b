//! Messages of MQTT, as the parts that do no I/O give them to the application.

use airlift_formats::aws::topic::{MAX_TOPIC_LEN, Topic};
use airlift_formats::aws::{Buffer, BufferTooSmall};

/// A buffer of so many bytes holds every message that a device sends: the longest topic, and what goes with it.
pub const BUFFER_LEN: usize = MAX_TOPIC_LEN + 384;

/// A message that is to be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'b> {
    /// Where it goes.
    pub topic: &'b str,
    /// What it says.
    pub payload: &'b [u8],
}

/// Puts topic and payload into one buffer. A name that a topic cannot have makes it as unwritable as a buffer that is too small:
/// whoever calls has checked the names.
pub(crate) fn compose<'b>(
    buffer: &'b mut [u8],
    thing: &str,
    topic: Topic<'_>,
    payload: impl FnOnce(&mut Buffer<'_>),
) -> Result<Publish<'b>, BufferTooSmall> {
    let mut sink = Buffer::new(buffer);
    topic.emit(thing, &mut sink).map_err(|_| BufferTooSmall)?;
    let len = sink.finish()?.len();
    let (topic, rest) = buffer.split_at_mut_checked(len).ok_or(BufferTooSmall)?;
    let mut sink = Buffer::new(rest);
    payload(&mut sink);
    Ok(Publish {
        topic: core::str::from_utf8(topic).map_err(|_| BufferTooSmall)?,
        payload: sink.finish()?,
    })
}
