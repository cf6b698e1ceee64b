//! Publishing: from a stream of bytes to a release that devices are offered.
//!
//! Bytes go to a temporary object while they are counted, digested and inspected. Only when all is well does the object
//! get its name, and only then does one row make the release visible. A connection or a server that dies at any point
//! leaves what was offered before.

use std::sync::{Arc, PoisonError};

use airlift_rollout::Version;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::file_system::FileSystem;
use super::inspect::{
    App, BadImage, Contents, Data, Inspected, Inspector, MATTER_PARTITION, MatterImage,
};
use super::release::{self, Kind, Release, TargetKind};
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
    /// The bytes are for a partition; otherwise they are an app or a Matter OTA image.
    pub(crate) data: Option<DataOrder>,
    /// `None`: what the image says of itself.
    pub(crate) version: Option<String>,
    /// Publish even if this place has held images for another chip or product, or of another project, or if data looks like an app.
    pub(crate) force: bool,
    /// Made by who has the key, over the whole image.
    pub(crate) signature: Option<String>,
    /// Offered by rollouts only.
    pub(crate) hold: bool,
    /// Offered also to devices that run a newer version.
    pub(crate) allow_downgrade: bool,
    pub(crate) published_by: i64,
}

/// What is said of data beside its bytes.
pub(crate) struct DataOrder {
    pub(crate) partition: String,
    /// `None`: what the bytes give away.
    pub(crate) file_system: Option<FileSystem>,
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
        "this is an app, published as data: publish it without a partition, or repeat with force=true if a partition is to hold it as data"
    )]
    AppAsData,
    #[error(
        "the image holds a {} file system, published as {}: leave file_system out, or choose the other file",
        found.as_str(),
        given.as_str()
    )]
    OtherFileSystem {
        given: FileSystem,
        found: FileSystem,
    },
    #[error(
        "this place offers images for {offered}, and this one is for {found}: publish under another key, or repeat with force=true"
    )]
    OtherChip { offered: String, found: String },
    #[error(
        "this place offers images of project {offered:?}, and this one says {found:?}: publish under another key, or repeat with force=true"
    )]
    OtherProject { offered: String, found: String },
    #[error(
        "this place offers Matter OTA images for {offered}, and this one is for {found}: publish under another key, or repeat with force=true"
    )]
    OtherProduct { offered: String, found: String },
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
    pub(super) async fn turn(
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
        let received = receive(&mut incoming, &order, body, max_size).await;
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
        let row = row(&order, &found, verdict.version, verdict.file_system, clock);
        let release = Arc::new(self.add_release(&order.organization, row).await?);
        tracing::info!(
            organization = order.organization.name, project = order.project, target = order.target,
            partition = release.partition, version = release.version, sha256 = %release.sha256, size = release.size, "published"
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
        let partition = partition(order, found);
        let offered = organization.as_ref().and_then(|organization| {
            organization.offered(&order.project, order.target_kind, &order.target, partition)
        });
        let mut warnings = Vec::new();
        let (version, file_system) = match &found.contents {
            Contents::App(app) => (version_of(app, order, &mut warnings)?, None),
            Contents::Data(data) => {
                let version = order.version.clone().ok_or(PublishError::NoVersion)?;
                (version, file_system_of(data, order)?)
            }
            // No file system: a client that has only a mode to ask with could do nothing with it.
            Contents::Matter(image) => (
                version_of_matter(image, order, &mut warnings),
                Some(FileSystem::None),
            ),
        };
        // The same once more changes nothing, also where only rollouts offer it.
        let held = organization.as_ref().and_then(|organization| {
            let mut held = organization.held.values().rev();
            held.find(|held| {
                let is_there = held.project == order.project
                    && held.target_kind == order.target_kind
                    && held.target == order.target
                    && held.partition.as_deref() == partition;
                is_there && held.sha256 == found.sha256 && held.version == version
            })
        });
        if let Some(held) =
            held.filter(|held| order.hold && (!order.allow_downgrade || held.allow_downgrade))
        {
            return Ok(Verdict {
                version,
                file_system,
                already_offered: Some(Arc::clone(held)),
                replaces: None,
                warnings,
            });
        }
        let Some(offered) = offered else {
            return Ok(Verdict {
                version,
                file_system,
                already_offered: None,
                replaces: None,
                warnings,
            });
        };
        // Without a word about the file system, what was said before still holds.
        let same_file_system = file_system.is_none() || file_system == offered.file_system;
        // Of an image that was published before this was kept, it is kept now.
        let same_words = offered.matter.as_ref() == found.matter();
        // The same of a signature; another one is news to devices that are given it.
        let same_signature = order.signature.is_none() || order.signature == offered.signature;
        // And whether devices may go back to it: that can be changed without the bytes.
        let same_downgrade = !order.allow_downgrade || offered.allow_downgrade;
        let same_content = offered.sha256 == found.sha256 && offered.version == version;
        if same_content && same_file_system && same_words && same_signature && same_downgrade {
            if order.hold {
                warnings.push(
                    "this is offered here to everybody already, and stays so: nothing is held back"
                        .to_owned(),
                );
            }
            return Ok(Verdict {
                version,
                file_system,
                already_offered: Some(Arc::clone(offered)),
                replaces: None,
                warnings,
            });
        }
        match &found.contents {
            Contents::App(app) if !order.force => same_hardware_and_project(offered, app)?,
            Contents::Data(_) => {
                if let Some((before, now)) = offered
                    .file_system
                    .zip(file_system)
                    .filter(|(before, now)| before != now)
                {
                    warnings.push(format!(
                        "file system {} was offered here for this partition before, this one is {}",
                        before.as_str(),
                        now.as_str()
                    ));
                }
            }
            Contents::Matter(image) => same_product(offered, image, order, &mut warnings)?,
            Contents::App(_) => {}
        }
        let is_lower = Version::parse(&version)
            .zip(offered.order.as_ref())
            .is_some_and(|(version, offered)| version < *offered);
        if is_lower && !order.allow_downgrade {
            warnings.push(format!(
                "version {version:?} is lower than {:?}, which is offered here until now: devices that run that keep it, unless downgrades are allowed",
                offered.version
            ));
        }
        if offered.version == version && offered.sha256 != found.sha256 {
            warnings.push(format!(
                "version {version:?} was offered here with other content"
            ));
        }
        Ok(Verdict {
            version,
            file_system,
            already_offered: None,
            replaces: (!order.hold).then_some(offered.id),
            warnings,
        })
    }
}

