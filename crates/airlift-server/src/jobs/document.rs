//! The `afr_ota` job document, as AWS makes it for OTA updates.

use serde::Serialize;

use super::job::File;
use crate::catalog::release::{Kind, Release};
use crate::store::jobs::JobFileRow;

/// What devices look the certificate up by if nobody says otherwise. A device that has only one key does not look.
pub(crate) const DEFAULT_CERTIFICATE: &str = "code-sign.pem";

/// A file, as the document names it.
#[derive(Debug, Clone)]
pub(crate) struct DocumentFile {
    pub(crate) file: File,
    /// Where the device puts it.
    pub(crate) path: String,
    pub(crate) certificate: String,
    /// What the device does with it; `None` is 0, its firmware.
    pub(crate) file_type: Option<u8>,
    /// Base64.
    pub(crate) signature: Option<String>,
}

#[derive(Serialize)]
struct Document<'a> {
    afr_ota: AfrOta<'a>,
}

#[derive(Serialize)]
struct AfrOta<'a> {
    protocols: [&'static str; 1],
    streamname: &'a str,
    files: Vec<FileEntry<'a>>,
}

/// In the order in which AWS was seen to write them. It writes both of the fields for downloads over HTTP as `null` when there are none.
#[derive(Serialize)]
struct FileEntry<'a> {
    filepath: &'a str,
    filesize: u64,
    fileid: u8,
    certfile: &'a str,
    #[serde(rename = "fileType", skip_serializing_if = "Option::is_none")]
    file_type: Option<u8>,
    update_data_url: (),
    auth_scheme: (),
    /// The reference parser refuses a file without it. Where there is no signature it is empty, which satisfies the parser and no
    /// check of a signature.
    #[serde(rename = "sig-sha256-ecdsa")]
    signature: &'a str,
}

impl DocumentFile {
    /// The only file of a job that installs a release.
    pub(crate) fn of_release(release: &Release) -> Self {
        let partition = release.partition.as_deref();
        Self {
            file: File {
                id: 0,
                size: release.size,
                sha256: release.sha256,
            },
            path: partition.unwrap_or("firmware.bin").to_owned(),
            certificate: DEFAULT_CERTIFICATE.to_owned(),
            // Agents of FreeRTOS restart for their firmware only.
            file_type: (release.kind == Kind::Data).then_some(1),
            signature: release.signature.clone(),
        }
    }

    pub(crate) fn row(&self) -> JobFileRow {
        JobFileRow {
            id: self.file.id.into(),
            path: self.path.clone(),
            size: i64::try_from(self.file.size).unwrap_or(i64::MAX),
            sha256: self.file.sha256.to_string(),
        }
    }
}

/// The document for these files.
pub(crate) fn afr_ota(stream: &str, files: &[DocumentFile]) -> String {
    let files = files.iter().map(|file| FileEntry {
        filepath: &file.path,
        filesize: file.file.size,
        fileid: file.file.id,
        certfile: &file.certificate,
        file_type: file.file_type,
        update_data_url: (),
        auth_scheme: (),
        signature: file.signature.as_deref().unwrap_or_default(),
    });
    let document = Document {
        afr_ota: AfrOta {
            protocols: ["MQTT"],
            streamname: stream,
            files: files.collect(),
        },
    };
    // Writing to memory cannot fail, and nothing here has keys that are no texts.
    serde_json::to_string(&document).unwrap_or_default()
}

/// A name that no other stream has: `AFR_OTA-` and a random UUID. It has 44 characters, and may not have more: the reference
/// library copies it into a buffer of 45 bytes without a look at its length.
pub(crate) fn new_stream_name() -> String {
    let hex = crate::random::hex::<16>();
    // The digits that say "version 4, variant 1" (RFC 9562, section 5.4).
    let (a, rest) = hex.split_at(8);
    let (b, rest) = rest.split_at(4);
    let (c, rest) = rest.split_at(4);
    let (d, e) = rest.split_at(4);
    format!(
        "AFR_OTA-{a}-{b}-4{}-a{}-{e}",
        c.split_at(1).1,
        d.split_at(1).1
    )
}
