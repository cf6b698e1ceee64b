//! App images as the boot loader of ESP-IDF finds them in flash.

use airlift_device::flash::Region;
use airlift_formats::esp::app_image::{
    APP_DESCRIPTOR_LEN, AppDescriptor, Expect, HEADER_LEN, Header, ImageError, Kind,
    SEGMENT_HEADER_LEN, Verifier, image_len, text,
};

use super::AppSummary;
use super::esp::EspChip;
use crate::flash::{FlashError, Nor};

/// Why the boot loader does not start what is in an app partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The partition table has no such partition.
    #[error("no such partition")]
    NoPartition,
    /// There is no whole image (a [`GenericBoard`](super::GenericBoard) cannot say more).
    #[error("no whole image")]
    NotWhole,
    /// The image does not pass.
    #[error("{0}")]
    Image(ImageError),
    /// The flash cannot be read there.
    #[error("{0}")]
    Flash(#[from] FlashError),
}

/// As much as the boot loader maps and looks at in one go; nothing depends on it.
const CHUNK: usize = 4096;

/// Verifies the image in a partition, reading no further than it reaches: what lies behind may be unreadable.
pub(super) fn verify(nor: &mut Nor, region: Region, chip: &EspChip) -> Result<AppSummary, Refusal> {
    let mut expect = Expect::idf(Kind::App);
    expect.chip = Some(chip.id);
    expect.chip_revision = Some(chip.revision);
    expect.efuse_block_revision = Some(chip.efuse_block_revision);
    expect.partition_size = Some(region.len);
    expect.partition_offset = region.offset;

    let mut head = [0; HEADER_LEN];
    nor.read(region.offset, &mut head)?;
    let header = Header::parse(&head);
    let mut verifier = Verifier::new(expect);
    let hashed = header.hash_appended != 0;
    // Known with the last segment's header; at once if there is none, which the reference lets pass.
    let mut end = match header.segment_count {
        0 => image_len(HEADER_LEN as u32, hashed),
        _ => None,
    };
    let mut chunk = [0; CHUNK];
    while verifier.position() < end.unwrap_or(region.len).min(region.len) {
        let at = verifier.position();
        let left = (region.len - at) as usize;
        let chunk = &mut chunk[..left.min(CHUNK)];
        let (chunk, failure) = read_readable(nor, region.offset + at, chunk)?;
        verifier
            .feed(chunk, |segment| {
                if segment.index + 1 == header.segment_count {
                    let data = segment.offset.saturating_add(SEGMENT_HEADER_LEN as u32);
                    let data_end = data.saturating_add(segment.header.data_len);
                    end = image_len(data_end, hashed);
                }
            })
            .map_err(Refusal::Image)?;
        match failure {
            Some(failure) if end.is_none_or(|end| verifier.position() < end) => {
                return Err(failure.into());
            }
            _ => {}
        }
    }
    let summary = verifier.finish().map_err(Refusal::Image)?;
    let mut app = AppSummary {
        length: summary.image_len,
        ..AppSummary::default()
    };
    if let Some(descriptor) = summary.app {
        app.project = String::from_utf8_lossy(text(&descriptor.project)).into_owned();
        app.version = String::from_utf8_lossy(text(&descriptor.version)).into_owned();
        app.secure_version = descriptor.secure_version;
    }
    Ok(app)
}

/// The secure version in the app descriptor, whatever the rest of the image is like.
pub(super) fn secure_version(nor: &mut Nor, region: Region) -> Option<u32> {
    let mut descriptor = [0; APP_DESCRIPTOR_LEN];
    let start = region
        .offset
        .checked_add((HEADER_LEN + SEGMENT_HEADER_LEN) as u32)?;
    nor.read(start, &mut descriptor).ok()?;
    Some(AppDescriptor::parse(&descriptor)?.secure_version)
}

/// Reads as many of the bytes as come before a word that cannot be read, and says which word that is.
fn read_readable<'a>(
    nor: &mut Nor,
    offset: u32,
    bytes: &'a mut [u8],
) -> Result<(&'a [u8], Option<FlashError>), FlashError> {
    match nor.read(offset, bytes) {
        Ok(()) => Ok((bytes, None)),
        Err(failure @ FlashError::Unreadable { offset: bad }) => {
            // The word may begin before the first byte.
            let bytes = &mut bytes[..bad.saturating_sub(offset) as usize];
            nor.read(offset, bytes)?;
            Ok((bytes, Some(failure)))
        }
        Err(error) => Err(error),
    }
}