struct Verdict {
    version: String,
    file_system: Option<FileSystem>,
    already_offered: Option<Arc<Release>>,
    replaces: Option<i64>,
    warnings: Vec<String>,
}

/// The version of an app: as ordered, else as it says itself.
fn version_of(
    app: &App,
    order: &Order,
    warnings: &mut Vec<String>,
) -> Result<String, PublishError> {
    let inside = app.version.as_deref();
    let version = order
        .version
        .as_deref()
        .or(inside.filter(|version| is_version(version)))
        .ok_or(PublishError::NoVersion)?;
    if let Some(inside) = inside.filter(|inside| *inside != version) {
        warnings.push(format!(
            "the image says that it is version {inside:?}, published as {version:?}"
        ));
    }
    Ok(version.to_owned())
}

/// The version of a Matter OTA image: as ordered, else its text, else its number, which it always has.
fn version_of_matter(image: &MatterImage, order: &Order, warnings: &mut Vec<String>) -> String {
    warnings.extend(image.remarks.iter().cloned());
    let number = image.says.software_version.to_string();
    let text = &image.says.software_version_string;
    match &order.version {
        Some(version) => {
            if version != text && *version != number {
                warnings.push(format!(
                    "the image says that it is version {text:?} ({number}), published as {version:?}"
                ));
            }
            version.clone()
        }
        None if is_version(text) => text.clone(),
        None => number,
    }
}

/// The partition that the bytes are for; none for an app.
fn partition<'a>(order: &'a Order, found: &Inspected) -> Option<&'a str> {
    match &found.contents {
        Contents::Matter(_) => Some(MATTER_PARTITION),
        Contents::App(_) | Contents::Data(_) => {
            order.data.as_ref().map(|data| data.partition.as_str())
        }
    }
}

/// What data holds: what its publisher says, unless its bytes say otherwise.
fn file_system_of(data: &Data, order: &Order) -> Result<Option<FileSystem>, PublishError> {
    if data.starts_like_an_app && !order.force {
        return Err(PublishError::AppAsData);
    }
    let given = order.data.as_ref().and_then(|data| data.file_system);
    match (given, data.file_system) {
        (Some(given), Some(found)) if given != found => {
            Err(PublishError::OtherFileSystem { given, found })
        }
        (given, found) => Ok(given.or(found)),
    }
}

