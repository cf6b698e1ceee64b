//! The bytes of an image, from any of them on: the one place that asks for them.

use airlift_device::Offer;
use airlift_device::notify::esp_http::Method;

use super::super::ask::{Question, Reply, understand};
use super::super::device::Running;
use super::super::transfer::{Piece, Source};
use super::super::{DeviceError, UpdateUrl};
use super::PLACE;

/// Where an image can be asked for again.
pub(super) enum Origin {
    /// At the server's door.
    Door,
    /// At an address that somebody named.
    Address(UpdateUrl),
    /// It is here, all of it.
    Here,
}

/// An image whose bytes come one after the other.
pub(super) struct Stream<'s> {
    pub(super) origin: Origin,
    pub(super) offer: Offer,
    source: Source<'s>,
    /// Byte of the image that the source gives next.
    next: u32,
    /// Something has come since it was last asked for.
    flows: bool,
}

impl<'s> Stream<'s> {
    /// `source` gives the image from its first byte on.
    pub(super) fn new(origin: Origin, offer: Offer, source: Source<'s>) -> Self {
        Self {
            origin,
            offer,
            source,
            next: 0,
            flows: false,
        }
    }
}

impl Running<'_> {
    /// Fills `buffer` with bytes of the image from byte `at` on, at least one of them. A connection that ends early is made again, for the rest, as long as each
    /// brings something. `Err`: nothing more comes for now, for this reason.
    pub(super) fn bytes_from(
        &mut self,
        stream: &mut Stream<'_>,
        at: u32,
        buffer: &mut [u8],
    ) -> Result<Result<Piece, String>, DeviceError> {
        if at != stream.next && !self.reopen(stream, at)? {
            return Ok(Err("the server does not have the rest any more".to_owned()));
        }
        loop {
            match self.parts.receive(&mut stream.source, at, buffer) {
                Ok(piece) => {
                    stream.next += piece.length as u32;
                    stream.flows = true;
                    return Ok(Ok(piece));
                }
                Err(message) => {
                    if !stream.flows || !self.reopen(stream, at).unwrap_or(false) {
                        return Ok(Err(message));
                    }
                }
            }
        }
    }

    /// Asks for the image from byte `at` on. `false`: that is not to be had.
    fn reopen(&mut self, stream: &mut Stream<'_>, at: u32) -> Result<bool, DeviceError> {
        let begun = Some((stream.offer, at));
        let answered = match &stream.origin {
            Origin::Here => return Ok(false),
            Origin::Address(url) => self.ask_at(url, begun, Some(PLACE))?,
            Origin::Door => self.ask(&Question {
                method: Method::Get,
                begun,
                partition: Some(self.set_facts()),
                due: None,
            })?,
        };
        match understand(answered, begun, None)? {
            Reply::Image {
                offer,
                first,
                source,
                ..
            } if offer == stream.offer && first == at => {
                stream.source = source;
                stream.next = at;
                stream.flows = false;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}
