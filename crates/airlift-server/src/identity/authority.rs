//! The certificate authority: a key in the data folder, made when it is first needed.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use tokio::sync::OnceCell;

use crate::clock::Timestamp;

/// The folder below the data folder.
const FOLDER: &str = "authority";
const CERTIFICATE: &str = "ca.pem";
const KEY: &str = "ca.key.pem";
/// Longest common name (X.520, `ub-common-name`).
const MAX_COMMON_NAME: usize = 64;
/// Certificates begin a day early, for devices whose clock is behind.
const DAY: i64 = 86_400_000;

/// Why the authority cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthorityError {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error(
        "{path}: {source}; restore the file, or remove the folder and enroll every device anew"
    )]
    Content { path: PathBuf, source: rcgen::Error },
    #[error("a certificate cannot be made: {0}")]
    Issue(#[source] rcgen::Error),
    #[error("the server is stopping")]
    Stopped,
    #[error("the key of a new certificate cannot be used")]
    Key,
}

/// A certificate signing request that cannot be signed.
#[derive(Debug, thiserror::Error)]
#[error("not a certificate signing request that can be signed: {0}")]
pub(crate) struct BadRequest(#[source] rcgen::Error);

/// Who a certificate is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) organization: &'a str,
    pub(crate) project: &'a str,
    pub(crate) thing: &'a str,
}

/// The authority of a data folder, opened when it is first needed.
pub(crate) struct LazyAuthority {
    data: PathBuf,
    opened: OnceCell<Arc<Authority>>,
}

impl LazyAuthority {
    pub(crate) fn new(data: &Path) -> Self {
        Self {
            data: data.to_owned(),
            opened: OnceCell::new(),
        }
    }

    pub(crate) async fn get(&self, now: Timestamp) -> Result<Arc<Authority>, AuthorityError> {
        let open = async || {
            let data = self.data.clone();
            let opening = tokio::task::spawn_blocking(move || Authority::open(&data, now));
            opening
                .await
                .unwrap_or(Err(AuthorityError::Stopped))
                .map(Arc::new)
        };
        self.opened.get_or_try_init(open).await.cloned()
    }
}

/// Signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    /// Opens the authority of a data folder, and makes it if there is none. Does file work: not for the thread of a runtime.
    pub(super) fn open(data: &Path, now: Timestamp) -> Result<Self, AuthorityError> {
        let folder = data.join(FOLDER);
        if !folder.exists() {
            make(data, &folder, now)?;
        }
        let read = |name: &str| {
            let path = folder.join(name);
            match fs::read_to_string(&path) {
                Ok(text) => Ok((path, text)),
                Err(source) => Err(AuthorityError::File { path, source }),
            }
        };
        let (key_path, key) = read(KEY)?;
        let (path, certificate) = read(CERTIFICATE)?;
        let key = KeyPair::from_pem(&key).map_err(|source| AuthorityError::Content {
            path: key_path,
            source,
        })?;
        let issuer = Issuer::from_ca_cert_pem(&certificate, key)
            .map_err(|source| AuthorityError::Content { path, source })?;
        Ok(Self {
            issuer,
            certificate,
        })
    }

    /// Its own certificate, as PEM: what devices check the server against, and the server the devices.
    pub(crate) fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Signs the key of a request. Nothing but the key is taken from it, and that only if the request is signed by it.
    pub(crate) fn sign(
        &self,
        request: &str,
        subject: Subject<'_>,
        now: Timestamp,
    ) -> Result<rcgen::Certificate, BadRequest> {
        let mut request = CertificateSigningRequestParams::from_pem(request).map_err(BadRequest)?;
        request.params = leaf(now, end(now));
        let params = &mut request.params;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let name = &mut params.distinguished_name;
        name.push(DnType::OrganizationName, subject.organization);
        name.push(DnType::OrganizationalUnitName, subject.project);
        if subject.thing.len() <= MAX_COMMON_NAME {
            name.push(DnType::CommonName, subject.thing);
        }
        let uri = format!(
            "airlift:{}/{}/{}",
            subject.organization, subject.project, subject.thing
        );
        let uri = Ia5String::try_from(uri).map_err(BadRequest)?;
        params.subject_alt_names.push(SanType::URI(uri));
        request.signed_by(&self.issuer).map_err(BadRequest)
    }

    /// A key and a certificate for a server of these names, until then.
    pub(crate) fn server(
        &self,
        names: &[String],
        now: Timestamp,
        until: Timestamp,
    ) -> Result<(rcgen::Certificate, KeyPair), AuthorityError> {
        let made = || {
            let mut params = leaf(now, until);
            params.subject_alt_names = CertificateParams::new(names.to_vec())?.subject_alt_names;
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            params
                .distinguished_name
                .push(DnType::CommonName, "Airlift server");
            let key = KeyPair::generate()?;
            Ok((params.signed_by(&key, &self.issuer)?, key))
        };
        made().map_err(AuthorityError::Issue)
    }
}

/// What the certificates of servers and devices have in common.
fn leaf(now: Timestamp, until: Timestamp) -> CertificateParams {
    let mut params = valid(Timestamp(now.0 - DAY), until);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    // Of its own, and not derived from the key: a device may be enrolled again with the key that it has.
    params.serial_number = Some(serial_number());
    params
}