/// Devices that share a key share the hardware: an image for another one is a mistake of the person at the keyboard.
fn same_hardware_and_project(offered: &Release, found: &App) -> Result<(), PublishError> {
    let chip = |family: Option<release::Family>, id: Option<u16>| {
        let family = family.map_or("any family", release::Family::as_str);
        match id {
            Some(id) => format!("{family} (chip id {id})"),
            None => family.to_owned(),
        }
    };
    if offered.family != Some(found.family) || offered.chip_id != found.chip_id {
        return Err(PublishError::OtherChip {
            offered: chip(offered.family, offered.chip_id),
            found: chip(Some(found.family), found.chip_id),
        });
    }
    match (&offered.image_project, &found.project) {
        (Some(offered), Some(found)) if offered != found => Err(PublishError::OtherProject {
            offered: offered.clone(),
            found: found.clone(),
        }),
        _ => Ok(()),
    }
}

/// Devices compare vendor and product, in which 0 is any, and take no lower version.
fn same_product(
    offered: &Release,
    found: &MatterImage,
    order: &Order,
    warnings: &mut Vec<String>,
) -> Result<(), PublishError> {
    let (Some(offered), found) = (&offered.matter, &found.says) else {
        return Ok(());
    };
    let differ = |one: u16, other: u16| one != other && one != 0 && other != 0;
    if (differ(offered.vendor_id, found.vendor_id) || differ(offered.product_id, found.product_id))
        && !order.force
    {
        let name = |image: &release::MatterHeader| {
            format!(
                "vendor {:#06x}, product {:#06x}",
                image.vendor_id, image.product_id
            )
        };
        return Err(PublishError::OtherProduct {
            offered: name(offered),
            found: name(found),
        });
    }
    if found.software_version <= offered.software_version {
        warnings.push(format!(
            "software version {} is not higher than {}, which was offered here before: devices that have that one refuse this image",
            found.software_version, offered.software_version
        ));
    }
    Ok(())
}

/// Takes the whole body in, or says why not.
async fn receive<E: std::fmt::Display>(
    incoming: &mut objects::Incoming,
    order: &Order,
    body: impl Stream<Item = Result<Bytes, E>>,
    max_size: u64,
) -> Result<Inspected, PublishError> {
    let mut body = std::pin::pin!(body);
    let mut inspector = match &order.data {
        Some(data) if data.partition == MATTER_PARTITION => Inspector::of_matter(),
        Some(_) => Inspector::of_data(),
        None => Inspector::of_app(max_size),
    };
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

fn row(
    order: &Order,
    found: &Inspected,
    version: String,
    file_system: Option<FileSystem>,
    clock: &dyn Clock,
) -> ReleaseRow {
    let app = match &found.contents {
        Contents::App(app) => Some(app),
        Contents::Data(_) | Contents::Matter(_) => None,
    };
    let kind = if app.is_some() { Kind::App } else { Kind::Data };
    ReleaseRow {
        id: 0,
        organization_id: order.organization.id,
        project: order.project.clone(),
        target_kind: order.target_kind.as_str().to_owned(),
        target: order.target.clone(),
        kind: kind.as_str().to_owned(),
        partition: partition(order, found).map(str::to_owned),
        file_system: file_system.map(|kind| kind.as_str().to_owned()),
        version,
        size: i64::try_from(found.size).unwrap_or(i64::MAX),
        md5: found.md5.to_string(),
        sha256: found.sha256.to_string(),
        running_md5: app.map_or_else(String::new, |app| release::list_of_md5(&app.running_md5)),
        running_sha256: app
            .and_then(|app| app.running_sha256)
            .map(|digest| digest.to_string()),
        family: app.map(|app| app.family.as_str().to_owned()),
        chip_id: app.and_then(|app| app.chip_id).map(i64::from),
        encoding: found.encoding.as_str().to_owned(),
        image_version: app.and_then(|app| app.version.clone()),
        image_project: app.and_then(|app| app.project.clone()),
        published_at: clock.now().0,
        published_by: Some(order.published_by),
        withdrawn_at: None,
        matter: found
            .matter()
            .map(release::MatterHeader::columns)
            .unwrap_or_default(),
        signature: order.signature.clone(),
        held: i64::from(order.hold),
        allow_downgrade: i64::from(order.allow_downgrade),
        notes: None,
    }
}
