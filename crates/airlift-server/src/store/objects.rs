//! Image bytes, each object named by the SHA-256 of its content.
//!
//! An upload goes to `incoming/<random>` and is renamed to its digest when it is whole and checked, so a name under
//! `objects/` always stands for complete bytes. What a killed server leaves under `incoming/` is removed at the next start.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};

use crate::digest::Sha256;

/// Bytes handed to the store at once. Stores with multipart uploads want at least 5 MiB for all parts but the last.
const PART: usize = 5 << 20;

/// The object store, seen as images by digest.
#[derive(Debug, Clone)]
pub(crate) struct Objects {
    store: Arc<dyn ObjectStore>,
}

/// Opens the store of the default set-up: files below the data folder, written through to the disk before they count.
pub(crate) fn local(data: &Path) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
    Ok(Arc::new(
        LocalFileSystem::new_with_prefix(data)?.with_fsync(true),
    ))
}

/// Removes what uploads left that were cut off with the server. Call before the first upload.
pub(crate) fn clear_incoming(data: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(data.join("incoming")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl Objects {
    pub(crate) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store }
    }

    /// Starts an upload.
    pub(crate) async fn receive(&self) -> Result<Incoming, object_store::Error> {
        let key = Key::from(format!("incoming/{}", crate::random::hex::<16>()));
        let upload = self.store.put_multipart(&key).await?;
        Ok(Incoming {
            store: Arc::clone(&self.store),
            key,
            upload,
            buffer: Vec::new(),
        })
    }

    /// The whole object.
    pub(crate) async fn read(&self, digest: &Sha256) -> Result<Bytes, object_store::Error> {
        self.store.get(&name(digest)).await?.bytes().await
    }

    /// A part of the object, as a stream.
    pub(crate) async fn stream(
        &self,
        digest: &Sha256,
        range: std::ops::Range<u64>,
    ) -> Result<
        impl Stream<Item = Result<Bytes, object_store::Error>> + Send + 'static,
        object_store::Error,
    > {
        let options = object_store::GetOptions {
            range: Some(range.into()),
            ..Default::default()
        };
        Ok(self
            .store
            .get_opts(&name(digest), options)
            .await?
            .into_stream()
            .into_stream())
    }
}

/// An upload on its way in. Call [`keep`](Self::keep) or [`discard`](Self::discard).
pub(crate) struct Incoming {
    store: Arc<dyn ObjectStore>,
    key: Key,
    upload: Box<dyn MultipartUpload>,
    buffer: Vec<u8>,
}

impl Incoming {
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), object_store::Error> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PART {
            self.upload
                .put_part(PutPayload::from(std::mem::take(&mut self.buffer)))
                .await?;
        }
        Ok(())
    }

    /// Gives the whole upload its name. Another upload of the same bytes may already have done so: that is the same object.
    pub(crate) async fn keep(mut self, digest: &Sha256) -> Result<(), object_store::Error> {
        let outcome = async {
            if !self.buffer.is_empty() {
                self.upload
                    .put_part(PutPayload::from(std::mem::take(&mut self.buffer)))
                    .await?;
            }
            self.upload.complete().await?;
            self.store.rename(&self.key, &name(digest)).await
        };
        let outcome = outcome.await;
        if outcome.is_err() {
            self.discard().await;
        }
        outcome
    }

    /// Forgets the upload. Nothing remains but, at worst, a file that the next start removes.
    pub(crate) async fn discard(mut self) {
        // Either may fail because the other way was taken, or because the store is full or gone.
        let _ = self.upload.abort().await;
        let _ = self.store.delete(&self.key).await;
    }
}

/// Two levels, so that no folder grows without bound.
fn name(digest: &Sha256) -> Key {
    let hex = digest.to_string();
    let (folder, _) = hex.split_at(2);
    Key::from(format!("objects/{folder}/{hex}"))
}

/// Whether the store refused because it is full: the disk, a quota, or a file size limit.
pub(crate) fn is_full(error: &object_store::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
            return matches!(io.kind(), StorageFull | QuotaExceeded | FileTooLarge);
        }
        cause = error.source();
    }
    false
}
