//! One release, and the place where it lies.

use airlift_rollout::Version;
use http::HeaderValue;
use serde::Serialize;

use super::file_system::FileSystem;
use crate::clock::Timestamp;
use crate::digest::{Md5, Sha256};
use crate::store::catalog::{MatterColumns, ReleaseRow};

/// Families whose images cannot run on each other, as far as a request or an image tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Family {
    /// ESP8266: image header of 8 bytes, no chip id; takes gzip.
    Esp8266,
    /// ESP32 and its relatives: extended header with a chip id.
    Esp32,
}

impl Family {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Esp8266 => "esp8266",
            Self::Esp32 => "esp32",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Esp8266, Self::Esp32]
            .into_iter()
            .find(|family| family.as_str() == text)
    }
}

/// What a release is put on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TargetKind {
    /// One device.
    Node,
    /// All devices with this key.
    Key,
}

impl TargetKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Key => "key",
        }
    }
}

/// What the bytes are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// An application image.
    App,
    /// The content of a partition. It is never offered to a device that asks for an app.
    Data,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Data => "data",
        }
    }
}

/// How the image is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Encoding {
    /// As it runs.
    Plain,
    /// gzip, unpacked by the boot loader of an ESP8266.
    Gzip,
}

impl Encoding {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
        }
    }
}

/// A published image.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Release {
    pub(crate) id: i64,
    /// `+` for all projects of the organization.
    pub(crate) project: String,
    pub(crate) target_kind: TargetKind,
    pub(crate) target: String,
    pub(crate) kind: Kind,
    /// Data: the partition that it is for.
    pub(crate) partition: Option<String>,
    /// Data: what it holds, when that is known.
    pub(crate) file_system: Option<FileSystem>,
    pub(crate) version: String,
    /// Bytes served.
    pub(crate) size: u64,
    /// Of the bytes served.
    pub(crate) md5: Md5,
    /// Of the bytes served; names the object.
    pub(crate) sha256: Sha256,
    /// App: what a device that runs this may report as its sketch's MD5, that of the unpacked image without a signature, and for
    /// ESP8266 also with the flash mode byte as the device may have changed it.
    pub(crate) running_md5: Vec<Md5>,
    /// App: what a device that runs this may report as its sketch's SHA-256, beside `sha256`: ESP-IDF's
    /// `esp_partition_get_sha256` gives the digest *appended to* an image, which does not cover itself.
    pub(crate) running_sha256: Option<Sha256>,
    /// App: which devices can run it. Data is for any.
    pub(crate) family: Option<Family>,
    /// ESP32 family: `chip_id` of the image header.
    pub(crate) chip_id: Option<u16>,
    pub(crate) encoding: Encoding,
    /// Version text inside the image.
    pub(crate) image_version: Option<String>,
    /// Project name inside the image.
    pub(crate) image_project: Option<String>,
    pub(crate) published_at: Timestamp,
    /// Token that published it.
    pub(crate) published_by: Option<i64>,
    pub(crate) withdrawn_at: Option<Timestamp>,
    /// What a Matter OTA image says of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) matter: Option<MatterHeader>,
    /// Base64 of a DER-encoded ECDSA P-256 signature over the bytes served. The server cannot check it: it has no key.
    pub(crate) signature: Option<String>,
    /// Offered by rollouts only, and not by its place.
    pub(crate) held: bool,
    /// Offered also to devices that run a newer version.
    pub(crate) allow_downgrade: bool,
    /// What its publisher says about it, for people.
    pub(crate) notes: Option<String>,
    /// `None`: the version has no place in the order of versions.
    #[serde(skip)]
    pub(crate) order: Option<Version>,
    #[serde(skip)]
    pub(crate) headers: ReleaseHeaders,
}

/// What a Matter OTA image says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct MatterHeader {
    /// 0: any.
    pub(crate) vendor_id: u16,
    /// 0: any.
    pub(crate) product_id: u16,
    /// What devices compare.
    pub(crate) software_version: u32,
    pub(crate) software_version_string: String,
    /// The versions that can be updated.
    pub(crate) min_applicable_software_version: Option<u32>,
    pub(crate) max_applicable_software_version: Option<u32>,
    /// `None`: the payload is one image.
    pub(crate) parts: Option<u32>,
}

impl MatterHeader {
    pub(super) fn columns(&self) -> MatterColumns {
        MatterColumns {
            matter_vendor: Some(self.vendor_id.into()),
            matter_product: Some(self.product_id.into()),
            matter_version: Some(self.software_version.into()),
            matter_version_string: Some(self.software_version_string.clone()),
            matter_min_version: self.min_applicable_software_version.map(i64::from),
            matter_max_version: self.max_applicable_software_version.map(i64::from),
            matter_parts: self.parts.map(i64::from),
        }
    }

    /// `Err`: the column that cannot be read.
    fn of(columns: MatterColumns) -> Result<Option<Self>, &'static str> {
        fn number<N: TryFrom<i64>>(
            column: &'static str,
            value: Option<i64>,
        ) -> Result<Option<N>, &'static str> {
            value
                .map(|value| N::try_from(value).map_err(|_| column))
                .transpose()
        }
        let Some(vendor_id) = number("matter_vendor", columns.matter_vendor)? else {
            return Ok(None);
        };
        let product_id = number("matter_product", columns.matter_product)?;
        let software_version = number("matter_version", columns.matter_version)?;
        Ok(Some(Self {
            vendor_id,
            product_id: product_id.ok_or("matter_product")?,
            software_version: software_version.ok_or("matter_version")?,
            software_version_string: columns.matter_version_string.unwrap_or_default(),
            min_applicable_software_version: number(
                "matter_min_version",
                columns.matter_min_version,
            )?,
            max_applicable_software_version: number(
                "matter_max_version",
                columns.matter_max_version,
            )?,
            parts: number("matter_parts", columns.matter_parts)?,
        }))
    }
}

