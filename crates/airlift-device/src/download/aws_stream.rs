//! A file of an AWS IoT stream, block by block: which blocks to ask for, when to ask again, and the bytes in order.
//!
//! ```text
//!               poll ──▶ request for what is missing in the window
//!                                                          ┌──┬──┬──┬──┐
//!  data message ──▶ receive: is it one, is it wanted? ──▶  │ 5│  │ 7│  │  the caller's window: blocks 5 to 8
//!                                                          └──┴──┴──┴──┘
//!                              ready: block 5, its bytes ◀── │   taken: the window moves on
//! ```
//!
//! Blocks may be lost, come twice or in any order: what is not in the window yet is asked for again, by a bitmap, when nothing
//! has come for a while. Blocks that are no good are passed over; a service that has nothing else runs into the limit. As many blocks as the window
//! holds are on their way at once: with a round trip of 50 ms that is what decides how fast a download is. Half of a window
//! is asked for while the other half is on its way, so that the flash is written meanwhile.

use core::{fmt, marker::PhantomData};

use airlift_formats::aws::streams::{
    self, Data, ErrorCode, GetStream, MAX_BLOCK_OFFSET, MAX_BLOCK_SIZE, MAX_BYTES_PER_REQUEST,
    MIN_BLOCK_SIZE, Rejected,
};
use airlift_formats::aws::topic::{StreamMessage, Topic, is_stream_name, is_thing_name};
use airlift_formats::aws::{BufferTooSmall, Format, MessageError, base64::Base64Error};

use crate::mqtt::{Publish, compose};
use crate::retry::{Retry, Timer};

/// The most blocks that can be on their way at once.
pub const MAX_WINDOW: u32 = 32;

/// How requests and answers are encoded. A type and not a value, so that a device has the code of the one that it uses.
pub trait Encoding {
    /// Its name in topics.
    const FORMAT: Format;
}

/// CBOR: takes a quarter less than JSON.
#[derive(Clone, Copy, Debug)]
pub struct Cbor;

impl Encoding for Cbor {
    const FORMAT: Format = Format::Cbor;
}

/// JSON: blocks are base64.
#[derive(Clone, Copy, Debug)]
pub struct Json;

impl Encoding for Json {
    const FORMAT: Format = Format::Json;
}

/// How a file is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes in a block, [`MIN_BLOCK_SIZE`] to [`MAX_BLOCK_SIZE`].
    pub block_size: u32,
    /// How requests look.
    pub requests: Requests,
    /// How long to wait for a block.
    pub retry: Retry,
}

/// How requests look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Requests {
    /// As many blocks as the window has room for, those that are missing by a bitmap.
    #[default]
    Window,
    /// One block, byte for byte as the C library of AWS asks for it.
    CLibrary,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            block_size: 4096,
            requests: Requests::Window,
            retry: Retry::default(),
        }
    }
}

/// Which file it is, and whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source<'n> {
    /// The name of the device.
    pub thing: &'n str,
    /// The name of the stream.
    pub stream: &'n str,
    /// The number of the file in it.
    pub file: u8,
    /// Bytes of the file.
    pub size: u32,
}

/// A file on its way.
#[derive(Debug)]
pub struct BlockDownload<'n, 'w, E = Cbor> {
    encoding: PhantomData<E>,
    source: Source<'n>,
    settings: Settings,
    window: &'w mut [u8],
    /// Blocks that the window holds.
    room: u32,
    /// The first block of the window.
    base: u32,
    /// Bytes at its start that are not wanted.
    skip: u32,
    /// A bit for each block from `base`: it is in the window.
    arrived: u32,
    /// A bit for each block from `base`: it was asked for.
    asked: u32,
    timer: Timer,
}

