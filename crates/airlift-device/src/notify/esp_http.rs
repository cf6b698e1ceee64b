//! The update check of an ESP32: the request that the `HTTPUpdate` library of arduino-esp32 makes.
//!
//! Servers in the field read these headers, so a device built with Airlift sends the same ones, byte for byte and in
//! the same order: `GET <uri> HTTP/1.0`, `Host`, `User-Agent: ESP32-http-Update`, `Connection: close`,
//! `Cache-Control: no-cache`, then the `x-ESP32-*` facts. The library lets an application add headers of its own behind
//! those; there Airlift adds, only when there is something to say:
//!
//! * `Range: bytes=N-` and `If-Range: "<etag>"` to go on with a download that was cut off (the library never resumes);
//! * `x-Airlift-Partition: name=<partition>; sha256=<hex>; version=<version>`: asks for the data of this partition instead of
//!   the app. `name` always comes first; digest and version are those of what was last installed there, each only when it is
//!   known. Without a digest the server takes the partition for empty and sends its data at every check;
//! * `x-Airlift-Update: state=<state>; sha256=<hex>; version=<version>; reason=<token>`: what became of an update: that of
//!   the partition, if the request names one, otherwise that of the app. `state` always comes first; each of the others only
//!   when it is known.
//!
//! A request for a partition should say a file system [`Mode`], as [`Mode::FlashFs`]: a server that does not know the header
//! then never answers with an app. One that does says so with `x-Airlift-Partition: name=<partition>` in its answer.
//!
//! Every text that goes into the request is checked: what could end a line, a path segment or a field of the report is
//! refused and named, never sent.
//!
//! ```
//! use airlift_device::notify::esp_http::{Facts, Method, Mode, Request, Target};
//!
//! let request = Request {
//!     method: Method::Get,
//!     target: Target {
//!         prefix: "/ota_update",
//!         organization: "dev",
//!         project: "lotus",
//!         node: "esp32-6c5e0e",
//!         key: "sht30_d1_mini",
//!     },
//!     host: "updates.example:8080",
//!     facts: Facts {
//!         base_mac: None,
//!         sta_mac: None,
//!         ap_mac: None,
//!         free_space: 1_966_080,
//!         sketch_size: 1_006_448,
//!         sketch_md5: None,
//!         sketch_sha256: None,
//!         chip_size: 4_194_304,
//!         sdk_version: "v5.3.2",
//!         mode: Mode::Sketch,
//!         version: Some("1.0.0"),
//!     },
//!     resume: None,
//!     partition: None,
//!     report: None,
//! };
//! let mut buffer = [0; 1024];
//! let bytes = request.encode(&mut buffer).unwrap();
//! assert!(bytes.starts_with(b"GET /ota_update/dev/lotus/esp32-6c5e0e/sht30_d1_mini HTTP/1.0\r\n"));
//! assert!(bytes.ends_with(b"x-ESP32-version: 1.0.0\r\n\r\n"));
//! ```

mod writer;

use writer::Writer;

/// A buffer of this many bytes holds any request whose texts (segments of the path, host, versions, validator, reason)
/// have no more than 64 bytes each.
pub const USUAL_REQUEST_LEN: usize = 1536;

/// A MAC address, in transmission order.
pub type Mac = [u8; 6];

/// An update check, complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// Whether the image is wanted as well.
    pub method: Method,
    /// What is asked for.
    pub target: Target<'a>,
    /// The server, with `:port` unless it is the scheme's own: what goes into `Host`.
    pub host: &'a str,
    /// What the device says of itself.
    pub facts: Facts<'a>,
    /// Where to go on with a download that was cut off.
    pub resume: Option<Resume<'a>>,
    /// The partition whose data is asked for; without one the app is.
    pub partition: Option<PartitionFacts<'a>>,
    /// What became of the last update (of the partition, if there is one here), if the server does not know it yet.
    pub report: Option<Report<'a>>,
}

/// Whether the image is wanted as well. (The library only ever says `GET`.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// If there is an update, send it.
    Get,
    /// Only say whether there is one: to deliver a report.
    Head,
}

