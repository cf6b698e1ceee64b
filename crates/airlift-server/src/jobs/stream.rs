//! Files in blocks, over `streams/{stream}/...`.
//!
//! A thing gets the files of the jobs that it has to do, and no others: with the end of an execution its stream ends, so that a
//! canceled job stops also a thing that does not listen to what it is told.

use std::sync::Arc;

use airlift_formats::aws::streams::{
    Block, Data, DescribeStream, Description, EndOfFile, ErrorCode, GetStream, Payload, Rejected,
    StreamFile,
};
use airlift_formats::aws::{Format, MessageError, Text};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;

use super::job::File;
use super::reply::{Publication, Reply};
use super::service::AwsService;
use super::thing::Thing;
use crate::catalog::Catalog;
use crate::store::cache::ImageError;

/// The version of every stream: what a stream carries never changes, as another job has another stream.
const VERSION: u32 = 1;

/// Blocks of a file, to be taken one by one. Holds which ones, and not their bytes.
pub(crate) struct BlockSource {
    catalog: Arc<Catalog>,
    /// `streams/{stream}`
    stream: Box<str>,
    format: Format,
    token: Option<Box<str>>,
    file: File,
    /// 512 at most: so many small blocks are as large as an answer may be.
    blocks: std::vec::IntoIter<Block>,
}

impl std::fmt::Debug for BlockSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockSource")
            .field("stream", &self.stream)
            .field("file", &self.file.id)
            .field("left", &self.blocks.len())
            .finish_non_exhaustive()
    }
}

impl BlockSource {
    /// The next block. If it cannot be read, the last publication is one that says so.
    #[allow(dead_code, reason = "for the MQTT door")]
    pub(crate) async fn next(&mut self) -> Option<Publication> {
        let block = self.blocks.next()?;
        let token = self.token.as_deref().map(Text::from);
        match read(&self.catalog, &self.file, block).await {
            Ok(bytes) => {
                let data = Data {
                    token,
                    file: self.file.id.into(),
                    block: block.id,
                    len: block.len,
                    payload: Payload::Bytes(&bytes),
                };
                // Base64 is a third longer; the rest is the longest token and the numbers.
                let mut payload = Vec::with_capacity(bytes.len() / 3 * 4 + 160);
                data.emit(self.format, &mut payload);
                Some(publication(&self.stream, "data", self.format, payload))
            }
            Err(error) => {
                tracing::error!(%error, "a file of a job cannot be read");
                self.blocks = Vec::new().into_iter();
                let rejected = Rejected::new(token, ErrorCode::InternalError);
                Some(reject(&self.stream, self.format, &rejected))
            }
        }
    }
}

async fn read(catalog: &Catalog, file: &File, block: Block) -> Result<Bytes, ImageError> {
    let images = &catalog.images;
    let (start, end) = (
        u64::from(block.offset),
        u64::from(block.offset) + u64::from(block.len),
    );
    if images.takes(file.size) {
        let image = match images.get(&file.sha256) {
            Some(image) => image,
            None => images.load(&file.sha256, file.size).await?,
        };
        // The digest was checked when it was loaded, so the length is right; a slice outside would be a bug, not an input.
        let bounds = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(image.len());
        return Ok(image.slice(bounds(start)..bounds(end)));
    }
    let failed = |error| ImageError::Store(file.sha256, error);
    let stream = images.objects().stream(&file.sha256, start..end).await;
    let mut stream = std::pin::pin!(stream.map_err(failed)?);
    let mut bytes = BytesMut::new();
    while let Some(piece) = stream.next().await {
        bytes.extend_from_slice(&piece.map_err(failed)?);
    }
    Ok(bytes.freeze())
}