/// Why a file cannot be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamError {
    /// The block size is not 256 to 131072.
    BlockSize,
    /// The window does not hold one block.
    WindowTooSmall,
    /// The file is empty, or has more blocks of this size than can be asked for.
    FileSize,
    /// The name of thing or stream is none.
    Name,
    /// The buffer for messages is too small.
    BufferTooSmall,
    /// The service does not answer.
    Unanswered,
    /// The service refuses the request.
    Rejected(ErrorCode),
    /// A server answered with this status where a file should be.
    HttpStatus(u16),
}

impl StreamError {
    /// A number that never changes, for reports.
    #[must_use]
    pub const fn code(self) -> u32 {
        match self {
            Self::BlockSize => 1,
            Self::WindowTooSmall => 2,
            Self::FileSize => 3,
            Self::Name => 4,
            Self::BufferTooSmall => 5,
            Self::Unanswered => 6,
            Self::Rejected(code) => 16 + code as u32,
            Self::HttpStatus(status) => 0x1000 + status as u32,
        }
    }

    /// The cause as one word, for reports.
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::BlockSize => "block-size",
            Self::WindowTooSmall => "window-too-small",
            Self::FileSize => "file-size",
            Self::Name => "name",
            Self::BufferTooSmall => "buffer-too-small",
            Self::Unanswered => "unanswered",
            Self::Rejected(code) => code.name(),
            Self::HttpStatus(_) => "http-status",
        }
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BlockSize => f.write_str("the block size is not 256 to 131072"),
            Self::WindowTooSmall => f.write_str("the window does not hold one block"),
            Self::FileSize => f.write_str(
                "the file is empty, or has too many blocks of this size: choose larger ones",
            ),
            Self::Name => f.write_str("the name of the thing or of the stream is none"),
            Self::BufferTooSmall => f.write_str("the buffer for messages is too small"),
            Self::Unanswered => f.write_str("the service does not send the blocks"),
            Self::HttpStatus(status) => write!(f, "the server has status {status} for the file"),
            Self::Rejected(code) => {
                write!(f, "the service refuses to send blocks: {}", code.name())
            }
        }
    }
}

impl core::error::Error for StreamError {}

impl From<BufferTooSmall> for StreamError {
    fn from(_: BufferTooSmall) -> Self {
        Self::BufferTooSmall
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// It is none of this file's.
    NotOurs,
    /// A block that was missing.
    Block,
    /// A block that has been there before.
    Duplicate,
    /// It is passed over, for this reason.
    Ignored(BadBlock),
}

/// Why a message is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadBlock {
    /// It is no data message, and no refusal.
    Message(MessageError),
    /// It is of another file.
    OtherFile,
    /// The file has no such block.
    OutOfRange,
    /// The window has no room for it: it was not asked for.
    NotAsked,
    /// It has not as many bytes as the block has, or as it says.
    Length,
    /// Its bytes are not base64, or too many.
    Payload(Base64Error),
    /// A refusal that may have been passing.
    Refusal,
}

impl<'n, 'w, E: Encoding> BlockDownload<'n, 'w, E> {
    /// Fetches a file from byte `from` on. `window` holds the blocks that are on their way: as many as have room in it, up to
    /// [`MAX_WINDOW`] and to what one request may ask for, [`MAX_BYTES_PER_REQUEST`].
    ///
    /// # Errors
    /// A size or a name is not possible.
    pub fn new(
        source: Source<'n>,
        settings: Settings,
        from: u32,
        window: &'w mut [u8],
    ) -> Result<Self, StreamError> {
        let size = settings.block_size;
        if !(MIN_BLOCK_SIZE..=MAX_BLOCK_SIZE).contains(&size) {
            return Err(StreamError::BlockSize);
        }
        if !is_thing_name(source.thing) || !is_stream_name(source.stream) {
            return Err(StreamError::Name);
        }
        let most = match settings.requests {
            Requests::Window => MAX_WINDOW.min(MAX_BYTES_PER_REQUEST / size),
            Requests::CLibrary => 1,
        };
        let room = (window.len() as u32 / size).min(most);
        if room == 0 {
            return Err(StreamError::WindowTooSmall);
        }
        if source.size == 0 || from > source.size || (source.size - 1) / size > MAX_BLOCK_OFFSET {
            return Err(StreamError::FileSize);
        }
        Ok(Self {
            encoding: PhantomData,
            source,
            settings,
            window,
            room,
            base: from / size,
            skip: from % size,
            arrived: 0,
            asked: 0,
            timer: Timer::start(settings.retry, 0),
        })
    }