/// The path of an update check: `{prefix}/{organization}/{project}/{node}/{key}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// The path in front, starting with `/` and not ending with one: `/ota_update`. May be empty.
    pub prefix: &'a str,
    /// Whose device this is.
    pub organization: &'a str,
    /// The project within the organization.
    pub project: &'a str,
    /// The name of this one device, `esp32-6c5e0e`.
    pub node: &'a str,
    /// The kind of device, which picks the package: `sht30_d1_mini`.
    pub key: &'a str,
}

/// What an ESP32 says of itself with every check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts<'a> {
    /// The address that the others are derived from; sent since arduino-esp32 3.x.
    pub base_mac: Option<Mac>,
    /// The address as a Wi-Fi station.
    pub sta_mac: Option<Mac>,
    /// The address as a Wi-Fi access point.
    pub ap_mac: Option<Mac>,
    /// Bytes that a new image may have: the size of the passive slot.
    pub free_space: u32,
    /// Length of the running image in bytes.
    pub sketch_size: u32,
    /// MD5 of the running image; arduino-esp32 1.0.x does not send it.
    pub sketch_md5: Option<[u8; 16]>,
    /// SHA-256 of the running image.
    pub sketch_sha256: Option<[u8; 32]>,
    /// Size of the flash chip in bytes.
    pub chip_size: u32,
    /// Version of ESP-IDF, or of what stands in for it.
    pub sdk_version: &'a str,
    /// What is to be updated.
    pub mode: Mode,
    /// Version of the running application.
    pub version: Option<&'a str>,
}

/// What is to be updated: `x-ESP32-mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The application.
    Sketch,
    /// A file system of any kind (all that older clients can say).
    Spiffs,
    /// A FAT file system.
    Fatfs,
    /// A `LittleFS` file system.
    LittleFs,
    /// Whatever file system the partition table names first.
    FlashFs,
}

impl Mode {
    fn token(self) -> &'static str {
        match self {
            Self::Sketch => "sketch",
            Self::Spiffs => "spiffs",
            Self::Fatfs => "fatfs",
            Self::LittleFs => "littlefs",
            Self::FlashFs => "flashfs",
        }
    }
}

/// Where to go on with a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resume<'a> {
    /// Bytes that are there already, and so the first one that is wanted.
    pub offset: u32,
    /// The `ETag` that came with them, quotes included. Must be a strong one: bytes of two representations that are
    /// only equivalent may not be joined (RFC 9110, 13.1.5).
    pub etag: &'a str,
}

/// The partition whose data is asked for, and what was last installed there: `x-Airlift-Partition`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionFacts<'a> {
    /// Its name in the partition table; see [`is_partition_name`].
    pub name: &'a str,
    /// SHA-256 of the whole image that was last installed there. Without one nothing was, or it is not intact.
    pub sha256: Option<[u8; 32]>,
    /// Version of what was last installed there; see [`is_report_text`].
    pub version: Option<&'a str>,
}

/// What became of an update: `x-Airlift-Update`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report<'a> {
    /// How it ended, or that it has not yet.
    pub state: State,
    /// SHA-256 of the image that the report is about.
    pub sha256: Option<[u8; 32]>,
    /// Version of the image that the report is about; see [`is_report_text`].
    pub version: Option<&'a str>,
    /// Why, as one word for programs: `digest-mismatch`; see [`is_report_text`].
    pub reason: Option<&'a str>,
}

/// The state of an update, as told to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The new image runs and has confirmed itself.
    Confirmed,
    /// The new image did not confirm itself; the one before it runs again.
    RolledBack,
    /// The image did not pass the checks and was not installed.
    Refused,
    /// The device could not carry the update out (flash, space).
    Failed,
    /// The download was cut off and will go on.
    Interrupted,
}

impl State {
    /// The word that goes over the wire.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::RolledBack => "rolled-back",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }
}

