//! Data for a partition: any bytes are good. Looked at is only whether they are an app by mistake, and which file system
//! they hold.

use airlift_formats::esp::app_image::{Expect, Kind, Verifier};

use super::{Data, HEAD, esp8266};
use crate::catalog::file_system::{DETECT_LEN, detect};

/// Keeps the beginning.
#[derive(Default)]
pub(super) struct DataHead(Vec<u8>);

impl DataHead {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        let missing = DETECT_LEN.saturating_sub(self.0.len());
        self.0
            .extend_from_slice(bytes.get(..missing).unwrap_or(bytes));
    }

    pub(super) fn finish(self) -> Data {
        Data {
            file_system: detect(&self.0),
            starts_like_an_app: starts_like_an_app(&self.0),
        }
    }
}

/// Whether a boot loader would take the header for one of its own: of an app, or of a second-stage boot loader.
fn starts_like_an_app(head: &[u8]) -> bool {
    let Some(head) = head.get(..HEAD) else {
        return false;
    };
    let esp32 = || {
        let mut expect = Expect::strict(Kind::App);
        expect.require_hash = false;
        Verifier::new(expect).update(head).is_ok()
    };
    esp8266::looks_like(head) || esp32()
}
