//! Streams bytes into a slot: gathers flash words, erases each sector just before its first word.

use super::super::{NorFlash, dual};
use crate::flash::{ERASED, Region};

/// The position in a slot that is being written, and the caller's buffer.
pub(crate) struct SlotWriter<'b> {
    slot: Region,
    buffer: &'b mut [u8],
    /// Bytes in `buffer`.
    gathered: usize,
    /// Bytes of the image that are programmed. A multiple of the word size until the end.
    programmed: u32,
    /// Bytes of the slot that are erased or programmed, from its start. A multiple of the sector size.
    erased: u32,
}

#[dual(AFIT)]
impl<'b> SlotWriter<'b> {
    /// Starts at the start of the slot; `lead` bytes (whole words) there are erased with the first sector and left for later.
    ///
    /// `buffer` is cut to whole words; its length is how much is programmed with one call of the driver.
    pub(crate) fn new<F: NorFlash>(slot: Region, lead: u32, buffer: &'b mut [u8]) -> Self {
        let usable = buffer.len() - buffer.len() % F::WRITE_SIZE;
        Self {
            slot,
            buffer: buffer.get_mut(..usable).unwrap_or_default(),
            gathered: 0,
            programmed: lead,
            erased: 0,
        }
    }

    /// Goes on at `offset`, a multiple of the sector size (that sector will be erased first), or where the image ends.
    pub(crate) fn go_to(&mut self, lead: u32, offset: u32) {
        self.gathered = 0;
        self.programmed = offset.max(lead);
        self.erased = offset;
    }

    /// Takes what fits of `bytes` into the buffer and says how much that was; 0 when the buffer is full.
    pub(crate) fn gather(&mut self, bytes: &[u8]) -> usize {
        let free = self.buffer.get_mut(self.gathered..).unwrap_or_default();
        let taken = free.len().min(bytes.len());
        for (to, from) in free.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.gathered += taken;
        taken
    }

    /// The bytes that wait to be programmed.
    pub(crate) fn gathered(&self) -> &[u8] {
        self.buffer.get(..self.gathered).unwrap_or_default()
    }

    /// The buffer, to be used for something else when nothing is gathered.
    pub(crate) fn buffer(&mut self) -> &mut [u8] {
        self.buffer
    }

    /// The buffer, when the writer is done.
    pub(crate) fn into_buffer(self) -> &'b mut [u8] {
        self.buffer
    }

    /// Bytes taken so far, programmed or not.
    pub(crate) fn position(&self) -> u32 {
        self.programmed + self.gathered as u32
    }

    /// Bytes programmed so far.
    pub(crate) fn programmed(&self) -> u32 {
        self.programmed
    }

    /// Erases the sectors up to the end of the slot that hold nothing of the image.
    pub(crate) async fn erase_rest<F: NorFlash>(&mut self, flash: &mut F) -> Result<(), F::Error> {
        let sector = F::ERASE_SIZE as u32;
        let mut at = self.programmed.next_multiple_of(sector);
        while at < self.slot.len {
            let from = self.slot.offset + at;
            flash.erase(from, from + sector).await?;
            at += sector;
        }
        Ok(())
    }

    /// Programs what was gathered; only the last call may come with an incomplete word, which is filled up with 0xFF.
    pub(crate) async fn flush<F: NorFlash>(&mut self, flash: &mut F) -> Result<(), F::Error> {
        let words = self.gathered.next_multiple_of(F::WRITE_SIZE);
        let Some(padded) = self.buffer.get_mut(..words) else {
            return Ok(()); // The buffer holds whole words, so this cannot be.
        };
        for byte in padded.iter_mut().skip(self.gathered) {
            *byte = ERASED;
        }
        let sector = F::ERASE_SIZE as u32;
        let mut rest: &[u8] = padded;
        let mut at = self.programmed;
        while !rest.is_empty() {
            if at >= self.erased {
                let from = self.slot.offset + self.erased;
                flash.erase(from, from + sector).await?;
                self.erased += sector;
            }
            let room = (self.erased - at) as usize;
            let (now, later) = rest.split_at_checked(room).unwrap_or((rest, &[]));
            flash.write(self.slot.offset + at, now).await?;
            at += now.len() as u32;
            rest = later;
        }
        self.programmed += self.gathered as u32;
        self.gathered = 0;
        Ok(())
    }
}
