//! Publishing: from a stream of bytes to a release that devices are offered.
//!
//! Bytes go to a temporary object while they are counted, digested and inspected. Only when all is well does the object
//! get its name, and only then does one row make the release visible. A connection or a server that dies at any point
//! leaves what was offered before.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::inspect::{BadImage, Inspected, Inspector};
use super::release::{self, Release, TargetKind};
use super::snapshot::Organization;
use super::{Catalog, CatalogError, MAX_UPLOADS_OF_ONE, UPLOAD_WAIT};
use crate::clock::Clock;
use crate::store::catalog::ReleaseRow;
use crate::store::objects;

/// What to publish, and where. Names are checked, and the project exists.
pub(crate) struct Order {
    pub(crate) organization: Arc<Organization>,
    pub(crate) project: String,
    pub(crate) target_kind: TargetKind,
    pub(crate) target: String,
    /// `None`: what the image says of itself.
    pub(crate) version: Option<String>,
    /// Publish even if this place has held images for another chip or of another project.
    pub(crate) force: bool,
    pub(crate) published_by: i64,
}

/// A publication that succeeded.
pub(crate) struct Published {
    pub(crate) release: Arc<Release>,
    /// `false`: the same bytes are offered at this place already.
    pub(crate) created: bool,
    /// The release that was offered at this place until now.
    pub(crate) replaces: Option<i64>,
    pub(crate) warnings: Vec<String>,
}

/// Why nothing was published. Nothing of the upload is left, and what was offered still is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    #[error("the upload is empty: send the image as the request body")]
    Empty,
    #[error(
        "the image is larger than {0} bytes, the most that this server takes (setting max_image_size)"
    )]
    TooLarge(u64),
    #[error("this is not an image that a device could run: {0}")]
    BadImage(#[from] BadImage),
    #[error("the image does not say its version: give one with version=...")]
    NoVersion,
    #[error(
        "this place offers images for {offered}, and this one is for {found}: publish under another key, or repeat with force=true"
    )]
    OtherChip { offered: String, found: String },
    #[error(
        "this place offers images of project {offered:?}, and this one says {found:?}: publish under another key, or repeat with force=true"
    )]
    OtherProject { offered: String, found: String },
    #[error("too many uploads are under way: publish again when one of them is done")]
    Busy,
    #[error("the upload broke off: {0}")]
    BrokenOff(String),
    #[error(
        "the server's storage is full: nothing was published; free space on it and publish again"
    )]
    StorageFull,
    #[error("the server cannot store the image: {0}")]
    Store(object_store::Error),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl From<object_store::Error> for PublishError {
    fn from(error: object_store::Error) -> Self {
        if objects::is_full(&error) {
            Self::StorageFull
        } else {
            Self::Store(error)
        }
    }
}

impl Catalog {
    /// Waits for a place to receive an upload in: one of the organization's, then one of all.
    async fn turn(
        &self,
        organization: i64,
    ) -> Result<(OwnedSemaphorePermit, SemaphorePermit<'_>), PublishError> {
        let own = {
            let mut all = self
                .uploads_of
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Semaphore::new(MAX_UPLOADS_OF_ONE));
            Arc::clone(all.entry(organization).or_insert_with(new))
        };
        // In this order: who waits for the organization's place must not hold one of all.
        let turn = async {
            let own = own.acquire_owned().await?;
            Ok::<_, AcquireError>((own, self.uploads.acquire().await?))
        };
        match tokio::time::timeout(UPLOAD_WAIT, turn).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(PublishError::Busy),
        }
    }

    /// Publishes an image.
    pub(crate) async fn publish<E: std::fmt::Display>(
        &self,
        order: Order,
        body: impl Stream<Item = Result<Bytes, E>>,
        max_size: u64,
        clock: &dyn Clock,
    ) -> Result<Published, PublishError> {
        let _turn = self.turn(order.organization.id).await?;
        let mut incoming = self.images.objects().receive().await?;
        let received = receive(&mut incoming, body, max_size).await;
        let found = match received {
            Ok(found) => found,
            Err(error) => {
                incoming.discard().await;
                return Err(error);
            }
        };
        let _publishing = self.publishing.lock().await;
        let verdict = match self.judge(&order, &found) {
            Ok(verdict) => verdict,
            Err(error) => {
                incoming.discard().await;
                return Err(error);
            }
        };
        // Also when there is an object of this name: these bytes are known to be whole, and that one may have been damaged.
        incoming.keep(&found.sha256).await?;
        if let Some(release) = verdict.already_offered {
            return Ok(Published {
                release,
                created: false,
                replaces: None,
                warnings: verdict.warnings,
            });
        }
        let row = row(&order, &found, verdict.version, clock);
        let release = Arc::new(self.add_release(&order.organization, row).await?);
        tracing::info!(
            organization = order.organization.name, project = order.project, target = order.target,
            version = release.version, sha256 = %release.sha256, size = release.size, "published"
        );
        Ok(Published {
            release,
            created: true,
            replaces: verdict.replaces,
            warnings: verdict.warnings,
        })
    }

    /// Compares the image with what was asked for and with what the place holds.
    fn judge(&self, order: &Order, found: &Inspected) -> Result<Verdict, PublishError> {
        let organization = self.organization(&order.organization.name);
        let offered = organization.as_ref().and_then(|organization| {
            organization.offered(&order.project, order.target_kind, &order.target)
        });
        let image_version = found
            .contents
            .version
            .as_deref()
            .filter(|version| is_version(version));
        let version = order
            .version
            .as_deref()
            .or(image_version)
            .ok_or(PublishError::NoVersion)?
            .to_owned();

        let mut warnings = Vec::new();
        if let Some(inside) = found
            .contents
            .version
            .as_deref()
            .filter(|inside| *inside != version)
        {
            warnings.push(format!(
                "the image says that it is version {inside:?}, published as {version:?}"
            ));
        }
        if let Some(offered) = offered {
            if offered.sha256 == found.sha256 && offered.version == version {
                let already_offered = Some(Arc::clone(offered));
                return Ok(Verdict {
                    version,
                    already_offered,
                    replaces: None,
                    warnings,
                });
            }
            if !order.force {
                same_hardware_and_project(offered, found)?;
            }
            if offered.version == version && offered.sha256 != found.sha256 {
                warnings.push(format!(
                    "version {version:?} was offered here with other content"
                ));
            }
        }
        let replaces = offered.map(|offered| offered.id);
        Ok(Verdict {
            version,
            already_offered: None,
            replaces,
            warnings,
        })
    }
}