impl AwsService {
    /// A request below `streams/`; `rest` is what follows.
    pub(super) async fn stream_request(
        self: &Arc<Self>,
        thing: &Arc<Thing>,
        rest: &str,
        payload: &[u8],
    ) -> Reply {
        let mut levels = rest.split('/');
        let (Some(stream), Some(operation), Some(format), None) =
            (levels.next(), levels.next(), levels.next(), levels.next())
        else {
            return Reply::None;
        };
        let format = match format {
            "json" => Format::Json,
            "cbor" => Format::Cbor,
            _ => return Reply::None,
        };
        let topic: Box<str> = format!("streams/{stream}").into();
        let answer = match operation {
            "get" => self.get_stream(thing, stream, format, payload).await,
            "describe" => self.describe_stream(thing, stream, format, payload).await,
            // Where answers go: nothing that asks for anything.
            "data" | "description" | "rejected" => return Reply::None,
            _ => Err(emit(format, &Rejected::new(None, ErrorCode::InvalidTopic))),
        };
        match answer {
            Ok(Answer::Blocks {
                token,
                file,
                blocks,
            }) => Reply::Blocks(BlockSource {
                catalog: Arc::clone(self.catalog()),
                stream: topic,
                format,
                token,
                file,
                blocks: blocks.into_iter(),
            }),
            Ok(Answer::Description(payload)) => {
                Reply::One(publication(&topic, "description", format, payload))
            }
            Err(rejected) => Reply::One(publication(&topic, "rejected", format, rejected)),
        }
    }

    async fn get_stream(
        &self,
        thing: &Arc<Thing>,
        stream: &str,
        format: Format,
        payload: &[u8],
    ) -> Result<Answer, Vec<u8>> {
        let emitted = |rejected: Rejected<'_>| emit(format, &rejected);
        let request = GetStream::parse(format, payload).map_err(|refused| {
            log(thing, stream, refused.cause);
            emitted(refused.answer)
        })?;
        let refuse = |code| emitted(Rejected::new(request.token, code));
        let files = self.files(thing, stream).await.map_err(refuse)?;
        if request.version.is_some_and(|version| version != VERSION) {
            return Err(refuse(ErrorCode::VersionMismatch));
        }
        let file = files
            .iter()
            .find(|file| u32::from(file.id) == request.file)
            .ok_or_else(|| refuse(ErrorCode::ResourceNotFound))?;
        // An upload is far smaller than what a number of 32 bits holds.
        let size = u32::try_from(file.size).unwrap_or(u32::MAX);
        let blocks = request
            .selected(size, EndOfFile::LeaveOut)
            .map_err(|_| emitted(Rejected::out_of_data(request.token)))?;
        Ok(Answer::Blocks {
            token: request.token.map(|token| token.chars().collect()),
            file: *file,
            blocks: blocks.collect(),
        })
    }

    async fn describe_stream(
        &self,
        thing: &Arc<Thing>,
        stream: &str,
        format: Format,
        payload: &[u8],
    ) -> Result<Answer, Vec<u8>> {
        let request = match payload {
            [] => DescribeStream::default(),
            _ => DescribeStream::parse(format, payload).map_err(|refused| {
                log(thing, stream, refused.cause);
                emit(format, &refused.answer)
            })?,
        };
        let files = self.files(thing, stream).await;
        let files = files.map_err(|code| emit(format, &Rejected::new(request.token, code)))?;
        let description = Description {
            token: request.token,
            version: VERSION,
            description: None,
            files: files.iter().map(|file| StreamFile {
                id: file.id.into(),
                size: u32::try_from(file.size).unwrap_or(u32::MAX),
            }),
        };
        let mut payload = Vec::new();
        description.emit(format, &mut payload);
        Ok(Answer::Description(payload))
    }

    /// The files of a stream, if a job that this thing has to do has one of that name.
    async fn files(&self, thing: &Arc<Thing>, stream: &str) -> Result<Arc<[File]>, ErrorCode> {
        let files = self.files_of_stream(thing, stream).await;
        let files = files.map_err(|_| ErrorCode::InternalError)?;
        files.ok_or(ErrorCode::ResourceNotFound)
    }
}

enum Answer {
    Blocks {
        token: Option<Box<str>>,
        file: File,
        blocks: Vec<Block>,
    },
    Description(Vec<u8>),
}

fn log(thing: &Thing, stream: &str, cause: MessageError) {
    tracing::debug!(thing = %thing.name, stream = %stream.escape_debug(), %cause, "a stream request is refused");
}

fn emit(format: Format, rejected: &Rejected<'_>) -> Vec<u8> {
    let mut payload = Vec::new();
    rejected.emit(format, &mut payload);
    payload
}

fn reject(stream: &str, format: Format, rejected: &Rejected<'_>) -> Publication {
    publication(stream, "rejected", format, emit(format, rejected))
}

fn publication(stream: &str, kind: &str, format: Format, payload: Vec<u8>) -> Publication {
    Publication {
        topic_rest: format!("{stream}/{kind}/{}", format.name()),
        payload: payload.into(),
    }
}
