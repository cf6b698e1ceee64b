//! Why a request is refused.

use super::super::{Format, MessageError, Sink, Text, emit::Emitter, value::Reader};

/// The answer to a request that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejected<'a> {
    /// The token of the request, if it could be read.
    pub token: Option<Text<'a>>,
    /// The code: one of [`ErrorCode`], or another.
    pub code: Text<'a>,
    /// What happened, for people.
    pub message: Text<'a>,
}

/// Why a request is refused, by the words that AWS has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The topic is none for requests.
    InvalidTopic,
    /// The request is not JSON, or a field of it is of another type.
    InvalidJson,
    /// The request is not CBOR, or a field of it is of another type.
    InvalidCbor,
    /// A field is missing or not within its limits, or the blocks are behind the end of the file.
    InvalidRequest,
    /// The device may not have this stream.
    Unauthorized,
    /// `l` is not 256 to 131072.
    BlockSizeOutOfBounds,
    /// `o` is not 0 to 98304.
    OffsetOutOfBounds,
    /// `n` is not 0 to 98304.
    BlockCountLimitExceeded,
    /// `b` has 12288 bytes or more.
    BlockBitmapLimitExceeded,
    /// There is no such stream, or no such file in it.
    ResourceNotFound,
    /// The stream has another version than `s`.
    VersionMismatch,
    /// The file has changed since the stream was made.
    ETagMismatch,
    /// Something went wrong that is not the request's fault.
    InternalError,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 13] = [
        Self::InvalidTopic,
        Self::InvalidJson,
        Self::InvalidCbor,
        Self::InvalidRequest,
        Self::Unauthorized,
        Self::BlockSizeOutOfBounds,
        Self::OffsetOutOfBounds,
        Self::BlockCountLimitExceeded,
        Self::BlockBitmapLimitExceeded,
        Self::ResourceNotFound,
        Self::VersionMismatch,
        Self::ETagMismatch,
        Self::InternalError,
    ];

    /// The word in the message.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidTopic => "InvalidTopic",
            Self::InvalidJson => "InvalidJson",
            Self::InvalidCbor => "InvalidCbor",
            Self::InvalidRequest => "InvalidRequest",
            Self::Unauthorized => "Unauthorized",
            Self::BlockSizeOutOfBounds => "BlockSizeOutOfBounds",
            Self::OffsetOutOfBounds => "OffsetOutOfBounds",
            Self::BlockCountLimitExceeded => "BlockCountLimitExceeded",
            Self::BlockBitmapLimitExceeded => "BlockBitmapLimitExceeded",
            Self::ResourceNotFound => "ResourceNotFound",
            Self::VersionMismatch => "VersionMismatch",
            Self::ETagMismatch => "ETagMismatch",
            Self::InternalError => "InternalError",
        }
    }

    /// What happened, for people; where a message of AWS is known, that one.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::InvalidTopic => "Invalid topic",
            Self::InvalidJson => "Invalid JSON message",
            Self::InvalidCbor => "Invalid CBOR message",
            Self::InvalidRequest => "Invalid request",
            Self::Unauthorized => "The device may not read this stream",
            Self::BlockSizeOutOfBounds => "The block size is out of bounds",
            Self::OffsetOutOfBounds => "The block offset is out of bounds",
            Self::BlockCountLimitExceeded => "The number of blocks is out of bounds",
            Self::BlockBitmapLimitExceeded => "The bitmap of blocks is too long",
            Self::ResourceNotFound => "There is no such stream or file",
            Self::VersionMismatch => "The stream has another version",
            Self::ETagMismatch => "The file has changed since the stream was made",
            Self::InternalError => "The request could not be answered",
        }
    }
}

impl<'a> Rejected<'a> {
    /// The answer with this code.
    #[must_use]
    pub fn new(token: Option<Text<'a>>, code: ErrorCode) -> Self {
        Self {
            token,
            code: code.name().into(),
            message: code.message().into(),
        }
    }

    /// The answer to a request for blocks that the file does not have.
    #[must_use]
    pub fn out_of_data(token: Option<Text<'a>>) -> Self {
        Self {
            message: "The data requested is out of the range of data available.".into(),
            ..Self::new(token, ErrorCode::InvalidRequest)
        }
    }

    /// The code, if it is a known one.
    #[must_use]
    pub fn known_code(&self) -> Option<ErrorCode> {
        ErrorCode::ALL
            .into_iter()
            .find(|code| self.code.is(code.name()))
    }

    /// Reads a message: by the short names of its members, and by the long ones where these are missing.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(format: Format, message: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(format, message);
        let root = reader.root;
        let rejected = Self {
            token: reader
                .optional_text(root, "c")
                .or_else(|| reader.optional_text(root, "clientToken")),
            message: (reader.optional_text(root, "m"))
                .or_else(|| reader.optional_text(root, "message"))
                .unwrap_or_default(),
            code: (reader.optional_text(root, "o")).unwrap_or_else(|| reader.text(root, "code")),
        };
        reader.finish(rejected)
    }

    /// Writes the message with both names of each member, as AWS does.
    pub fn emit<S: Sink + ?Sized>(&self, format: Format, sink: &mut S) {
        let mut emitter = Emitter::new(format, sink);
        emitter.open(None);
        if let Some(token) = self.token {
            emitter.text("clientToken", token);
            emitter.text("c", token);
        }
        emitter.text("code", self.code);
        emitter.text("o", self.code);
        emitter.text("message", self.message);
        emitter.text("m", self.message);
        emitter.close(None);
    }
}
