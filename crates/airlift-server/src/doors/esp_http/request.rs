//! What a request of this door says. Nothing in here allocates for the requests that deployed clients send.

use std::borrow::Cow;

use http::{HeaderMap, Method};

use crate::catalog::release::Family;
use crate::decide::FileSystemMode;
use crate::digest::{Md5, Sha256};
use crate::fleet::device::About;
use crate::fleet::report::{PartitionFacts, Report};
use crate::name;

/// Longest text that is kept of any header; a longer one is treated as not sent.
const MAX_TEXT: usize = 64;
/// The same for the user agent, which is longer in browsers and tools.
const MAX_USER_AGENT: usize = 128;

/// A request as the door sees it, wherever it was read from.
#[derive(Debug)]
pub(crate) struct DoorRequest<'a> {
    pub(crate) method: &'a Method,
    /// Without the query.
    pub(crate) path: &'a str,
    pub(crate) headers: ClientHeaders<'a>,
}

/// The four names of a path.
pub(super) struct Place<'a> {
    pub(super) organization: Cow<'a, str>,
    pub(super) project: Cow<'a, str>,
    pub(super) node: Cow<'a, str>,
    pub(super) key: Cow<'a, str>,
}

/// Why a path names no place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PlaceError {
    /// Not four segments: no such route.
    SegmentCount,
    /// A segment that cannot be a name, whatever exists here.
    NotAName,
}

impl<'a> Place<'a> {
    /// Reads what follows the prefix. Segments are counted before they are decoded, as in the reference server, so an
    /// encoded slash never makes a new segment.
    pub(super) fn parse(path: &'a str) -> Result<Self, PlaceError> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut segments = path.split('/');
        let four = [
            segments.next(),
            segments.next(),
            segments.next(),
            segments.next(),
        ];
        let ([Some(organization), Some(project), Some(node), Some(key)], None) =
            (four, segments.next())
        else {
            return Err(PlaceError::SegmentCount);
        };
        let read = |segment| name::from_segment(segment).map_err(|_| PlaceError::NotAName);
        Ok(Self {
            organization: read(organization)?,
            project: read(project)?,
            node: read(node)?,
            key: read(key)?,
        })
    }
}

/// What the client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Sketch,
    FileSystem(FileSystemMode),
    Version,
}

/// `x-Airlift-Partition` is there, and names no partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotAPartition;

/// The headers that mean something here, found in one pass. Of a repeated header the first counts.
#[derive(Debug, Default)]
pub(crate) struct ClientHeaders<'a> {
    esp8266: FamilyHeaders<'a>,
    esp32: FamilyHeaders<'a>,
    user_agent: Option<&'a [u8]>,
    report: Option<&'a [u8]>,
    partition: Option<&'a [u8]>,
    range: Option<&'a [u8]>,
    if_range: Option<&'a [u8]>,
    /// A list that may be spread over several lines.
    if_none_match: Vec<&'a [u8]>,
}

/// The `x-ESP8266-*` or `x-ESP32-*` headers.
#[derive(Debug, Default)]
struct FamilyHeaders<'a> {
    present: bool,
    mode: Option<&'a [u8]>,
    chip_id: Option<&'a str>,
    base_mac: Option<&'a str>,
    sta_mac: Option<&'a str>,
    ap_mac: Option<&'a str>,
    free_space: Option<u64>,
    sketch_size: Option<u64>,
    sketch_md5: Option<Md5>,
    sketch_sha256: Option<Sha256>,
    chip_size: Option<u64>,
    sdk_version: Option<&'a str>,
    version: Option<&'a str>,
}

/// Longest name that is looked for, in bytes; a longer one is none of ours.
const MAX_HEADER_NAME: usize = 24;

impl<'a> From<&'a HeaderMap> for ClientHeaders<'a> {
    fn from(headers: &'a HeaderMap) -> Self {
        let mut found = Self::default();
        for (name, value) in headers {
            found.take(name.as_str(), value.as_bytes());
        }
        found
    }
}

impl<'a> ClientHeaders<'a> {
    /// Takes the next header of the request.
    pub(crate) fn take(&mut self, name: &str, value: &'a [u8]) {
        let mut lower_case = [0; MAX_HEADER_NAME];
        let Some(lower_case) = lower_case.get_mut(..name.len()) else {
            return;
        };
        lower_case.copy_from_slice(name.as_bytes());
        lower_case.make_ascii_lowercase();
        match &*lower_case {
            [
                b'x',
                b'-',
                b'e',
                b's',
                b'p',
                b'8',
                b'2',
                b'6',
                b'6',
                b'-',
                name @ ..,
            ] => {
                self.esp8266.take(name, value);
            }
            [b'x', b'-', b'e', b's', b'p', b'3', b'2', b'-', name @ ..] => {
                self.esp32.take(name, value);
            }
            b"user-agent" => first(&mut self.user_agent, Some(value)),
            b"x-airlift-update" => first(&mut self.report, Some(value)),
            b"x-airlift-partition" => first(&mut self.partition, Some(value)),
            b"range" => first(&mut self.range, Some(value)),
            b"if-range" => first(&mut self.if_range, Some(value)),
            b"if-none-match" => self.if_none_match.push(value),
            _ => {}
        }
    }

