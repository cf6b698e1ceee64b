//! What a stream consists of.

use super::super::{
    Elements, Format, MessageError, Sink, Text,
    emit::Emitter,
    value::{Node, Reader, Walk},
};
use super::{MAX_FILE_ID, MAX_STREAM_VERSION};

/// Which files a stream has: the answer to [`DescribeStream`](super::DescribeStream).
///
/// `F` is the list of files: any iterator of [`StreamFile`] in a message that is written, [`Files`] in one that was read.
#[derive(Debug, Clone)]
pub struct Description<'a, F> {
    /// `c`: the token of the request.
    pub token: Option<Text<'a>>,
    /// `s`: the version of the stream, 0 to [`MAX_STREAM_VERSION`].
    pub version: u32,
    /// `d`: what somebody wrote about it.
    pub description: Option<Text<'a>>,
    /// `r`: its files.
    pub files: F,
}

/// A file of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamFile {
    /// `f`: its number, 0 to [`MAX_FILE_ID`].
    pub id: u32,
    /// `z`: its size in bytes.
    pub size: u32,
}

impl StreamFile {
    fn read(reader: &mut Reader<'_>, node: Node) -> Self {
        Self {
            id: reader.number(node, "f", MAX_FILE_ID),
            size: reader.number(node, "z", u32::MAX),
        }
    }
}

/// The files of a description that was read: nothing in them is wrong.
#[derive(Debug, Clone)]
pub struct Files<'a>(Option<Elements<'a>>);

impl Iterator for Files<'_> {
    type Item = StreamFile;

    fn next(&mut self) -> Option<StreamFile> {
        let value = self.0.as_mut()?.next()?;
        Some(StreamFile::read(&mut value.reader(), value.offset()))
    }
}

impl<'a> Description<'a, Files<'a>> {
    /// Reads a message.
    ///
    /// # Errors
    /// It is none, or one of the files is none.
    pub fn parse(format: Format, message: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(format, message);
        let root = reader.root;
        let list = reader.list(root, "r").map(|(_, walk)| walk);
        let mut files = list.clone();
        while let Some((_, node, _)) = files.as_mut().and_then(Walk::next) {
            StreamFile::read(&mut reader, node);
        }
        let description = Self {
            token: reader.optional_text(root, "c"),
            version: reader.number(root, "s", MAX_STREAM_VERSION),
            description: reader.optional_text(root, "d"),
            files: Files(list.map(Elements)),
        };
        reader.finish(description)
    }
}

impl<F: Iterator<Item = StreamFile> + Clone> Description<'_, F> {
    /// Writes the message.
    pub fn emit<S: Sink + ?Sized>(&self, format: Format, sink: &mut S) {
        let mut emitter = Emitter::new(format, sink);
        emitter.open(None);
        if let Some(token) = self.token {
            emitter.text("c", token);
        }
        emitter.unsigned("s", self.version);
        if let Some(description) = self.description {
            emitter.text("d", description);
        }
        emitter.open_list("r");
        for file in self.files.clone() {
            emitter.element();
            emitter.open(Some(2));
            emitter.unsigned("f", file.id);
            emitter.unsigned("z", file.size);
            emitter.close(Some(2));
        }
        emitter.close_list();
        emitter.close(None);
    }
}
