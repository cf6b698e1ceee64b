//! The `afr_ota` job document, as AWS makes it for OTA updates.

use airlift_formats::aws::job_document::{self, AfrOta, Protocols, SignatureKind};

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
///
/// The reference parser refuses a file without a signature. Where there is none it is empty, which satisfies the parser and no check
/// of a signature.
pub(crate) fn afr_ota(stream: &str, files: &[DocumentFile]) -> String {
    let files = files.iter().map(|file| job_document::File {
        id: file.file.id,
        // An upload is far smaller than what a number of 32 bits holds.
        size: u32::try_from(file.file.size).unwrap_or(u32::MAX),
        path: (&*file.path).into(),
        certificate: (&*file.certificate).into(),
        file_type: file.file_type,
        url: None,
        auth_scheme: None,
        signature: file.signature.as_deref().unwrap_or_default().into(),
        signature_kind: SignatureKind::Sha256Ecdsa,
    });
    let document = AfrOta {
        protocols: Protocols {
            mqtt: true,
            http: false,
        },
        stream: Some(stream),
        files,
    };
    let mut text = Vec::new();
    document.emit(&mut text);
    // All of it was text.
    String::from_utf8(text).unwrap_or_default()
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
