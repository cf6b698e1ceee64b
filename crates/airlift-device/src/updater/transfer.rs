//! Bytes on their way into the flash: gathered, programmed, digested, marked as durable, and read back.

use sha2::{Digest as _, Sha256};

use super::super::install::SlotWriter;
use super::super::journal::{Journal, Record, Subject};
use super::super::{NorFlash, dual};
use crate::flash::Region;
use crate::verify::{Checker, ImageCheck};
use crate::{Error, Offer, Refusal};

/// One image on its way into one region. What it means for the device is the caller's affair.
pub(crate) struct Transfer<'b> {
    writer: SlotWriter<'b>,
    pub(crate) region: Region,
    /// Bytes at the start of the region that are not the image's.
    lead: u32,
    pub(crate) offer: Offer,
    /// The digest on the way, over all bytes up to the writer's position.
    digest: Sha256,
    /// The journal's record that has the marks; where they start to count, and how far each one reaches.
    subject: Subject,
    progress: u32,
    pub(crate) stride: u32,
}

#[dual(AFIT)]
impl<'b> Transfer<'b> {
    /// Takes bytes for `region`, of which the first `durable` are there already.
    pub(crate) async fn new<F: NorFlash>(
        flash: &mut F,
        subject: Subject,
        region: Region,
        lead: u32,
        offer: Offer,
        mut durable: u32,
        buffer: &'b mut [u8],
    ) -> Self {
        let mut digest = Sha256::new();
        let there = durable.saturating_sub(lead).min(offer.length);
        let image = Region::new(region.offset + lead, there);
        if digest_flash(flash, image, buffer, &mut digest)
            .await
            .is_err()
        {
            // What the journal calls durable cannot be read any more: fetch it again.
            durable = 0;
            digest = Sha256::new();
        }
        let end = offer.length.saturating_add(lead);
        Self {
            writer: SlotWriter::new::<F>(region, lead, durable.min(end), buffer),
            region,
            lead,
            offer,
            digest,
            subject,
            progress: durable,
            stride: Journal::stride::<F>(offer.length),
        }
    }

    /// Goes on with the marks of the journal's record, if it has any left.
    pub(crate) const fn go_on(&mut self, record: &Record) {
        self.progress = record.progress;
        self.stride = record.stride;
    }

    /// Nobody said which digest to expect: what came is what is to be read back.
    pub(crate) fn expect_what_came(&mut self) {
        self.offer.sha256 = self.digest.clone().finalize().into();
    }

    /// The record that says that the bytes are coming, as far as the transfer knows it.
    pub(crate) const fn record(&self, mut record: Record) -> Record {
        record.progress = self.progress;
        record.stride = self.stride;
        record
    }

    /// The next byte of the image that is wanted.
    pub(crate) fn offset(&self) -> u32 {
        self.writer.position() - self.lead
    }

    /// Refuses what is more than was offered.
    pub(crate) fn has_room_for(&self, bytes: &[u8]) -> bool {
        bytes.len() <= (self.offer.length - self.offset()) as usize
    }

