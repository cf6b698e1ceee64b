//! The service as a transport meets it, on a real database and a real object store.

mod conversation;
mod offers;
mod streams;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::{Value, json};

use super::order::{Content, Order};
use super::{AwsService, DocumentFile, File, NoticeReceiver, Publication, Reply, Retries, Thing};
use crate::catalog::Catalog;
use crate::catalog::release::Release;
use crate::clock::{Clock, Timestamp};
use crate::config::Resolution;
use crate::digest::Sha256;
use crate::fleet::registry::Registry;
use crate::rollout::Rollouts;
use crate::store::cache::ImageCache;
use crate::store::catalog::ReleaseRow;
use crate::store::database::Database;
use crate::store::objects::{Objects, local};

/// The second in which the worked example of the developer guide creates its first job.
const START: i64 = 1_517_016_947;

/// A clock that stands still until it is told to go on.
struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

/// The service with two organizations, `dev` and `foreign`, each with the project `lotus`.
struct Bench {
    data: tempfile::TempDir,
    clock: Arc<TestClock>,
    catalog: Arc<Catalog>,
    registry: Arc<Registry>,
    service: Arc<AwsService>,
    dev: i64,
    foreign: i64,
}

impl Bench {
    async fn new() -> Self {
        Self::with_cache(64 << 20).await
    }

    async fn with_cache(cache: u64) -> Self {
        let data = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock(AtomicI64::new(START * 1000)));
        let (catalog, registry, service) = open(&data, &clock, cache).await;
        let mut ids = Vec::new();
        for name in ["dev", "foreign"] {
            let made = catalog.create_organization(name, clock.now()).await;
            let organization = made.unwrap().unwrap();
            catalog
                .create_project(&organization, "lotus", clock.now())
                .await
                .unwrap();
            ids.push(organization.id);
        }
        Self {
            data,
            clock,
            catalog,
            registry,
            service,
            dev: ids[0],
            foreign: ids[1],
        }
    }

    /// The same after the process was killed: nothing in memory is left.
    async fn killed(self) -> Self {
        let (catalog, registry, service) = open(&self.data, &self.clock, 64 << 20).await;
        Self {
            catalog,
            registry,
            service,
            ..self
        }
    }

    fn wait(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds * 1000, Ordering::Relaxed);
    }

    /// To that second.
    fn wait_until(&self, second: i64) {
        self.clock.0.store(second * 1000, Ordering::Relaxed);
    }

    async fn thing(&self, organization: i64, name: &str, key: Option<&str>) -> Arc<Thing> {
        let database = &self.catalog.database;
        let row = database
            .insert_thing(organization, "lotus", name, key, self.clock.now())
            .await
            .unwrap();
        Arc::new(row.unwrap().into())
    }

    async fn create(&self, name: &str, content: Content, things: &[&Arc<Thing>]) {
        self.create_with(name, content, things, |_| {}).await;
    }

    async fn create_with(
        &self,
        name: &str,
        content: Content,
        things: &[&Arc<Thing>],
        change: impl FnOnce(&mut Order),
    ) {
        let mut rows = Vec::new();
        for thing in things {
            rows.extend(self.catalog.database.thing_by_id(thing.id).await.unwrap());
        }
        let selector = crate::random::hex::<8>();
        let created_by =
            self.catalog
                .database
                .insert_token(None, "", &selector, b"", self.clock.now());
        let mut order = Order {
            organization: things.first().map_or(self.dev, |thing| thing.organization),
            name: Some(name.to_owned()),
            description: String::new(),
            content,
            things: rows,
            timeout_minutes: None,
            retries: Retries::default(),
            created_by: created_by.await.unwrap().id,
        };
        change(&mut order);
        self.service.create_job(order).await.unwrap();
    }

    async fn job_id(&self, name: &str) -> i64 {
        let row = self.catalog.database.job_by_name(self.dev, name).await;
        row.unwrap().unwrap().id
    }

    async fn cancel(&self, name: &str, force: bool) {
        let id = self.job_id(name).await;
        self.service
            .cancel_job(id, force, None, None)
            .await
            .unwrap();
    }

    /// Stores a file of `dev`, with the id 0.
    async fn file(&self, bytes: &[u8]) -> File {
        let body = futures_util::stream::iter([Ok::<_, String>(bytes.to_vec().into())]);
        let stored = self
            .catalog
            .store_file(self.dev, body, 64 << 20, self.clock.now())
            .await
            .unwrap();
        File {
            id: 0,
            size: stored.size,
            sha256: stored.sha256,
        }
    }

    async fn files(&self, contents: &[&[u8]]) -> Content {
        let mut files = Vec::new();
        for (id, bytes) in (0..).zip(contents) {
            let file = self.file(bytes).await;
            files.push(documented(File { id, ..file }));
        }
        Content::Files(files)
    }

    /// Puts a release of an app on offer in `dev`.
    async fn publish(&self, key: &str, version: &str) -> Release {
        let bytes = version.repeat(1000);
        let file = self.file(bytes.as_bytes()).await;
        let organization = self.catalog.organization("dev").unwrap();
        let row = release_row(self.dev, key, version, &file.sha256, file.size);
        self.catalog.add_release(&organization, row).await.unwrap()
    }

    async fn withdraw(&self, release: &Release) {
        let organization = self.catalog.organization("dev").unwrap();
        self.catalog
            .withdraw(&organization, release.id, self.clock.now())
            .await
            .unwrap();
    }

    /// What the registry says of a thing of `dev`.
    fn device(&self, thing: &Thing) -> Value {
        let device = self.registry.find(thing.organization, &thing.name).unwrap();
        serde_json::to_value(&*device.lock()).unwrap()
    }

    /// The one answer to a request: behind which topic, and what.
    async fn ask(&self, thing: &Arc<Thing>, topic: &str, payload: &str) -> (String, String) {
        match self.service.request(thing, topic, payload.as_bytes()).await {
            Reply::One(publication) => text(publication),
            other => panic!("{topic} {payload}: {other:?}"),
        }
    }

    /// The answer to a job request that is accepted.
    async fn accepted(&self, thing: &Arc<Thing>, topic: &str, payload: &str) -> Value {
        let (answer, payload_) = self.ask(thing, topic, payload).await;
        assert_eq!(answer, format!("{topic}/accepted"), "{payload_}");
        serde_json::from_str(&payload_).unwrap()
    }

    /// The code of a job request that is rejected.
    async fn rejected(&self, thing: &Arc<Thing>, topic: &str, payload: &str) -> Value {
        let (answer, payload_) = self.ask(thing, topic, payload).await;
        assert_eq!(answer, format!("{topic}/rejected"), "{payload_}");
        serde_json::from_str(&payload_).unwrap()
    }
}

