//! Where the bytes of files come from: streams over the connection that there is, or HTTP over one of its own.

use airlift_formats::aws::Text;
use airlift_formats::aws::job_document::File;
use airlift_formats::aws::topic::Topic;

use super::super::dual;
use crate::Retry;
use crate::download::aws_stream::{self, BlockDownload, Encoding, Settings, StreamError};
use crate::mqtt::Publish;
use crate::retry::Timer;

/// Fetches the files of jobs.
#[dual(AFIT)]
#[allow(async_fn_in_trait)] // As in `BootControl`.
pub trait Source {
    /// A file that is fetched.
    type Fetching<'s>: Fetching
    where
        Self: 's;

    /// Begins to fetch a file from byte `from` on.
    ///
    /// # Errors
    /// It cannot be fetched.
    fn open<'s>(
        &'s mut self,
        thing: &'s str,
        stream: Option<&'s str>,
        file: &File<'s>,
        from: u32,
    ) -> Result<Self::Fetching<'s>, StreamError>;
}

/// A file that is fetched. The agent calls [`poll`](Self::poll) and [`pull`](Self::pull) in turn, and takes what is [`ready`](Self::ready).
#[dual(AFIT)]
#[allow(async_fn_in_trait)] // As in `BootControl`.
pub trait Fetching {
    /// The unit in which progress is told, in bytes.
    fn block_size(&self) -> u32;

    /// Bytes of the file in front of what [`ready`](Self::ready) gives next.
    fn offset(&self) -> u32;

    /// Whether all bytes were taken.
    fn is_complete(&self) -> bool;

    /// What is to be published now, if anything.
    ///
    /// # Errors
    /// The file cannot be fetched.
    fn poll<'m>(
        &mut self,
        now: u32,
        buffer: &'m mut [u8],
    ) -> Result<Option<Publish<'m>>, StreamError>;

    /// Takes a message that came.
    ///
    /// # Errors
    /// The file cannot be fetched.
    fn receive(&mut self, topic: &Topic<'_>, payload: &[u8], now: u32) -> Result<(), StreamError>;

    /// Waits for bytes that come by another way than messages. Whether some came: then it is asked again soon.
    ///
    /// # Errors
    /// The file cannot be fetched.
    async fn pull(&mut self, now: u32) -> Result<bool, StreamError>;

    /// When to go on even if no message comes.
    fn due(&self) -> Option<u32>;

    /// The next bytes, if they are there.
    fn ready(&self) -> Option<&[u8]>;

    /// They were taken.
    fn taken(&mut self);
}

/// Files come by streams.
#[derive(Debug)]
pub struct StreamSource<'w, E> {
    window: &'w mut [u8],
    settings: Settings,
    encoding: core::marker::PhantomData<E>,
}

impl<'w, E: Encoding> StreamSource<'w, E> {
    /// Blocks on their way are kept in `window`: as many as have room in it.
    pub fn new(settings: Settings, window: &'w mut [u8]) -> Self {
        Self {
            window,
            settings,
            encoding: core::marker::PhantomData,
        }
    }
}

#[dual(AFIT)]
impl<E: Encoding> Source for StreamSource<'_, E> {
    type Fetching<'s>
        = BlockDownload<'s, 's, E>
    where
        Self: 's;

    fn open<'s>(
        &'s mut self,
        thing: &'s str,
        stream: Option<&'s str>,
        file: &File<'s>,
        from: u32,
    ) -> Result<BlockDownload<'s, 's, E>, StreamError> {
        let source = aws_stream::Source {
            thing,
            stream: stream.unwrap_or_default(),
            file: file.id,
            size: file.size,
        };
        BlockDownload::new(source, self.settings, from, self.window)
    }
}

#[dual(AFIT)]
impl<E: Encoding> Fetching for BlockDownload<'_, '_, E> {
    fn block_size(&self) -> u32 {
        self.block_size()
    }

    fn offset(&self) -> u32 {
        self.offset()
    }

    fn is_complete(&self) -> bool {
        self.is_complete()
    }

    fn poll<'m>(
        &mut self,
        now: u32,
        buffer: &'m mut [u8],
    ) -> Result<Option<Publish<'m>>, StreamError> {
        self.poll(now, buffer)
    }

    fn receive(&mut self, topic: &Topic<'_>, payload: &[u8], now: u32) -> Result<(), StreamError> {
        // What is no good is asked for again.
        self.receive(topic, payload, now).map(|_| ())
    }

    async fn pull(&mut self, _now: u32) -> Result<bool, StreamError> {
        Ok(false)
    }

    fn due(&self) -> Option<u32> {
        self.due()
    }

    fn ready(&self) -> Option<&[u8]> {
        self.ready()
    }

    fn taken(&mut self) {
        self.taken();
    }
}

