//! Images of the ESP32 family: judged by the verifier that devices use, too.

use airlift_formats::esp::app_image::{Expect, Header, Kind, Verifier, image_len, text};
use md5::Digest as _;

use super::{App, BadImage};
use crate::catalog::release::Family;
use crate::digest::{Md5, Sha256};

/// Length of the digest at the end of an image.
const DIGEST: usize = 32;

pub(super) struct Esp32 {
    verifier: Verifier,
    header: Header,
    position: u64,
    /// Where the image ends; padding or a signature sector may follow. Known once the last segment has begun.
    end: Option<u64>,
    /// Of the image without what follows it: that is what a device calls its sketch.
    md5: md5::Md5,
    /// The last bytes of the image so far.
    tail: Vec<u8>,
}

impl Esp32 {
    /// `head`: the first 24 bytes, which are still to be handed to [`update`](Self::update).
    pub(super) fn new(head: &[u8]) -> Self {
        Self {
            verifier: Verifier::new(Expect::strict(Kind::App)),
            header: Header::parse(head.first_chunk().unwrap_or(&[0; _])),
            position: 0,
            end: None,
            md5: md5::Md5::new(),
            tail: Vec::new(),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) -> Result<(), BadImage> {
        let (header, end) = (&self.header, &mut self.end);
        let verdict = self.verifier.feed(bytes, |segment| {
            if segment.index + 1 == header.segment_count {
                let data_end = segment.offset.checked_add(8 + segment.header.data_len);
                *end = data_end
                    .and_then(|at| image_len(at, header.hash_appended != 0))
                    .map(u64::from);
            }
        });
        verdict.map_err(|error| BadImage(error.to_string()))?;
        let left = self
            .end
            .map_or(u64::MAX, |end| end.saturating_sub(self.position));
        let inside = bytes
            .get(..usize::try_from(left).unwrap_or(usize::MAX))
            .unwrap_or(bytes);
        self.md5.update(inside);
        self.tail.extend_from_slice(
            inside
                .get(inside.len().saturating_sub(DIGEST)..)
                .unwrap_or(inside),
        );
        self.tail.drain(..self.tail.len().saturating_sub(DIGEST));
        self.position += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn finish(self) -> Result<App, BadImage> {
        let summary = self
            .verifier
            .finish()
            .map_err(|error| BadImage(error.to_string()))?;
        let readable = |field: &[u8]| {
            let text = std::str::from_utf8(text(field)).ok()?;
            (!text.is_empty() && !text.chars().any(char::is_control)).then(|| text.to_owned())
        };
        // ESP-IDF's esp_partition_get_sha256(), which ESP32 HTTPUpdate sends, gives the appended digest of an app.
        let appended = self
            .tail
            .try_into()
            .ok()
            .filter(|_| summary.is_hashed())
            .map(Sha256);
        Ok(App {
            family: Family::Esp32,
            chip_id: Some(summary.chip().0),
            version: summary.app.as_ref().and_then(|app| readable(&app.version)),
            project: summary.app.as_ref().and_then(|app| readable(&app.project)),
            running_md5: vec![Md5(self.md5.finalize().into())],
            running_sha256: appended,
        })
    }
}