async fn open(
    data: &tempfile::TempDir,
    clock: &Arc<TestClock>,
    cache: u64,
) -> (Arc<Catalog>, Arc<Registry>, Arc<AwsService>) {
    let database = Database::open(&data.path().join("airlift.db"))
        .await
        .unwrap();
    let objects = Objects::new(local(data.path()).unwrap());
    let images = ImageCache::new(objects, cache);
    let catalog = Arc::new(Catalog::open(database.clone(), images).await.unwrap());
    let registry = Arc::new(Registry::restore(&[], &[], 1000, 1000));
    let rollouts = Rollouts::open(
        database,
        Arc::clone(&catalog),
        Arc::clone(&registry),
        clock.clone(),
    );
    let service = Arc::new(AwsService::new(
        Arc::clone(&catalog),
        Arc::clone(&registry),
        Arc::new(rollouts.await.unwrap()),
        clock.clone(),
        Resolution::Current,
    ));
    (catalog, registry, service)
}

fn documented(file: File) -> DocumentFile {
    DocumentFile {
        file,
        path: format!("file{}", file.id),
        certificate: "cert".to_owned(),
        file_type: None,
        signature: Some("MEQ=".to_owned()),
    }
}

fn release_row(
    organization_id: i64,
    key: &str,
    version: &str,
    sha256: &Sha256,
    size: u64,
) -> ReleaseRow {
    ReleaseRow {
        id: 0,
        organization_id,
        project: "lotus".to_owned(),
        target_kind: "key".to_owned(),
        target: key.to_owned(),
        kind: "app".to_owned(),
        partition: None,
        file_system: None,
        version: version.to_owned(),
        size: i64::try_from(size).unwrap(),
        md5: "0".repeat(32),
        sha256: sha256.to_string(),
        running_md5: String::new(),
        running_sha256: None,
        family: Some("esp32".to_owned()),
        chip_id: Some(5),
        encoding: "plain".to_owned(),
        image_version: None,
        image_project: None,
        published_at: 1,
        published_by: None,
        withdrawn_at: None,
        matter: Default::default(),
        signature: None,
        held: 0,
        allow_downgrade: 0,
        notes: None,
    }
}

fn text(publication: Publication) -> (String, String) {
    let payload = String::from_utf8(publication.payload.to_vec()).unwrap();
    (publication.topic_rest, payload)
}

/// The document of the worked example.
fn test_document() -> Content {
    Content::Document(r#"{"operation":"test"}"#.to_owned())
}

/// What waits for a connection, told apart by the end of the topic. Nothing that comes later is waited for.
async fn told(notices: &mut NoticeReceiver) -> Vec<(String, Value)> {
    let mut told = Vec::new();
    while let Some(Some(notice)) = futures_util::FutureExt::now_or_never(notices.recv()) {
        let (topic, payload) = text(notice.publication().await.unwrap());
        assert_eq!(topic, notice.topic_rest());
        told.push((topic, serde_json::from_str(&payload).unwrap()));
    }
    told
}

fn list(timestamp: i64, jobs: &Value) -> (String, Value) {
    let notice = json!({ "timestamp": timestamp, "jobs": jobs });
    ("jobs/notify".to_owned(), notice)
}

fn next(notice: Value) -> (String, Value) {
    ("jobs/notify-next".to_owned(), notice)
}
