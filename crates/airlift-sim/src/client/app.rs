//! The app that runs.

use airlift_device::notify::esp_http::is_report_text;
use md5::{Digest as _, Md5};
use sha2::Sha256;

use super::DeviceError;
use crate::board::{AppSummary, Booted};
use crate::flash::{Flash, FlashError};

/// The running app, and what a device can say of it.
pub(super) struct App {
    pub(super) summary: AppSummary,
    pub(super) md5: [u8; 16],
    /// As ESP-IDF computes it: the digest at the end of the image, which does not cover itself; without one, that of all
    /// bytes.
    pub(super) sha256: [u8; 32],
}

impl App {
    pub(super) fn read(flash: &Flash, booted: Booted) -> Result<Self, DeviceError> {
        let mut image = vec![0; booted.app.length as usize];
        flash
            .lock()
            .read(booted.region.offset, &mut image)
            .map_err(airlift_device::Error::<FlashError>::Flash)?;
        let hash_appended = image.get(23) == Some(&1);
        let sha256 = match image.last_chunk() {
            Some(appended) if hash_appended => *appended,
            _ => Sha256::digest(&image).into(),
        };
        Ok(Self {
            summary: booted.app,
            md5: Md5::digest(&image).into(),
            sha256,
        })
    }

    /// The version, if it can be sent in a header.
    pub(super) fn version(&self) -> Option<&str> {
        Some(self.summary.version.as_str()).filter(|version| is_report_text(version))
    }
}