/// The part of a request that an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// [`Target::prefix`]
    Prefix,
    /// [`Target::organization`]
    Organization,
    /// [`Target::project`]
    Project,
    /// [`Target::node`]
    Node,
    /// [`Target::key`]
    Key,
    /// [`Request::host`]
    Host,
    /// [`Facts::sdk_version`]
    SdkVersion,
    /// [`Facts::version`]
    Version,
    /// [`Resume::etag`]
    Etag,
    /// [`PartitionFacts::name`]
    PartitionName,
    /// [`PartitionFacts::version`]
    PartitionVersion,
    /// [`Report::version`]
    ReportVersion,
    /// [`Report::reason`]
    ReportReason,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Prefix => "path prefix",
            Self::Organization => "organization",
            Self::Project => "project",
            Self::Node => "node",
            Self::Key => "key",
            Self::Host => "host",
            Self::SdkVersion => "SDK version",
            Self::Version => "version",
            Self::Etag => "entity tag",
            Self::PartitionName => "name of the partition",
            Self::PartitionVersion => "version of the partition",
            Self::ReportVersion => "version in the report",
            Self::ReportReason => "reason in the report",
        }
    }
}

/// Why a request could not be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The buffer is too small for the request.
    BufferTooSmall,
    /// A text is empty or has a character that may not stand in its place.
    Invalid(Part),
}

impl core::fmt::Display for EncodeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::BufferTooSmall => f.write_str("the buffer is too small for the update check"),
            Self::Invalid(part) => {
                f.write_str("the ")?;
                f.write_str(part.name())?;
                f.write_str(" is empty or has a character that may not be sent there")
            }
        }
    }
}

impl core::error::Error for EncodeError {}

impl Request<'_> {
    /// Writes the request to the front of `buffer` and returns it. [`USUAL_REQUEST_LEN`] bytes are usually enough.
    ///
    /// # Errors
    /// [`EncodeError`]; what `buffer` then holds must not be sent.
    pub fn encode<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], EncodeError> {
        self.validate()?;
        let mut out = Writer::new(buffer);
        out.text(match self.method {
            Method::Get => "GET ",
            Method::Head => "HEAD ",
        });
        out.text(self.target.prefix);
        for segment in self.target.segments() {
            out.text("/");
            out.text(segment);
        }
        out.text(" HTTP/1.0\r\nHost: ");
        out.text(self.host);
        out.text(
            "\r\nUser-Agent: ESP32-http-Update\r\nConnection: close\r\nCache-Control: no-cache",
        );
        self.facts.write(&mut out);
        if let Some(resume) = &self.resume {
            out.field("Range: bytes=");
            out.decimal(resume.offset);
            out.text("-");
            out.field("If-Range: ");
            out.text(resume.etag);
        }
        if let Some(partition) = &self.partition {
            partition.write(&mut out);
        }
        if let Some(report) = &self.report {
            report.write(&mut out);
        }
        out.text("\r\n\r\n");
        out.finish().ok_or(EncodeError::BufferTooSmall)
    }

    fn validate(&self) -> Result<(), EncodeError> {
        let target = &self.target;
        let prefix_is_good = target.prefix.is_empty()
            || target
                .prefix
                .strip_prefix('/')
                .is_some_and(|path| path.split('/').all(is_segment));
        check(prefix_is_good, Part::Prefix)?;
        check(is_segment(target.organization), Part::Organization)?;
        check(is_segment(target.project), Part::Project)?;
        check(is_segment(target.node), Part::Node)?;
        check(is_segment(target.key), Part::Key)?;
        check(is_host(self.host), Part::Host)?;
        check(is_field_value(self.facts.sdk_version), Part::SdkVersion)?;
        check(self.facts.version.is_none_or(is_field_value), Part::Version)?;
        if let Some(resume) = &self.resume {
            check(is_strong_etag(resume.etag), Part::Etag)?;
        }
        if let Some(partition) = &self.partition {
            check(is_partition_name(partition.name), Part::PartitionName)?;
            check(
                partition.version.is_none_or(is_report_text),
                Part::PartitionVersion,
            )?;
        }
        if let Some(report) = &self.report {
            check(
                report.version.is_none_or(is_report_text),
                Part::ReportVersion,
            )?;
            check(report.reason.is_none_or(is_report_text), Part::ReportReason)?;
        }
        Ok(())
    }
}

impl<'a> Target<'a> {
    fn segments(&self) -> [&'a str; 4] {
        [self.organization, self.project, self.node, self.key]
    }
}