struct Verdict {
    version: String,
    already_offered: Option<Arc<Release>>,
    replaces: Option<i64>,
    warnings: Vec<String>,
}

/// Devices that share a key share the hardware: an image for another one is a mistake of the person at the keyboard.
fn same_hardware_and_project(offered: &Release, found: &Inspected) -> Result<(), PublishError> {
    let chip = |family: release::Family, id: Option<u16>| match id {
        Some(id) => format!("{} (chip id {id})", family.as_str()),
        None => family.as_str().to_owned(),
    };
    if offered.family != found.contents.family || offered.chip_id != found.contents.chip_id {
        return Err(PublishError::OtherChip {
            offered: chip(offered.family, offered.chip_id),
            found: chip(found.contents.family, found.contents.chip_id),
        });
    }
    match (&offered.image_project, &found.contents.project) {
        (Some(offered), Some(found)) if offered != found => Err(PublishError::OtherProject {
            offered: offered.clone(),
            found: found.clone(),
        }),
        _ => Ok(()),
    }
}

/// Takes the whole body in, or says why not.
async fn receive<E: std::fmt::Display>(
    incoming: &mut objects::Incoming,
    body: impl Stream<Item = Result<Bytes, E>>,
    max_size: u64,
) -> Result<Inspected, PublishError> {
    let mut body = std::pin::pin!(body);
    let mut inspector = Inspector::new(max_size);
    let mut size = 0_u64;
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|error| PublishError::BrokenOff(error.to_string()))?;
        size += piece.len() as u64;
        if size > max_size {
            return Err(PublishError::TooLarge(max_size));
        }
        inspector.update(&piece)?;
        incoming.write(&piece).await?;
    }
    if size == 0 {
        return Err(PublishError::Empty);
    }
    Ok(inspector.finish()?)
}

/// A version goes into a header and on screens: 1 to 64 visible ASCII characters.
pub(crate) fn is_version(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn row(order: &Order, found: &Inspected, version: String, clock: &dyn Clock) -> ReleaseRow {
    ReleaseRow {
        id: 0,
        organization_id: order.organization.id,
        project: order.project.clone(),
        target_kind: order.target_kind.as_str().to_owned(),
        target: order.target.clone(),
        kind: "app".to_owned(),
        version,
        size: i64::try_from(found.size).unwrap_or(i64::MAX),
        md5: found.md5.to_string(),
        sha256: found.sha256.to_string(),
        running_md5: release::list_of_md5(&found.contents.running_md5),
        running_sha256: found
            .contents
            .running_sha256
            .map(|digest| digest.to_string()),
        family: found.contents.family.as_str().to_owned(),
        chip_id: found.contents.chip_id.map(i64::from),
        encoding: found.encoding.as_str().to_owned(),
        image_version: found.contents.version.clone(),
        image_project: found.contents.project.clone(),
        published_at: clock.now().0,
        published_by: Some(order.published_by),
        withdrawn_at: None,
    }
}
