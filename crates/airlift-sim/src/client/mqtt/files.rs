//! How the files of a job come: by its stream, or over HTTP from the addresses in its document.

use std::cell::{Cell, RefCell};

use airlift_device::Retry;
use airlift_device::agent::{Fetching, HttpClient, HttpFetching, HttpSource, Source, StreamSource};
use airlift_device::download::aws_stream::{
    BlockDownload, Encoding, Settings as StreamSettings, StreamError,
};
use airlift_device::download::http::ContentRange;
use airlift_device::mqtt::Publish;
use airlift_device::notify::aws_jobs::{AfrOtaParser, JobParser, Parsed};
use airlift_formats::aws::job_document::{File, Protocol};
use airlift_formats::aws::topic::Topic;
use airlift_formats::aws::{Text, Value};

use super::super::UpdateUrl;
use super::super::connection::{self, Answered};
use super::jobs::Shared;

/// Takes the documents whose files come by a stream, and those whose files come over HTTP. Where there is a choice, the stream it is.
pub(super) struct EitherWay<'c> {
    /// The way of the document that was read last.
    pub(super) way: &'c Cell<Protocol>,
}

impl JobParser for EitherWay<'_> {
    fn parse<'d>(&mut self, job: &str, document: &Value<'d>) -> Parsed<'d> {
        let by_stream = AfrOtaParser(Protocol::Mqtt).parse(job, document);
        let has_no_stream = matches!(
            by_stream,
            Parsed::Declined {
                field: "protocols",
                ..
            }
        );
        if !has_no_stream {
            self.way.set(Protocol::Mqtt);
            return by_stream;
        }
        self.way.set(Protocol::Http);
        match AfrOtaParser(Protocol::Http).parse(job, document) {
            Parsed::Update(update) => {
                let mut urls = { update.files.clone() }.map(|file| url(file.url));
                match urls.all(|url| url.is_some()) {
                    true => Parsed::Update(update),
                    false => Parsed::Declined {
                        cause: "only-http",
                        field: "update_data_url",
                    },
                }
            }
            other => other,
        }
    }
}

fn url(text: Option<Text<'_>>) -> Option<UpdateUrl> {
    text?.chars().collect::<String>().parse().ok()
}

/// Fetches files either way.
pub(super) struct Files<'w, 'c, 's, 'o, 'e, E> {
    way: &'c Cell<Protocol>,
    stream: StreamSource<'w, E>,
    http: HttpSource<'w, Http<'c, 's, 'o, 'e>>,
}

impl<'w, 'c, 's, 'o, 'e, E: Encoding> Files<'w, 'c, 's, 'o, 'e, E> {
    pub(super) fn new(
        way: &'c Cell<Protocol>,
        settings: StreamSettings,
        retry: Retry,
        window: &'w mut [u8],
        buffer: &'w mut [u8],
        shared: &'c RefCell<Shared<'s, 'o, 'e>>,
    ) -> Self {
        let http = Http { shared, open: None };
        Self {
            way,
            stream: StreamSource::new(settings, window),
            http: HttpSource::new(http, retry, buffer),
        }
    }
}

impl<'c, 's, 'o, 'e, E: Encoding> Source for Files<'_, 'c, 's, 'o, 'e, E> {
    type Fetching<'f>
        = FileFetching<'f, 'c, 's, 'o, 'e, E>
    where
        Self: 'f;

    fn open<'f>(
        &'f mut self,
        thing: &'f str,
        stream: Option<&'f str>,
        file: &File<'f>,
        from: u32,
    ) -> Result<Self::Fetching<'f>, StreamError> {
        Ok(match self.way.get() {
            Protocol::Mqtt => FileFetching::Stream(self.stream.open(thing, stream, file, from)?),
            Protocol::Http => FileFetching::Http(self.http.open(thing, stream, file, from)?),
        })
    }
}

/// A file that is fetched.
pub(super) enum FileFetching<'f, 'c, 's, 'o, 'e, E: Encoding> {
    Stream(BlockDownload<'f, 'f, E>),
    Http(HttpFetching<'f, Http<'c, 's, 'o, 'e>>),
}

macro_rules! either {
    ($fetching:expr, $way:ident => $do:expr) => {
        match $fetching {
            FileFetching::Stream($way) => $do,
            FileFetching::Http($way) => $do,
        }
    };
}

impl<E: Encoding> Fetching for FileFetching<'_, '_, '_, '_, '_, E> {
    fn block_size(&self) -> u32 {
        either!(self, way => Fetching::block_size(way))
    }

    fn offset(&self) -> u32 {
        either!(self, way => Fetching::offset(way))
    }

    fn is_complete(&self) -> bool {
        either!(self, way => Fetching::is_complete(way))
    }

    fn poll<'m>(
        &mut self,
        now: u32,
        buffer: &'m mut [u8],
    ) -> Result<Option<Publish<'m>>, StreamError> {
        either!(self, way => Fetching::poll(way, now, buffer))
    }

    fn receive(&mut self, topic: &Topic<'_>, payload: &[u8], now: u32) -> Result<(), StreamError> {
        either!(self, way => Fetching::receive(way, topic, payload, now))
    }

    async fn pull(&mut self, now: u32) -> Result<bool, StreamError> {
        either!(self, way => Fetching::pull(way, now).await)
    }

    fn due(&self) -> Option<u32> {
        either!(self, way => Fetching::due(way))
    }

    fn ready(&self) -> Option<&[u8]> {
        either!(self, way => Fetching::ready(way))
    }

    fn taken(&mut self) {
        either!(self, way => Fetching::taken(way));
    }
}

/// Requests over HTTP, each on a connection of its own.
pub(super) struct Http<'c, 's, 'o, 'e> {
    shared: &'c RefCell<Shared<'s, 'o, 'e>>,
    open: Option<Open>,
}

/// An answer whose body is read.
struct Open {
    answered: Answered,
    /// Bytes of the file in front of what comes next.
    at: u32,
    /// Bytes of the body that come first and are there already.
    skip: usize,
}

impl HttpClient for Http<'_, '_, '_, '_> {
    async fn get(&mut self, address: Text<'_>, from: u32) -> Result<(), Option<u16>> {
        self.open = None;
        // It is one: the parser has looked.
        let url = url(Some(address)).ok_or(None)?;
        let range = match from {
            0 => String::new(),
            from => format!("Range: bytes={from}-\r\n"),
        };
        let request = format!(
            "GET {} HTTP/1.0\r\nHost: {}\r\nConnection: close\r\n{range}\r\n",
            url.target, url.server.authority
        );
        let answered = connection::exchange(&url.server, request.as_bytes()).map_err(|_| None)?;
        let skip = match (answered.head.status, answered.head.content_range) {
            (206, Some(ContentRange::Bytes { first, .. })) if first == from => 0,
            // It knows no ranges.
            (200, _) => from as usize,
            (206 | 429 | 500..=599, _) => return Err(None),
            (status, _) => return Err(Some(status)),
        };
        self.open = Some(Open {
            answered,
            at: from,
            skip,
        });
        Ok(())
    }

    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ()> {
        let open = self.open.as_mut().ok_or(())?;
        loop {
            let count = open.answered.receive(buffer).map_err(|_| ())?;
            let known = open.skip.min(count);
            open.skip -= known;
            if known > 0 && known == count {
                continue;
            }
            buffer.copy_within(known..count, 0);
            let fresh = count - known;
            let bytes = buffer.get_mut(..fresh).ok_or(())?;
            self.shared.borrow_mut().fetched(open.at, bytes);
            open.at = open.at.saturating_add(fresh as u32);
            return Ok(fresh);
        }
    }
}