/// Header values of an answer that carries this release, made once.
#[derive(Debug, Clone)]
pub(crate) struct ReleaseHeaders {
    pub(crate) md5: HeaderValue,
    pub(crate) sha256: HeaderValue,
    /// Strong: the digest of the bytes, in quotes.
    pub(crate) etag: HeaderValue,
    pub(crate) version: HeaderValue,
    pub(crate) length: HeaderValue,
    /// Data: `name=PARTITION`, which tells the device that the server knew what it was asked for.
    pub(crate) partition: Option<HeaderValue>,
}

impl Release {
    /// Whether a device that reports these digests runs this release already, or holds it. Any one that matches is enough: which
    /// digests a device sends depends on its core's version.
    pub(crate) fn is_running(&self, md5: Option<Md5>, sha256: Option<Sha256>) -> bool {
        md5.is_some_and(|md5| self.running_md5.contains(&md5))
            || sha256.is_some_and(|sha| sha == self.sha256 || Some(sha) == self.running_sha256)
    }
}

impl Release {
    /// Whether both lie at the same place, and are for the same: there the one that was published later takes the place of the
    /// other.
    pub(crate) fn has_place_of(&self, other: &Self) -> bool {
        self.project == other.project
            && self.target_kind == other.target_kind
            && self.target == other.target
            && self.partition == other.partition
    }
}

/// How several digests are stored in one column.
pub(super) fn list_of_md5(digests: &[Md5]) -> String {
    digests
        .iter()
        .map(Md5::to_string)
        .collect::<Vec<_>>()
        .join(" ")
}

/// A row that this program did not write, or not this version of it.
#[derive(Debug, thiserror::Error)]
#[error(
    "release {id}: column {column} holds {value:?}, which this version of the server cannot read"
)]
pub(crate) struct UnreadableRow {
    id: i64,
    column: &'static str,
    value: String,
}

impl TryFrom<ReleaseRow> for Release {
    type Error = UnreadableRow;

    fn try_from(row: ReleaseRow) -> Result<Self, UnreadableRow> {
        let unreadable = |column, value: &dyn ToString| UnreadableRow {
            id: row.id,
            column,
            value: value.to_string(),
        };
        let md5 = |column, text: &str| {
            Md5::parse(text.as_bytes()).ok_or_else(|| unreadable(column, &text))
        };
        let sha256 = |column, text: &str| {
            Sha256::parse(text.as_bytes()).ok_or_else(|| unreadable(column, &text))
        };
        let header = |text: String| {
            HeaderValue::try_from(text).map_err(|_| unreadable("version", &row.version))
        };
        let kind = match row.kind.as_str() {
            "app" => Kind::App,
            "data" => Kind::Data,
            other => return Err(unreadable("kind", &other)),
        };
        if row.partition.is_some() != (kind == Kind::Data) {
            return Err(unreadable("partition", &row.partition.unwrap_or_default()));
        }
        if row.family.is_some() != (kind == Kind::App) {
            return Err(unreadable("family", &row.family.unwrap_or_default()));
        }

        let size = u64::try_from(row.size).map_err(|_| unreadable("size", &row.size))?;
        let (md5_served, sha256_served) = (md5("md5", &row.md5)?, sha256("sha256", &row.sha256)?);
        let headers = ReleaseHeaders {
            md5: header(md5_served.to_string())?,
            sha256: header(sha256_served.to_string())?,
            etag: header(format!("\"{sha256_served}\""))?,
            version: header(row.version.clone())?,
            length: HeaderValue::from(size),
            partition: row
                .partition
                .as_deref()
                .map(|name| header(format!("name={name}")))
                .transpose()?,
        };
        let matter = MatterHeader::of(row.matter.clone());
        let matter = matter.map_err(|column| unreadable(column, &"a number out of its range"))?;
        let chip_id = row
            .chip_id
            .map(|id| u16::try_from(id).map_err(|_| unreadable("chip_id", &id)));
        Ok(Self {
            id: row.id,
            target_kind: match row.target_kind.as_str() {
                "node" => TargetKind::Node,
                "key" => TargetKind::Key,
                other => return Err(unreadable("target_kind", &other)),
            },
            kind,
            file_system: row
                .file_system
                .as_deref()
                .map(|text| FileSystem::parse(text).ok_or_else(|| unreadable("file_system", &text)))
                .transpose()?,
            size,
            md5: md5_served,
            sha256: sha256_served,
            running_md5: row
                .running_md5
                .split_ascii_whitespace()
                .map(|hex| md5("running_md5", hex))
                .collect::<Result<_, _>>()?,
            running_sha256: row
                .running_sha256
                .as_deref()
                .map(|sha| sha256("running_sha256", sha))
                .transpose()?,
            family: row
                .family
                .as_deref()
                .map(|text| Family::parse(text).ok_or_else(|| unreadable("family", &text)))
                .transpose()?,
            chip_id: chip_id.transpose()?,
            encoding: match row.encoding.as_str() {
                "plain" => Encoding::Plain,
                "gzip" => Encoding::Gzip,
                other => return Err(unreadable("encoding", &other)),
            },
            headers,
            published_at: Timestamp(row.published_at),
            published_by: row.published_by,
            withdrawn_at: row.withdrawn_at.map(Timestamp),
            matter,
            project: row.project,
            target: row.target,
            partition: row.partition,
            order: Version::parse(&row.version),
            version: row.version,
            image_version: row.image_version,
            image_project: row.image_project,
            signature: row.signature,
            held: row.held != 0,
            allow_downgrade: row.allow_downgrade != 0,
            notes: row.notes,
        })
    }
}
