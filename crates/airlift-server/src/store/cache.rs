//! Images in memory, so that a download is one write.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use sha2::Digest as _;
use tokio::sync::OnceCell;

use super::objects::Objects;
use crate::digest::Sha256;

/// Why an image cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    #[error("object {0} cannot be read: {1}")]
    Store(Sha256, #[source] object_store::Error),
    #[error("object {0} does not have the digest it is named by: it was damaged in the store")]
    Damaged(Sha256),
}

/// Recently served images, up to a number of bytes; the least recently used goes first.
#[derive(Debug)]
pub(crate) struct ImageCache {
    objects: Objects,
    budget: u64,
    images: Mutex<Images>,
}

#[derive(Debug, Default)]
struct Images {
    by_digest: HashMap<Sha256, Entry>,
    bytes: u64,
    uses: u64,
}

#[derive(Debug)]
struct Entry {
    image: Arc<OnceCell<Bytes>>,
    size: u64,
    last_use: u64,
}

impl ImageCache {
    pub(crate) fn new(objects: Objects, budget: u64) -> Self {
        Self {
            objects,
            budget,
            images: Mutex::default(),
        }
    }

    pub(crate) fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Whether an image of this size is kept in memory at all. A larger one is streamed from the store: one image must
    /// not push out all others.
    pub(crate) fn takes(&self, size: u64) -> bool {
        size <= self.budget / 4
    }

    /// The image, if it is in memory.
    pub(crate) fn get(&self, digest: &Sha256) -> Option<Bytes> {
        let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        images.uses += 1;
        let uses = images.uses;
        let entry = images.by_digest.get_mut(digest)?;
        entry.last_use = uses;
        entry.image.get().cloned()
    }

    /// The image, read from the store if need be. Many devices asking for a cold image cause one read. The bytes are
    /// checked against their name, so that a damaged disk never becomes a damaged device.
    pub(crate) async fn load(&self, digest: &Sha256, size: u64) -> Result<Bytes, ImageError> {
        let cell = self.reserve(digest, size);
        let loaded = cell.get_or_try_init(|| async {
            let bytes = self
                .objects
                .read(digest)
                .await
                .map_err(|e| ImageError::Store(*digest, e))?;
            let found: [u8; 32] = sha2::Sha256::digest(&bytes).into();
            (found == digest.0)
                .then_some(bytes)
                .ok_or(ImageError::Damaged(*digest))
        });
        match loaded.await {
            Ok(bytes) => Ok(bytes.clone()),
            Err(error) => {
                self.forget(digest);
                Err(error)
            }
        }
    }

    fn reserve(&self, digest: &Sha256, size: u64) -> Arc<OnceCell<Bytes>> {
        let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        images.uses += 1;
        let uses = images.uses;
        if let Some(entry) = images.by_digest.get_mut(digest) {
            entry.last_use = uses;
            return Arc::clone(&entry.image);
        }
        while images.bytes + size > self.budget {
            let oldest = images
                .by_digest
                .iter()
                .min_by_key(|(_, entry)| entry.last_use);
            let Some(oldest) = oldest.map(|(digest, _)| *digest) else {
                break;
            };
            if let Some(gone) = images.by_digest.remove(&oldest) {
                images.bytes -= gone.size;
            }
        }
        let image = Arc::new(OnceCell::new());
        images.bytes += size;
        let entry = Entry {
            image: Arc::clone(&image),
            size,
            last_use: uses,
        };
        images.by_digest.insert(*digest, entry);
        image
    }

    fn forget(&self, digest: &Sha256) {
        let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gone) = images.by_digest.remove(digest) {
            images.bytes -= gone.size;
        }
    }
}