    /// Bytes in a block.
    #[must_use]
    pub const fn block_size(&self) -> u32 {
        self.settings.block_size
    }

    /// Blocks that can be on their way at once.
    #[must_use]
    pub const fn room(&self) -> u32 {
        self.room
    }

    /// Bytes of the file in front of what [`ready`](Self::ready) gives next.
    #[must_use]
    pub fn offset(&self) -> u32 {
        (self.base.saturating_mul(self.settings.block_size))
            .saturating_add(self.skip)
            .min(self.source.size)
    }

    /// Whether all bytes were taken.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.offset() == self.source.size
    }

    /// When to call [`poll`](Self::poll) even if nothing comes.
    #[must_use]
    pub fn due(&self) -> Option<u32> {
        (self.asked & self.wanted() != 0).then_some(self.timer.due())
    }

    /// What is to be published now, if anything: call it at the start, after each message, after [`taken`](Self::taken) and when
    /// it is [`due`](Self::due). `now` is in milliseconds and may wrap around.
    ///
    /// # Errors
    /// The service does not answer, or the buffer is too small ([`BUFFER_LEN`](crate::mqtt::BUFFER_LEN) is not).
    pub fn poll<'b>(
        &mut self,
        now: u32,
        buffer: &'b mut [u8],
    ) -> Result<Option<Publish<'b>>, StreamError> {
        let wanted = self.wanted();
        if self.asked & wanted == 0 {
            self.timer = Timer::start(self.settings.retry, now);
        } else if self.timer.is_due(now) {
            if !self.timer.again(now) {
                return Err(StreamError::Unanswered);
            }
            self.asked = 0;
        } else if (wanted & !self.asked).count_ones() * 2 < self.room {
            return Ok(None);
        }
        let ask = wanted & !self.asked;
        if ask == 0 {
            return Ok(None);
        }
        let publish = self.request(ask, buffer)?;
        self.asked |= ask;
        Ok(Some(publish))
    }

    /// Takes a message that came, with its topic as [`Topic::parse`] has it.
    ///
    /// # Errors
    /// The service refuses to send blocks.
    pub fn receive(
        &mut self,
        topic: &Topic<'_>,
        payload: &[u8],
        now: u32,
    ) -> Result<Received, StreamError> {
        let format = E::FORMAT;
        let Topic::Stream {
            name,
            message,
            format: found,
        } = *topic
        else {
            return Ok(Received::NotOurs);
        };
        if name != self.source.stream || found != format {
            return Ok(Received::NotOurs);
        }
        let result = match message {
            StreamMessage::Data => self.take(payload, now),
            StreamMessage::Rejected => refusal(Rejected::parse(format, payload))?,
            _ => return Ok(Received::NotOurs),
        };
        Ok(result.unwrap_or_else(Received::Ignored))
    }

    /// The bytes of the next block, if it is there; of the first one only those that are wanted.
    #[must_use]
    pub fn ready(&self) -> Option<&[u8]> {
        if self.arrived & 1 == 0 {
            return None;
        }
        let block = self.window.get(self.place(self.base))?;
        block.get(self.skip as usize..)
    }

    /// The bytes of the next block were taken: its place is free.
    pub fn taken(&mut self) {
        if self.arrived & 1 == 1 {
            self.base += 1;
            self.skip = 0;
            self.arrived >>= 1;
            self.asked >>= 1;
        }
    }

    fn take(&mut self, payload: &[u8], now: u32) -> Result<Received, BadBlock> {
        let data = Data::parse(E::FORMAT, payload).map_err(BadBlock::Message)?;
        if data.file != u32::from(self.source.file) {
            return Err(BadBlock::OtherFile);
        }
        let len = self.block_len(data.block);
        if len == 0 {
            return Err(BadBlock::OutOfRange);
        }
        if data.len != len {
            return Err(BadBlock::Length);
        }
        let Some(index) = data.block.checked_sub(self.base) else {
            return Ok(Received::Duplicate);
        };
        if index >= self.room {
            return Err(BadBlock::NotAsked);
        }
        let bit = 1 << index;
        if self.arrived & bit != 0 {
            return Ok(Received::Duplicate);
        }
        let place = self.place(data.block);
        let place = self.window.get_mut(place).ok_or(BadBlock::Length)?;
        let copied = data.payload.copy_to(place).map_err(BadBlock::Payload)?;
        if copied != len as usize {
            return Err(BadBlock::Length);
        }
        self.arrived |= bit;
        // Something comes: the wait for the rest starts anew.
        self.timer = Timer::start(self.settings.retry, now);
        Ok(Received::Block)
    }

    /// A bit for each block from `base` that the window has room for and does not hold.
    fn wanted(&self) -> u32 {
        let left = self.source.size - self.offset();
        if left == 0 {
            return 0;
        }
        let left = left.saturating_add(self.skip);
        let blocks = left.div_ceil(self.settings.block_size).min(self.room);
        let all = u32::MAX.checked_shr(u32::BITS - blocks).unwrap_or(0);
        all & !self.arrived
    }

    /// Bytes of a block; 0 if the file does not have it.
    fn block_len(&self, block: u32) -> u32 {
        let size = self.settings.block_size;
        let start = block.saturating_mul(size);
        self.source.size.saturating_sub(start).min(size)
    }

    /// Where a block is in the window.
    fn place(&self, block: u32) -> core::ops::Range<usize> {
        let start = (block % self.room * self.settings.block_size) as usize;
        start..start + self.block_len(block) as usize
    }

    /// Asks for these blocks of the window, one at least.
    fn request<'b>(&self, ask: u32, buffer: &'b mut [u8]) -> Result<Publish<'b>, BufferTooSmall> {
        let (format, block_size) = (E::FORMAT, self.settings.block_size);
        let first = ask.trailing_zeros();
        let offset = self.base + first;
        let topic = Topic::Stream {
            name: self.source.stream,
            message: StreamMessage::Get,
            format,
        };
        let file = u32::from(self.source.file);
        let bits = ask >> first;
        compose(buffer, self.source.thing, topic, |sink| {
            if self.settings.requests == Requests::CLibrary {
                GetStream::emit_as_c_library(format, file, block_size, offset, 1, sink);
                return;
            }
            let bytes = bits.to_le_bytes();
            let len = (u32::BITS - bits.leading_zeros()).div_ceil(8) as usize;
            let bitmap = bytes.get(..len).unwrap_or_default();
            // Blocks that follow each other need none.
            let has_holes = bits & bits.wrapping_add(1) != 0;
            let request = GetStream {
                token: Some(TOKEN.into()),
                version: None,
                file,
                block_size,
                offset,
                bitmap: has_holes.then_some(bitmap),
                count: Some(bits.count_ones()),
            };
            request.emit(format, sink);
        })
    }
}

/// What the C library has for a token, too.
const TOKEN: &str = "rdy";

fn refusal(
    message: Result<Rejected<'_>, MessageError>,
) -> Result<Result<Received, BadBlock>, StreamError> {
    let rejected = match message {
        Ok(rejected) => rejected,
        Err(error) => return Ok(Err(BadBlock::Message(error))),
    };
    match rejected.known_code() {
        // Of these it is not known that they stay.
        None | Some(streams::ErrorCode::InternalError) => Ok(Err(BadBlock::Refusal)),
        Some(code) => Err(StreamError::Rejected(code)),
    }
}

#[cfg(test)]
mod tests;