/// Gets files over HTTP, as the application can: with [`download::http`](crate::download::http), or with what its network stack has.
#[dual(AFIT)]
#[allow(async_fn_in_trait)] // As in `BootControl`.
pub trait HttpClient {
    /// Sends a `GET` with `Range: bytes=from-`, without it if `from` is 0, and reads the head of the answer. What was open before is closed.
    ///
    /// # Errors
    /// None if it may go better another time; otherwise the status that was answered.
    async fn get(&mut self, url: Text<'_>, from: u32) -> Result<(), Option<u16>>;

    /// The next bytes of the body; 0 at its end. Should not wait for much longer than a second: the agent listens to nothing else meanwhile.
    ///
    /// # Errors
    /// The connection broke, or nothing came: it is tried again.
    #[allow(clippy::result_unit_err)] // What went wrong makes no difference.
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ()>;
}

/// Files come over HTTP.
#[derive(Debug)]
pub struct HttpSource<'w, H> {
    client: H,
    buffer: &'w mut [u8],
    retry: Retry,
}

impl<'w, H> HttpSource<'w, H> {
    /// Bytes come through `buffer`.
    pub fn new(client: H, retry: Retry, buffer: &'w mut [u8]) -> Self {
        Self {
            client,
            buffer,
            retry,
        }
    }
}

/// A file that is fetched over HTTP.
#[derive(Debug)]
pub struct HttpFetching<'s, H> {
    client: &'s mut H,
    buffer: &'s mut [u8],
    url: Text<'s>,
    size: u32,
    offset: u32,
    /// Bytes in the buffer.
    filled: u32,
    connected: bool,
    retry: Retry,
    /// What was tried, and when to try again.
    timer: Option<Timer>,
}

#[dual(AFIT)]
impl<H: HttpClient> Source for HttpSource<'_, H> {
    type Fetching<'s>
        = HttpFetching<'s, H>
    where
        Self: 's;

    fn open<'s>(
        &'s mut self,
        _thing: &'s str,
        _stream: Option<&'s str>,
        file: &File<'s>,
        from: u32,
    ) -> Result<HttpFetching<'s, H>, StreamError> {
        Ok(HttpFetching {
            client: &mut self.client,
            buffer: self.buffer,
            url: file.url.unwrap_or_default(),
            size: file.size,
            offset: from,
            filled: 0,
            connected: false,
            retry: self.retry,
            timer: None,
        })
    }
}

impl<H> HttpFetching<'_, H> {
    /// It did not work: when to try again.
    fn failed(&mut self, now: u32) -> Result<bool, StreamError> {
        self.connected = false;
        match &mut self.timer {
            Some(timer) => {
                if !timer.again(now) {
                    return Err(StreamError::Unanswered);
                }
            }
            none => *none = Some(Timer::start(self.retry, now)),
        }
        Ok(false)
    }
}

#[dual(AFIT)]
impl<H: HttpClient> Fetching for HttpFetching<'_, H> {
    fn block_size(&self) -> u32 {
        4096
    }

    fn offset(&self) -> u32 {
        self.offset
    }

    fn is_complete(&self) -> bool {
        self.offset == self.size
    }

    fn poll<'m>(
        &mut self,
        _now: u32,
        _buffer: &'m mut [u8],
    ) -> Result<Option<Publish<'m>>, StreamError> {
        Ok(None)
    }

    fn receive(&mut self, _: &Topic<'_>, _: &[u8], _: u32) -> Result<(), StreamError> {
        Ok(())
    }

    async fn pull(&mut self, now: u32) -> Result<bool, StreamError> {
        if !self.connected {
            if self.timer.is_some_and(|timer| !timer.is_due(now)) {
                return Ok(false);
            }
            match self.client.get(self.url, self.offset).await {
                Ok(()) => self.connected = true,
                Err(Some(status)) => return Err(StreamError::HttpStatus(status)),
                Err(None) => return self.failed(now),
            }
        }
        match self.client.read(self.buffer).await {
            Ok(0) | Err(()) => self.failed(now),
            Ok(read) => {
                self.filled = (read as u32).min(self.size - self.offset);
                self.timer = None;
                Ok(true)
            }
        }
    }

    fn due(&self) -> Option<u32> {
        self.timer.map(|timer| timer.due())
    }

    fn ready(&self) -> Option<&[u8]> {
        let bytes = self.buffer.get(..self.filled as usize);
        bytes.filter(|bytes| !bytes.is_empty())
    }

    fn taken(&mut self) {
        self.offset += self.filled;
        self.filled = 0;
    }
}
