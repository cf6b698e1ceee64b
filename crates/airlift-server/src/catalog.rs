//! Releases: checked when they come in, looked up in memory afterwards.
//!
//! [`Catalog`] owns the in-memory picture that the doors read. Every change goes to the database first and then replaces
//! the picture of that organization in one step, so that a reader sees the state before or after, never between.

pub(crate) mod file_system;
pub(crate) mod inspect;
pub(crate) mod publish;
pub(crate) mod release;
pub(crate) mod signature;
pub(crate) mod snapshot;
pub(crate) mod store_file;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, Semaphore, watch};

use crate::clock::Timestamp;
use crate::store::cache::ImageCache;
use crate::store::catalog::ReleaseRow;
use crate::store::database::Database;
use release::{Release, UnreadableRow};
use snapshot::{Organization, Snapshot};

/// Uploads that may be under way at once: each holds up to one part in memory.
const MAX_UPLOADS: usize = 32;
/// Of one organization.
const MAX_UPLOADS_OF_ONE: usize = 4;
/// How long an upload waits for its turn.
const UPLOAD_WAIT: Duration = Duration::from_secs(30);

/// Why the catalog could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CatalogError {
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Row(#[from] UnreadableRow),
}

/// All releases of all organizations.
pub(crate) struct Catalog {
    pub(crate) database: Database,
    pub(crate) images: ImageCache,
    snapshot: ArcSwap<Snapshot>,
    /// Told whenever there is another picture.
    changed: watch::Sender<()>,
    /// Held while a change goes from the database into the picture, so that an older read never replaces a newer one.
    changing: Mutex<()>,
    uploads: Semaphore,
    /// The same for each organization that has published: one of them must not take all the places.
    uploads_of: std::sync::Mutex<HashMap<i64, Arc<Semaphore>>>,
    /// Held from the verdict about an image to its release, so that two publications are not judged by the same past.
    publishing: Mutex<()>,
}

impl Catalog {
    /// Reads everything from the database.
    pub(crate) async fn open(database: Database, images: ImageCache) -> Result<Self, CatalogError> {
        let mut snapshot = Snapshot::default();
        for row in database.organizations().await? {
            snapshot.insert(Arc::new(Organization::load(&database, &row).await?));
        }
        Ok(Self {
            database,
            images,
            snapshot: ArcSwap::from_pointee(snapshot),
            changed: watch::Sender::new(()),
            changing: Mutex::new(()),
            uploads: Semaphore::new(MAX_UPLOADS),
            uploads_of: std::sync::Mutex::default(),
            publishing: Mutex::new(()),
        })
    }

    /// The picture as it is now. Never waits.
    pub(crate) fn snapshot(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    /// Told whenever there is another picture.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// The organization of that name.
    pub(crate) fn organization(&self, name: &str) -> Option<Arc<Organization>> {
        self.snapshot().organizations.get(name).cloned()
    }

    /// `None`: the name is taken.
    pub(crate) async fn create_organization(
        &self,
        name: &str,
        now: Timestamp,
    ) -> Result<Option<Arc<Organization>>, CatalogError> {
        let _changing = self.changing.lock().await;
        let Some(row) = self.database.insert_organization(name, now).await? else {
            return Ok(None);
        };
        let organization = Arc::new(Organization::load(&self.database, &row).await?);
        self.replace(Arc::clone(&organization));
        Ok(Some(organization))
    }

    /// `None`: the name is taken.
    pub(crate) async fn create_project(
        &self,
        organization: &Organization,
        name: &str,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, CatalogError> {
        let _changing = self.changing.lock().await;
        let row = self
            .database
            .insert_project(organization.id, name, now)
            .await?;
        if row.is_some() {
            self.reload(organization).await?;
        }
        Ok(row.map(|row| Timestamp(row.created_at)))
    }

    /// Makes a release visible to devices, in one step.
    pub(crate) async fn add_release(
        &self,
        organization: &Organization,
        mut row: ReleaseRow,
    ) -> Result<Release, CatalogError> {
        let _changing = self.changing.lock().await;
        row.id = self.database.insert_release(&row).await?;
        self.reload(organization).await?;
        Ok(Release::try_from(row)?)
    }

    /// Takes a release back. The newest one before it that is not withdrawn is offered again.
    pub(crate) async fn withdraw(
        &self,
        organization: &Organization,
        release: i64,
        now: Timestamp,
    ) -> Result<(), CatalogError> {
        let _changing = self.changing.lock().await;
        self.database.withdraw_release(release, now).await?;
        self.reload(organization).await
    }

    /// Changes what can be changed of a release.
    pub(crate) async fn change(
        &self,
        organization: &Organization,
        release: i64,
        held: bool,
        allow_downgrade: bool,
        notes: Option<&str>,
    ) -> Result<(), CatalogError> {
        let _changing = self.changing.lock().await;
        self.database
            .change_release(release, held, allow_downgrade, notes)
            .await?;
        self.reload(organization).await
    }

    async fn reload(&self, organization: &Organization) -> Result<(), CatalogError> {
        let row = organization.row();
        self.replace(Arc::new(Organization::load(&self.database, &row).await?));
        Ok(())
    }

    /// Call with `changing` held.
    fn replace(&self, organization: Arc<Organization>) {
        let mut snapshot = Snapshot::clone(&self.snapshot.load());
        snapshot.insert(organization);
        self.snapshot.store(Arc::new(snapshot));
        self.changed.send_replace(());
    }
}