impl Facts<'_> {
    fn write(&self, out: &mut Writer<'_>) {
        for (name, mac) in [
            ("x-ESP32-BASE-MAC: ", self.base_mac),
            ("x-ESP32-STA-MAC: ", self.sta_mac),
            ("x-ESP32-AP-MAC: ", self.ap_mac),
        ] {
            if let Some(mac) = mac {
                out.field(name);
                out.mac(mac);
            }
        }
        out.field("x-ESP32-free-space: ");
        out.decimal(self.free_space);
        out.field("x-ESP32-sketch-size: ");
        out.decimal(self.sketch_size);
        if let Some(md5) = &self.sketch_md5 {
            out.field("x-ESP32-sketch-md5: ");
            out.lower_hex(md5);
        }
        if let Some(sha256) = &self.sketch_sha256 {
            out.field("x-ESP32-sketch-sha256: ");
            out.upper_hex(sha256);
        }
        out.field("x-ESP32-chip-size: ");
        out.decimal(self.chip_size);
        out.field("x-ESP32-sdk-version: ");
        out.text(self.sdk_version);
        out.field("x-ESP32-mode: ");
        out.text(self.mode.token());
        if let Some(version) = self.version {
            out.field("x-ESP32-version: ");
            out.text(version);
        }
    }
}

impl PartitionFacts<'_> {
    fn write(&self, out: &mut Writer<'_>) {
        out.field("x-Airlift-Partition: name=");
        out.text(self.name);
        what_it_is(out, self.sha256.as_ref(), self.version);
    }
}

impl Report<'_> {
    fn write(&self, out: &mut Writer<'_>) {
        out.field("x-Airlift-Update: state=");
        out.text(self.state.token());
        what_it_is(out, self.sha256.as_ref(), self.version);
        if let Some(reason) = self.reason {
            out.text("; reason=");
            out.text(reason);
        }
    }
}

/// The fields that identify an image or a content, as far as they are known.
fn what_it_is(out: &mut Writer<'_>, sha256: Option<&[u8; 32]>, version: Option<&str>) {
    if let Some(sha256) = sha256 {
        out.text("; sha256=");
        out.lower_hex(sha256);
    }
    if let Some(version) = version {
        out.text("; version=");
        out.text(version);
    }
}

fn check(good: bool, part: Part) -> Result<(), EncodeError> {
    if good {
        Ok(())
    } else {
        Err(EncodeError::Invalid(part))
    }
}

/// A path segment that every server reads the same way: no escaping needed, no step up or down. `+` is allowed because
/// it stands for "all projects" in the trees of older servers.
fn is_segment(text: &str) -> bool {
    !matches!(text, "" | "." | "..")
        && text.bytes().all(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'+' | b':')
        })
}

/// A name or an address (IPv6 in brackets), with or without a port.
fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':' | b'[' | b']')
        })
}

/// Printable ASCII that does not begin or end with a space.
fn is_field_value(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(' ')
        && !text.ends_with(' ')
        && text.bytes().all(|b| matches!(b, b' '..=b'~'))
}

/// Whether a text can be the name of a partition in a request: 1 to 16 of `A-Z a-z 0-9 - _ . + :`, and not `.` or `..`. A
/// partition table may hold others; such a partition cannot be asked for.
#[must_use]
pub fn is_partition_name(text: &str) -> bool {
    text.len() <= 16 && is_segment(text) && !text.contains('~')
}

/// Whether a text can stand in a [`Report`] or in [`PartitionFacts`] as a version or reason: 1 to 64 visible ASCII characters, without those that separate its fields
/// (`;`, `=`), or that a proxy or a quoting reader would trip over (`,`, `"`).
#[must_use]
pub fn is_report_text(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_graphic() && !matches!(b, b';' | b',' | b'"' | b'='))
}

/// `"..."` with visible ASCII inside, no `W/` in front.
pub(crate) fn is_strong_etag(text: &str) -> bool {
    text.strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .is_some_and(|inside| inside.bytes().all(|b| b.is_ascii_graphic() && b != b'"'))
}

#[cfg(test)]
mod tests;
