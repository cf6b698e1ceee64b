//! The bytes of an image, from any of them on: the one place that asks for them.

use airlift_device::Offer;
use airlift_device::notify::esp_http::Method;

use super::super::UpdateUrl;
use super::super::ask::{Question, Reply, understand};
use super::super::device::Running;
use super::super::transfer::{BUFFER, Piece, Source};
use super::PLACE;

/// Fewer bytes than these are let pass rather than asked around.
const NEAR: u32 = BUFFER as u32;

/// Where an image can be asked for again.
pub(super) enum Origin<'s> {
    /// At the server's door.
    Door,
    /// At an address that somebody named.
    Address(UpdateUrl),
    /// It is here, all of it.
    Here(&'s [u8]),
}

/// An image, of which those bytes come that are wanted.
pub(super) struct Stream<'s> {
    origin: Origin<'s>,
    pub(super) offer: Offer,
    source: Source<'s>,
    /// Byte of the image that the source gives next.
    next: u32,
    /// Something that was wanted has come since it was last asked for.
    flows: bool,
    /// It can be had from any byte on, as far as is known.
    jumps: bool,
}

impl<'s> Stream<'s> {
    /// `source` gives the image from its first byte on.
    pub(super) fn new(origin: Origin<'s>, offer: Offer, source: Source<'s>) -> Self {
        Self {
            origin,
            offer,
            source,
            next: 0,
            flows: false,
            jumps: true,
        }
    }
}

impl Running<'_> {
    /// The next bytes on the way to byte `wanted`, and where they start: there, or before it. From a server that does not give parts of an image, all
    /// of it comes. A connection that ends early is made again, for the rest, as long as each brings something. `Err`: nothing more comes for now,
    /// for this reason.
    pub(super) fn bytes_for(
        &mut self,
        stream: &mut Stream<'_>,
        wanted: u32,
        buffer: &mut [u8],
    ) -> Result<(u32, Piece), String> {
        if stream.jumps && wanted.saturating_sub(stream.next) > NEAR {
            stream.jumps = self.reopen(stream, wanted) && stream.next == wanted;
        }
        loop {
            let at = stream.next;
            match self.parts.receive(&mut stream.source, at, buffer) {
                Ok(piece) => {
                    stream.next += piece.length as u32;
                    stream.flows |= stream.next > wanted;
                    return Ok((at, piece));
                }
                Err(message) => {
                    if !stream.flows || !self.reopen(stream, wanted) {
                        return Err(message);
                    }
                }
            }
        }
    }

    /// Asks for the same image from byte `at` on. `false`: that is not to be had, and nothing has changed.
    fn reopen(&mut self, stream: &mut Stream<'_>, at: u32) -> bool {
        let begun = Some((stream.offer, at));
        let answered = match &stream.origin {
            Origin::Here(image) => {
                let rest = image.get(at as usize..).unwrap_or_default();
                stream.source = Source::Here(rest);
                stream.next = at;
                return true;
            }
            Origin::Address(url) => self.ask_at(url, begun, Some(PLACE)),
            Origin::Door => self.ask(&Question {
                method: Method::Get,
                begun,
                partition: Some(self.set_facts()),
                due: None,
            }),
        };
        let Ok(answered) = answered else {
            return false;
        };
        // One that says no digest may have another image by now; the header's digest tells.
        let unsaid = answered.head.sha256.is_none();
        let sha256 = unsaid.then_some(stream.offer.sha256);
        match understand(answered, begun, sha256) {
            Ok(Reply::Image {
                offer,
                first,
                source,
                ..
            }) if offer == stream.offer && first <= at => {
                stream.source = source;
                stream.next = first;
                stream.flows = false;
                true
            }
            _ => false,
        }
    }
}
