//! Collects the header from pieces of any size.

use super::{FIXED_HEADER_LEN, FixedHeader, Header, MAX_HEADER_LEN, OtaImageError, Rules};

/// Collects the bytes before the payload.
///
/// The buffer is the caller's: on a device it can be the one that the payload goes through afterwards.
#[derive(Debug)]
pub struct HeaderParser<'b> {
    rules: Rules,
    fixed: [u8; FIXED_HEADER_LEN],
    buffer: &'b mut [u8; MAX_HEADER_LEN],
    /// Bytes taken, the fixed ones included.
    position: usize,
    failure: Option<OtaImageError>,
}

impl<'b> HeaderParser<'b> {
    /// A parser at the start of a file.
    #[must_use]
    pub const fn new(buffer: &'b mut [u8; MAX_HEADER_LEN], rules: Rules) -> Self {
        Self {
            rules,
            fixed: [0; FIXED_HEADER_LEN],
            buffer,
            position: 0,
            failure: None,
        }
    }

    /// Takes what belongs to the header from the front of `input`; true when the header is there. What is then left of
    /// `input` is payload.
    ///
    /// # Errors
    /// The fixed part is wrong; the same again ever after.
    pub fn push(&mut self, input: &mut &[u8]) -> Result<bool, OtaImageError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        if self.position < FIXED_HEADER_LEN {
            let room = self.fixed.get_mut(self.position..).unwrap_or(&mut []);
            self.position += fill(room, input);
            if self.position < FIXED_HEADER_LEN {
                return Ok(false);
            }
            if let Err(failure) = self.fixed().check(&self.rules) {
                self.failure = Some(failure);
                return Err(failure);
            }
        }
        let (have, length) = (self.position - FIXED_HEADER_LEN, self.header_len());
        let room = self.buffer.get_mut(have..length).unwrap_or(&mut []);
        self.position += fill(room, input);
        Ok(self.is_complete())
    }

    /// Reads the header.
    ///
    /// # Errors
    /// It is wrong, or has not come as a whole.
    pub fn header(&self) -> Result<Header<'_>, OtaImageError> {
        read(
            self.failure,
            self.position,
            self.fixed(),
            self.buffer,
            &self.rules,
        )
    }

    /// Reads the header and keeps the buffer for it.
    ///
    /// # Errors
    /// It is wrong, or has not come as a whole.
    pub fn into_header(self) -> Result<Header<'b>, OtaImageError> {
        let fixed = self.fixed();
        read(self.failure, self.position, fixed, self.buffer, &self.rules)
    }

    /// Gives the buffer back, for what follows the header.
    #[must_use]
    pub const fn into_buffer(self) -> &'b mut [u8; MAX_HEADER_LEN] {
        self.buffer
    }

    /// The first 16 bytes; zeros where they have not come yet.
    #[must_use]
    pub const fn fixed(&self) -> FixedHeader {
        FixedHeader::parse(&self.fixed)
    }

    /// Whether the header is there.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.position >= FIXED_HEADER_LEN && self.position - FIXED_HEADER_LEN == self.header_len()
    }

    /// Bytes taken so far.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position as u64
    }

    pub(super) const fn rules(&self) -> &Rules {
        &self.rules
    }

    const fn header_len(&self) -> usize {
        self.fixed().header_size as usize
    }
}

fn read<'a>(
    failure: Option<OtaImageError>,
    position: usize,
    fixed: FixedHeader,
    buffer: &'a [u8; MAX_HEADER_LEN],
    rules: &Rules,
) -> Result<Header<'a>, OtaImageError> {
    if let Some(failure) = failure {
        return Err(failure);
    }
    let needed = match position {
        ..FIXED_HEADER_LEN => FIXED_HEADER_LEN as u64,
        _ => fixed.payload_offset(),
    };
    let found = position as u64;
    if found < needed {
        return Err(OtaImageError::Truncated {
            needed,
            found,
            in_header: true,
        });
    }
    let bytes = buffer.get(..fixed.header_size as usize).unwrap_or(buffer);
    let header = Header::parse(bytes, rules)?;
    let computed = fixed.payload_offset().saturating_add(header.payload_size);
    let announced = fixed.total_size;
    if rules.is_strict() && announced != computed {
        return Err(OtaImageError::TotalSize {
            announced,
            computed,
        });
    }
    Ok(header)
}

/// Moves as much as fits from the front of `input`, and says how much that was.
fn fill(room: &mut [u8], input: &mut &[u8]) -> usize {
    let len = room.len().min(input.len());
    let (piece, rest) = input.split_at_checked(len).unwrap_or((input, &[]));
    for (to, from) in room.iter_mut().zip(piece) {
        *to = *from;
    }
    *input = rest;
    len
}
