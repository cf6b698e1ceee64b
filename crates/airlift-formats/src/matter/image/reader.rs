//! A whole file in pieces of any size.

use super::{Header, HeaderParser, MAX_HEADER_LEN, OtaImageError, PayloadVerifier, Rules, Summary};

/// Reads a file that comes in pieces of any size.
///
/// What it says does not depend on the pieces. The payload's bytes come out before anything is known of their digest:
/// nothing that they cause may be final before [`finish`](Self::finish) has said that the file is right.
///
/// ```
/// use airlift_formats::matter::image::{DigestAlgorithm, Event, ImageBuilder, ImageReader, MAX_HEADER_LEN, Rules};
///
/// let file = ImageBuilder::new(0xFFF1, 0x8001, 2, "2.0").build(b"firmware")?;
///
/// let mut buffer = [0; MAX_HEADER_LEN];
/// let mut reader = ImageReader::new(&mut buffer, Rules::strict());
/// let mut payload = Vec::new();
/// for mut piece in file.chunks(7) {
///     while let Some(event) = reader.read(&mut piece)? {
///         match event {
///             Event::Header(header) => assert_eq!(header.software_version, 2),
///             Event::Payload(bytes) => payload.extend_from_slice(bytes),
///         }
///     }
/// }
/// reader.finish()?;
/// assert_eq!(payload, b"firmware");
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ImageReader<'b> {
    header: HeaderParser<'b>,
    payload: Option<PayloadVerifier>,
    failure: Option<OtaImageError>,
}

/// What comes out of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// The header, once and first.
    Header(Header<'a>),
    /// The next bytes of the payload: at least one.
    Payload(&'a [u8]),
}

impl<'b> ImageReader<'b> {
    /// A reader at the start of a file. The buffer holds the header.
    #[must_use]
    pub const fn new(buffer: &'b mut [u8; MAX_HEADER_LEN], rules: Rules) -> Self {
        Self {
            header: HeaderParser::new(buffer, rules),
            payload: None,
            failure: None,
        }
    }

    /// Takes bytes from the front of `input` and says what they are; none when `input` is used up.
    ///
    /// # Errors
    /// The first thing that is wrong; the same again ever after.
    pub fn read<'a, 'd: 'a>(
        &'a mut self,
        input: &mut &'d [u8],
    ) -> Result<Option<Event<'a>>, OtaImageError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        if input.is_empty() {
            return Ok(None);
        }
        if let Some(payload) = &mut self.payload {
            return match payload.update(input) {
                Ok([]) => Ok(None),
                Ok(bytes) => Ok(Some(Event::Payload(bytes))),
                Err(failure) => {
                    self.failure = Some(failure);
                    Err(failure)
                }
            };
        }
        if !self.header.push(input)? {
            return Ok(None);
        }
        let offset = self.header.position();
        match self.header.header() {
            Ok(header) => {
                self.payload = Some(PayloadVerifier::new(&header, offset, self.header.rules()));
                Ok(Some(Event::Header(header)))
            }
            Err(failure) => {
                self.failure = Some(failure);
                Err(failure)
            }
        }
    }

    /// Says that no more bytes come.
    ///
    /// # Errors
    /// What [`read`](Self::read) said; bytes are missing; the digest is not that of the payload.
    pub fn finish(self) -> Result<Summary, OtaImageError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        match self.payload {
            Some(payload) => payload.finish(),
            // Nothing more than a part of the header has come: this is an error.
            None => {
                let header = self.header.header()?;
                PayloadVerifier::new(&header, self.header.position(), self.header.rules()).finish()
            }
        }
    }

    /// Bytes of the payload so far: what a progress bar shows.
    #[must_use]
    pub fn payload_position(&self) -> u64 {
        self.payload.as_ref().map_or(0, PayloadVerifier::position)
    }
}