    /// The range that is asked for, unless it is for an image of another tag.
    ///
    /// RFC 9110, 13.1.5: a validator that does not match turns the request into one for the whole.
    pub(super) fn range(&self, etag: &[u8]) -> Option<&'a [u8]> {
        self.range
            .filter(|_| self.if_range.is_none_or(|tag| tag == etag))
    }

    /// Whether the client has the image with this tag: `If-None-Match` is `*` or a list with it, compared weakly (RFC 9110,
    /// 13.1.2).
    pub(super) fn has(&self, etag: &[u8]) -> bool {
        let mut tags = self
            .if_none_match
            .iter()
            .flat_map(|list| list.split(|byte| *byte == b','));
        tags.any(|tag| {
            let tag = tag.trim_ascii();
            tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == etag
        })
    }

    /// `None`: a mode that no client is known to send. Both families at once happens only in tests of the reference
    /// server, where the ESP8266 wins.
    pub(super) fn mode(&self) -> Option<Mode> {
        let Some(mode) = self.esp8266.mode.or(self.esp32.mode) else {
            return Some(Mode::Sketch);
        };
        let is = |name: &str| mode.eq_ignore_ascii_case(name.as_bytes());
        if is("sketch") {
            Some(Mode::Sketch)
        } else if is("version") {
            Some(Mode::Version)
        } else if is("spiffs") || is("flashfs") {
            Some(Mode::FileSystem(FileSystemMode::Any))
        } else if is("littlefs") {
            Some(Mode::FileSystem(FileSystemMode::LittleFs))
        } else if is("fatfs") {
            Some(Mode::FileSystem(FileSystemMode::Fat))
        } else {
            None
        }
    }

    /// The family of the client, by its headers, else by its user agent.
    pub(super) fn family(&self) -> Option<Family> {
        if self.esp8266.present {
            return Some(Family::Esp8266);
        }
        if self.esp32.present {
            return Some(Family::Esp32);
        }
        let agent = self.user_agent?;
        let is = |name: &str| agent.eq_ignore_ascii_case(name.as_bytes());
        if is("ESP8266-http-Update") {
            Some(Family::Esp8266)
        } else if is("ESP32-http-Update") {
            Some(Family::Esp32)
        } else {
            None
        }
    }

    /// What the device says of itself, if it does.
    pub(super) fn about(&self) -> Option<About<'a>> {
        let (family, own, other) = if self.esp8266.present {
            (Family::Esp8266, &self.esp8266, Some(&self.esp32))
        } else if self.esp32.present {
            (Family::Esp32, &self.esp32, None)
        } else {
            return None;
        };
        Some(About {
            family,
            chip_id: own.chip_id,
            base_mac: own.base_mac,
            sta_mac: own.sta_mac,
            ap_mac: own.ap_mac,
            version: own.version,
            md5: own
                .sketch_md5
                .or_else(|| other.and_then(|other| other.sketch_md5)),
            sha256: own.sketch_sha256,
            sketch_size: own.sketch_size,
            free_space: own.free_space,
            chip_size: own.chip_size,
            sdk_version: own.sdk_version,
        })
    }

    pub(super) fn user_agent(&self) -> Option<&'a str> {
        let agent = self
            .user_agent
            .filter(|agent| is_text(agent, MAX_USER_AGENT))?;
        std::str::from_utf8(agent).ok()
    }

    pub(super) fn report(&self) -> Option<Report<'a>> {
        let report = std::str::from_utf8(self.report?)
            .ok()
            .and_then(Report::parse);
        if report.is_none() {
            tracing::debug!("x-Airlift-Update is not a report, ignored");
        }
        report
    }

    /// The partition that is asked for, if one is named. An error where the header cannot be read: what the device wants is
    /// then not known, and must not be guessed, or an app might end up where data belongs.
    pub(super) fn partition(&self) -> Result<Option<PartitionFacts<'a>>, NotAPartition> {
        let Some(header) = self.partition else {
            return Ok(None);
        };
        std::str::from_utf8(header)
            .ok()
            .and_then(PartitionFacts::parse)
            .map(Some)
            .ok_or(NotAPartition)
    }

    /// Whether the client may be answered 304 because of what it has, and not because of a decision.
    pub(super) fn is_conditional(&self) -> bool {
        !self.if_none_match.is_empty()
    }

    /// Whether the client asks for something else than the whole image: the rest of one, or a look at its beginning.
    pub(super) fn resumes(&self) -> bool {
        self.range
            .is_some_and(|range| range.trim_ascii() != b"bytes=0-")
    }
}