    /// Takes what fits of `bytes` into the buffer, and returns the rest. Unless that is empty, the buffer is full.
    pub(crate) fn gather<'i>(&mut self, bytes: &'i [u8]) -> &'i [u8] {
        let taken = self.writer.gather(bytes);
        let (now, later) = bytes.split_at_checked(taken).unwrap_or((bytes, &[]));
        self.digest.update(now);
        later
    }

    /// The bytes that wait to be programmed.
    pub(crate) fn gathered(&self) -> &[u8] {
        self.writer.gathered()
    }

    /// The buffer, when the transfer has ended.
    pub(crate) fn into_buffer(self) -> &'b mut [u8] {
        self.writer.into_buffer()
    }

    /// The buffer, while nothing is gathered.
    pub(crate) fn buffer(&mut self) -> &mut [u8] {
        self.writer.buffer()
    }

    /// Programs what was gathered and marks it. Returns the bytes of the region that are durable.
    pub(crate) async fn flush<F: NorFlash>(
        &mut self,
        flash: &mut F,
        journal: &Journal,
    ) -> Result<u32, Error<F::Error>> {
        let before = (self.writer.programmed().saturating_sub(self.progress)) / self.stride;
        self.writer.flush(flash).await.map_err(Error::Flash)?;
        let done = self.writer.programmed();
        let marked = done.saturating_sub(self.progress);
        // The last stretch may be a short one.
        let after = if done == self.offer.length + self.lead {
            marked.div_ceil(self.stride)
        } else {
            marked / self.stride
        };
        for mark in before..after {
            journal.mark(flash, self.subject, mark).await;
        }
        let durable = self.progress + after.saturating_mul(self.stride);
        Ok(durable.min(done))
    }

    /// Whether all bytes have come.
    pub(crate) fn check_complete<E>(&self) -> Result<(), Error<E>> {
        if self.offset() < self.offer.length {
            return Err(Error::Incomplete {
                have: self.offset(),
                want: self.offer.length,
            });
        }
        Ok(())
    }

    /// Erases what is behind the image in the region.
    pub(crate) async fn erase_rest<F: NorFlash>(
        &mut self,
        flash: &mut F,
    ) -> Result<(), Error<F::Error>> {
        self.writer.erase_rest(flash).await.map_err(Error::Flash)
    }

    /// Everything is programmed: were the bytes that came the ones that were offered, and are they in the flash, and good? `vouched`: the check
    /// finds out by itself whether they are the right ones.
    pub(crate) async fn verify<F: NorFlash, C: ImageCheck>(
        &mut self,
        flash: &mut F,
        check: &C,
        vouched: bool,
    ) -> Result<(), Error<F::Error>> {
        // On the way first: it tells a bad transmission from a bad flash.
        let came: [u8; 32] = core::mem::take(&mut self.digest).finalize().into();
        if !vouched && came != self.offer.sha256 {
            return Err(Refusal::Digest.into());
        }
        let checked = self.check_image(flash, check, &came).await;
        if let Err(Error::Refused(Refusal::Image(_) | Refusal::Signature)) = checked {
            // Was it sent like that, or has the flash lost it?
            let mut digest = Sha256::new();
            let image = Region::new(self.region.offset + self.lead, self.offer.length);
            digest_flash(flash, image, self.writer.buffer(), &mut digest)
                .await
                .map_err(Error::Flash)?;
            if <[u8; 32]>::from(digest.finalize()) != came {
                return Err(Refusal::ReadBack.into());
            }
        }
        checked
    }

    async fn check_image<F: NorFlash, C: ImageCheck>(
        &mut self,
        flash: &mut F,
        check: &C,
        came: &[u8; 32],
    ) -> Result<(), Error<F::Error>> {
        let mut checker = check.checker(self.region, self.offer.length);
        let image = Region::new(self.region.offset + self.lead, self.offer.length);
        let buffer = self.writer.buffer();
        let mut at = 0;
        while at < image.len {
            let bytes = read_part(flash, image, at, buffer)
                .await
                .map_err(Error::Flash)?;
            at += bytes.len() as u32;
            checker.update(bytes)?;
        }
        if checker.finish()? != *came {
            return Err(Refusal::ReadBack.into());
        }
        Ok(())
    }
}

/// Feeds all bytes of `region`, which may end within a word, to `digest`.
#[dual(AFIT)]
pub(crate) async fn digest_flash<F: NorFlash>(
    flash: &mut F,
    region: Region,
    buffer: &mut [u8],
    digest: &mut Sha256,
) -> Result<(), F::Error> {
    let mut at = 0;
    while at < region.len {
        let bytes = read_part(flash, region, at, buffer).await?;
        at += bytes.len() as u32;
        digest.update(bytes);
    }
    Ok(())
}

/// Reads a buffer full at `at`, at most up to the end of `region`; whole words, so that any driver can.
#[dual(AFIT)]
pub(crate) async fn read_part<'b, F: NorFlash>(
    flash: &mut F,
    region: Region,
    at: u32,
    buffer: &'b mut [u8],
) -> Result<&'b [u8], F::Error> {
    let whole = buffer.len() - buffer.len() % F::WRITE_SIZE;
    let want = ((region.len - at) as usize).min(whole);
    let words = buffer
        .get_mut(..want.next_multiple_of(F::WRITE_SIZE))
        .unwrap_or_default();
    flash.read(region.offset + at, words).await?;
    Ok(words.get(..want).unwrap_or_default())
}
