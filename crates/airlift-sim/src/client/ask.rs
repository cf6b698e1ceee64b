//! One question to the server, and what its answer means.

use airlift_device::Offer;
use airlift_device::download::http::{Answer, Expected, Refusal as HttpRefusal};
use airlift_device::notify::esp_http::{
    Facts, Method, Mode, PartitionFacts, Request, Resume, State, Target, USUAL_REQUEST_LEN,
};

use super::connection::{self, Answered};
use super::device::{Due, Running};
use super::transfer::Source;
use super::{DeviceError, UpdateUrl};

/// What a device calls its software platform.
const SDK_VERSION: &str = concat!("airlift-", env!("CARGO_PKG_VERSION"));

/// A question.
pub(super) struct Question<'q> {
    pub(super) method: Method,
    /// What is there already: the rest is wanted.
    pub(super) begun: Option<(Offer, u32)>,
    /// The partition that it is about; without one, the app.
    pub(super) partition: Option<PartitionFacts<'q>>,
    pub(super) due: Option<&'q Due>,
}

/// What the server wants the device to do.
pub(super) enum Reply {
    UpToDate,
    Later {
        status: u16,
        retry_after: Option<u32>,
    },
    /// The rest of what was begun is not to be had: ask again for all.
    StartAgain,
    Image {
        offer: Offer,
        /// First byte of the image that comes.
        first: u32,
        version: Option<String>,
        source: Source<'static>,
    },
}

impl Running<'_> {
    /// Asks at the server's door.
    pub(super) fn ask(&self, question: &Question<'_>) -> Result<Answered, DeviceError> {
        let identity = &self.parts.identity;
        let prefix = format!("{}/ota_update", self.parts.server.prefix);
        let etag = question.begun.map(|(offer, _)| etag_of(&offer));
        let access_point = {
            let [a, b, c, d, e, f] = identity.mac;
            [a, b, c, d, e, f.wrapping_add(1)]
        };
        let flash_size = self.parts.flash.lock().geometry().size();
        let request = Request {
            method: question.method,
            target: Target {
                prefix: &prefix,
                organization: &identity.organization,
                project: &identity.project,
                node: &identity.node,
                key: &identity.key,
            },
            host: &self.parts.server.authority,
            facts: Facts {
                base_mac: Some(identity.mac),
                sta_mac: Some(identity.mac),
                ap_mac: Some(access_point),
                free_space: self.updater.passive_region().map_or(0, |slot| slot.len),
                sketch_size: self.app.summary.length,
                sketch_md5: Some(self.app.md5),
                sketch_sha256: Some(self.app.sha256),
                chip_size: u32::try_from(flash_size).unwrap_or(u32::MAX),
                sdk_version: SDK_VERSION,
                mode: match question.partition {
                    Some(_) => Mode::FlashFs,
                    None => Mode::Sketch,
                },
                version: self.app.version(),
            },
            resume: question
                .begun
                .zip(etag.as_deref())
                .map(|((_, durable), etag)| Resume {
                    offset: durable,
                    etag,
                }),
            partition: question.partition,
            report: question.due.map(Due::report),
        };
        let mut buffer = [0; 2 * USUAL_REQUEST_LEN];
        let request = request.encode(&mut buffer)?;
        connection::exchange(&self.parts.server, request)
    }

    /// Asks for what is at `url`, for a partition or the app.
    pub(super) fn ask_at(
        &self,
        url: &UpdateUrl,
        begun: Option<(Offer, u32)>,
        partition: Option<&str>,
    ) -> Result<Answered, DeviceError> {
        let mut request = format!(
            "GET {} HTTP/1.0\r\nHost: {}\r\nUser-Agent: {SDK_VERSION}\r\nConnection: close\r\n",
            url.target, url.server.authority
        );
        if let Some((offer, durable)) = begun {
            request += &format!(
                "Range: bytes={durable}-\r\nIf-Range: {}\r\n",
                etag_of(&offer)
            );
        }
        if let Some(name) = partition {
            request += &format!("x-Airlift-Partition: name={name}\r\n");
        }
        request += "\r\n";
        connection::exchange(&url.server, request.as_bytes())
    }

    /// Where this device gets its updates.
    pub(super) fn door(&self) -> String {
        let identity = &self.parts.identity;
        format!(
            "{}/ota_update/{}/{}/{}/{}",
            self.parts.server, identity.organization, identity.project, identity.node, identity.key
        )
    }
}

/// What an answer means to somebody who has `begun`; `sha256` is the digest that was known beforehand.
pub(super) fn understand(
    answered: Answered,
    begun: Option<(Offer, u32)>,
    sha256: Option<[u8; 32]>,
) -> Result<Reply, DeviceError> {
    let etag = begun.map(|(offer, _)| etag_of(&offer));
    let expected = begun
        .zip(etag.as_deref())
        .map(|((offer, offset), etag)| Expected {
            offset,
            total: offer.length,
            etag,
            sha256: Some(offer.sha256),
        });
    Ok(match answered.head.answer(expected.as_ref()) {
        Ok(Answer::UpToDate) => Reply::UpToDate,
        Ok(Answer::Later {
            status,
            retry_after,
        }) => Reply::Later {
            status,
            retry_after,
        },
        Ok(Answer::Image {
            offset,
            total,
            body,
        }) => {
            let rest_of = begun.map(|(offer, _)| offer.sha256).filter(|_| offset > 0);
            let said = answered.head.sha256.or(rest_of);
            let sha256 = sha256.or(said).ok_or(DeviceError::NoDigest)?;
            Reply::Image {
                offer: Offer {
                    length: total,
                    sha256,
                },
                first: offset,
                version: answered.head.version().map(str::to_owned),
                source: Source::Network {
                    body,
                    answered: Box::new(answered),
                },
            }
        }
        Ok(Answer::StartAgain)
        | Err(HttpRefusal::WrongRange | HttpRefusal::OtherTotal | HttpRefusal::OtherImage) => {
            Reply::StartAgain
        }
        Err(refusal) => return Err(refusal.into()),
    })
}

/// Whether a server with this status has kept the report.
pub(super) fn is_told(due: &Due, status: u16) -> bool {
    // A server that is busy or does not know this device may not have kept it.
    status < 400 && due.state != State::Interrupted
}

/// The `ETag` that an Airlift server gives to an image: its SHA-256. Any other server will not recognise it, and answer
/// with the whole image.
fn etag_of(offer: &Offer) -> String {
    format!("\"{}\"", hex(&offer.sha256))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