impl<'a> FamilyHeaders<'a> {
    /// `name`: behind the family, in lower case.
    fn take(&mut self, name: &[u8], value: &'a [u8]) {
        self.present = true;
        match name {
            b"mode" => first(&mut self.mode, Some(value)),
            b"chip-id" => first(&mut self.chip_id, text(value)),
            b"base-mac" => first(&mut self.base_mac, mac(value)),
            b"sta-mac" => first(&mut self.sta_mac, mac(value)),
            b"ap-mac" => first(&mut self.ap_mac, mac(value)),
            b"free-space" => first(&mut self.free_space, number(value)),
            b"sketch-size" => first(&mut self.sketch_size, number(value)),
            b"sketch-md5" => first(&mut self.sketch_md5, Md5::parse(value)),
            b"sketch-sha256" => first(&mut self.sketch_sha256, Sha256::parse(value)),
            b"chip-size" => first(&mut self.chip_size, number(value)),
            b"sdk-version" => first(&mut self.sdk_version, text(value)),
            b"version" => first(&mut self.version, text(value)),
            _ => {}
        }
    }
}

fn first<T>(slot: &mut Option<T>, value: Option<T>) {
    if slot.is_none() {
        *slot = value;
    }
}

fn is_text(value: &[u8], longest: usize) -> bool {
    (1..=longest).contains(&value.len()) && value.iter().all(|b| (0x20..0x7f).contains(b))
}

fn text(value: &[u8]) -> Option<&str> {
    if is_text(value, MAX_TEXT) {
        std::str::from_utf8(value).ok()
    } else {
        None
    }
}

fn mac(value: &[u8]) -> Option<&str> {
    let is_mac = value.len() == 17
        && value.iter().enumerate().all(|(at, b)| {
            if at % 3 == 2 {
                *b == b':'
            } else {
                b.is_ascii_hexdigit()
            }
        });
    if is_mac { text(value) } else { None }
}

/// Decimal digits only: no sign, no space, at most what fits.
fn number(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u64, |number, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_four_names_and_maybe_a_slash() {
        for path in [
            "dev/lotus/esp32-1/key",
            "dev/lotus/esp32-1/key/",
            "d%65v/lotus/esp32-1/key",
        ] {
            let place = Place::parse(path).ok().unwrap();
            assert_eq!(
                (
                    &*place.organization,
                    &*place.project,
                    &*place.node,
                    &*place.key
                ),
                ("dev", "lotus", "esp32-1", "key")
            );
        }
        for path in [
            "",
            "/",
            "a",
            "a/b/c",
            "a/b/c/",
            "a/b/c/d/e",
            "a/b/../../c",
            "a/b/c/d//",
        ] {
            assert_eq!(
                Place::parse(path).err(),
                Some(PlaceError::SegmentCount),
                "{path}"
            );
        }
        for path in [
            "a/b/../c",
            "a//b/c",
            "a/b/%2e%2e/c",
            "a/b%2Fc/d/e",
            "a/b/c/%00",
            "a/b/c/%zz",
            "./a/b/c",
        ] {
            assert_eq!(
                Place::parse(path).err(),
                Some(PlaceError::NotAName),
                "{path}"
            );
        }
    }

    #[test]
    fn numbers_are_digits_that_fit() {
        assert_eq!(number(b"1720320"), Some(1_720_320));
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        for bad in [
            "",
            "-1",
            "+1",
            " 1",
            "1 ",
            "0x10",
            "18446744073709551616",
            "1e9",
        ] {
            assert_eq!(number(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn headers_out_of_shape_are_as_if_not_sent() {
        let mut headers = HeaderMap::new();
        headers.insert("x-ESP32-STA-MAC", "24:0A:C4:6C:5E".parse().unwrap());
        headers.insert("x-ESP32-free-space", "much".parse().unwrap());
        headers.insert("x-ESP32-sketch-md5", "55ce".parse().unwrap());
        headers.insert("x-ESP32-version", "v".repeat(65).parse().unwrap());
        let found = ClientHeaders::from(&headers);
        let about = found.about().unwrap();
        assert_eq!(about.family, Family::Esp32);
        assert_eq!(
            (about.sta_mac, about.free_space, about.md5, about.version),
            (None, None, None, None)
        );
    }
}
