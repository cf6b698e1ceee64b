//! Storage that is full, injected where the store writes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use airlift_formats::esp::app_image::ChipId;
use airlift_server::Parts;
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use crate::harness::TestServer;
use crate::images::esp32;

/// A store that counts what is asked of it and can be full.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    inner: InMemory,
    pub(crate) calls: AtomicUsize,
    full: Arc<AtomicBool>,
}

#[derive(Debug)]
struct WatchedUpload {
    inner: Box<dyn MultipartUpload>,
    full: Arc<AtomicBool>,
}

fn no_space() -> object_store::Error {
    let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
    object_store::Error::Generic {
        store: "full",
        source: Box::new(source),
    }
}

#[async_trait]
impl MultipartUpload for WatchedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        if self.full.load(Ordering::Relaxed) {
            return Box::pin(async { Err(no_space()) });
        }
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "watched {}", self.inner)
    }
}

impl Watched {
    fn count(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl ObjectStore for Watched {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.count();
        if self.full.load(Ordering::Relaxed) {
            return Err(no_space());
        }
        self.inner.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.count();
        let inner = self.inner.put_multipart_opts(path, options).await?;
        Ok(Box::new(WatchedUpload {
            inner,
            full: Arc::clone(&self.full),
        }))
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.count();
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.count();
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.count();
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.count();
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.count();
        self.inner.copy_opts(from, to, options).await
    }
}

pub(crate) fn watched() -> (Arc<Watched>, Parts) {
    let store = Arc::new(Watched::default());
    let mut parts = Parts::default();
    parts.objects = Some(store.clone());
    (store, parts)
}

#[tokio::test]
async fn a_full_disk_is_said_and_changes_nothing() {
    let (store, parts) = watched();
    let server = TestServer::start_with(|_| {}, parts).await;
    let (first, second) = (esp32(ChipId::ESP32, "1", 1), esp32(ChipId::ESP32, "2", 2));
    assert_eq!(
        server.publish("project=lotus&key=k", &first).await.status,
        201
    );

    store.full.store(true, Ordering::Relaxed);
    let refused = server.publish("project=lotus&key=k", &second).await;
    assert_eq!((refused.status, refused.code()), (507, "storage-full"));
    assert_eq!(
        server.get("/dev/releases").await.body["releases"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        server.check_in("k", &[]).await.bytes().await.unwrap(),
        first
    );

    store.full.store(false, Ordering::Relaxed);
    assert_eq!(
        server.publish("project=lotus&key=k", &second).await.status,
        201
    );
    assert_eq!(
        server.check_in("k", &[]).await.bytes().await.unwrap(),
        second
    );
}