fn valid(from: Timestamp, until: Timestamp) -> CertificateParams {
    let date = |at: Timestamp| {
        let (year, month, day) = at.date();
        let narrow = |number: i64| u8::try_from(number).unwrap_or(1);
        let year = i32::try_from(year).unwrap_or(9999);
        rcgen::date_time_ymd(year, narrow(month), narrow(day))
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = date(from);
    params.not_after = date(until);
    params
}

/// When certificates of devices, and of the authority, end. Devices in the field cannot be given new ones easily, and what
/// ends their validity is the server's word; so it is late. Until the year 2050 times have the form that every device reads.
fn end(now: Timestamp) -> Timestamp {
    const THE_31ST_OF_DECEMBER_2049: i64 = 2_524_521_600_000;
    const TEN_YEARS: i64 = 3653 * DAY;
    Timestamp(THE_31ST_OF_DECEMBER_2049.max(now.0 + TEN_YEARS))
}

/// A random number that is positive in DER and never short.
fn serial_number() -> SerialNumber {
    let mut bytes = crate::random::bytes::<16>();
    bytes[0] = bytes[0] & 0x3f | 0x40;
    SerialNumber::from_slice(&bytes)
}

/// Makes the key and the certificate: a folder that is there is complete.
fn make(data: &Path, folder: &Path, now: Timestamp) -> Result<(), AuthorityError> {
    let made = || {
        let key = KeyPair::generate()?;
        let mut params = valid(Timestamp(now.0 - DAY), end(now));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(serial_number());
        // The number tells the authorities of two servers apart.
        let name = format!("Airlift authority {}", crate::random::hex::<4>());
        params.distinguished_name.push(DnType::CommonName, name);
        Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
    };
    let (certificate, key) = made().map_err(AuthorityError::Issue)?;

    let beginning = data.join(format!("{FOLDER}.new"));
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| AuthorityError::File { path, source }
    };
    match fs::remove_dir_all(&beginning) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(at(&beginning)(error));
        }
        _ => fs::create_dir(&beginning).map_err(at(&beginning))?,
    }
    for (name, text) in [(CERTIFICATE, certificate), (KEY, key)] {
        let path = beginning.join(name);
        write(&path, &text).map_err(at(&path))?;
    }
    fs::rename(&beginning, folder).map_err(at(folder))?;
    // The new name is on the disk when this returns.
    let synced = fs::File::open(data).and_then(|folder| folder.sync_all());
    synced.map_err(at(data))
}

/// Writes a file that only its owner may read.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_205_309_042);
    const SUBJECT: Subject<'_> = Subject {
        organization: "dev",
        project: "lotus",
        thing: "dev-1",
    };

    fn request(key: &KeyPair) -> String {
        let mut params = CertificateParams::new(["evil.example".to_owned()]).unwrap();
        params.is_ca = IsCa::NoCa;
        params
            .distinguished_name
            .push(DnType::CommonName, "somebody else");
        params.serialize_request(key).unwrap().pem().unwrap()
    }

    #[test]
    fn it_is_made_once_and_its_key_is_private() {
        let data = tempfile::tempdir().unwrap();
        // What a server left that was killed while it made one.
        fs::create_dir(data.path().join("authority.new")).unwrap();
        fs::write(data.path().join("authority.new/ca.pem"), "half").unwrap();
        let made = Authority::open(data.path(), NOW).unwrap();
        let opened = Authority::open(data.path(), NOW).unwrap();
        assert_eq!(made.certificate(), opened.certificate());
        assert!(!data.path().join("authority.new").exists());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let key = data.path().join("authority/ca.key.pem");
            let mode = fs::metadata(key).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_damaged_authority_is_not_replaced() {
        let data = tempfile::tempdir().unwrap();
        Authority::open(data.path(), NOW).unwrap();
        let key = data.path().join("authority/ca.key.pem");
        fs::write(&key, "-----BEGIN").unwrap();
        let error = Authority::open(data.path(), NOW).err().unwrap().to_string();
        assert!(error.contains("ca.key.pem"), "{error}");
        fs::remove_file(&key).unwrap();
        assert!(Authority::open(data.path(), NOW).is_err());
    }

    #[test]
    fn only_the_key_of_a_request_is_believed() {
        let data = tempfile::tempdir().unwrap();
        let authority = Authority::open(data.path(), NOW).unwrap();
        let key = KeyPair::generate().unwrap();
        let request = request(&key);
        let one = authority.sign(&request, SUBJECT, NOW).unwrap();
        let other = authority.sign(&request, SUBJECT, NOW).unwrap();
        assert_ne!(
            super::super::fingerprint(one.der()),
            super::super::fingerprint(other.der())
        );
        let text = String::from_utf8_lossy(one.der());
        assert!(text.contains("airlift:dev/lotus/dev-1"));
        assert!(!text.contains("evil") && !text.contains("somebody else"));
    }

    #[test]
    fn a_request_that_is_not_signed_by_its_key_is_refused() {
        let data = tempfile::tempdir().unwrap();
        let authority = Authority::open(data.path(), NOW).unwrap();
        let key = KeyPair::generate().unwrap();
        let good = request(&key);
        // The last line but one holds the end of the signature; a character is six bits of it.
        let end = good.rfind("\n-----END").unwrap();
        for at in end - 24..end - 4 {
            let mut bad = good.clone().into_bytes();
            bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
            let bad = String::from_utf8(bad).unwrap();
            assert!(authority.sign(&bad, SUBJECT, NOW).is_err(), "{bad}");
        }
        for text in [
            "",
            "-----BEGIN CERTIFICATE REQUEST-----",
            authority.certificate(),
        ] {
            assert!(authority.sign(text, SUBJECT, NOW).is_err(), "{text:?}");
        }
    }
}
