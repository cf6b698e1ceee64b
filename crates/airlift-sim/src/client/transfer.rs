//! Bytes from where they come to where they go, with what goes wrong on the way.

use std::io;

use airlift_device::download::http::Body;
use airlift_device::install::EspOtadata;
use airlift_device::partition::{DataDownload, PartitionDownload, Scheme};
use airlift_device::verify::ImageCheck;
use airlift_device::{Download, Error as EngineError};

use super::connection::Answered;
use super::device::Parts;
use super::provision::{SECTOR, WORD};
use super::{DeviceError, PowerCut};
use crate::flash::{FlashError, SimFlash, block_on};

/// Bytes that are gathered before they go to the flash.
pub(super) const BUFFER: usize = 4096;

/// Steps in which progress is shown, in bytes.
const SHOW_EVERY: u32 = 16 * 1024;

/// What takes an image: the engine's downloads are alike, and have no trait.
pub(super) trait Sink {
    fn offset(&self) -> u32;
    fn write(&mut self, bytes: &[u8]) -> Result<(), EngineError<FlashError>>;
    fn finish(self) -> Result<(), EngineError<FlashError>>;
}

type SimulatedFlash = SimFlash<WORD, SECTOR>;

macro_rules! sink {
    ([$($parameters:tt)*] $download:ty) => {
        impl<$($parameters)*> Sink for $download {
            fn offset(&self) -> u32 {
                self.offset()
            }

            fn write(&mut self, bytes: &[u8]) -> Result<(), EngineError<FlashError>> {
                block_on(self.write(bytes))
            }

            fn finish(self) -> Result<(), EngineError<FlashError>> {
                block_on(self.finish())
            }
        }
    };
}

sink!([C: ImageCheck] Download<'_, '_, '_, SimulatedFlash, EspOtadata, C>);
sink!([C: ImageCheck] DataDownload<'_, '_, '_, SimulatedFlash, EspOtadata, C>);
sink!([C: ImageCheck, S: Scheme] PartitionDownload<'_, '_, '_, SimulatedFlash, EspOtadata, C, S>);

/// Where bytes come from.
pub(super) enum Source<'s> {
    /// The body of an answer.
    Network { body: Body, answered: Box<Answered> },
    /// They are here.
    Here(&'s [u8]),
}

impl Source<'_> {
    /// The next bytes; 0 at the end.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Network { body, answered } => {
                let count = answered.receive(buffer)?;
                Ok(body.push(buffer.get(..count).unwrap_or_default()).len())
            }
            Self::Here(bytes) => {
                let (now, later) = bytes.split_at(bytes.len().min(buffer.len()));
                for (to, from) in buffer.iter_mut().zip(now) {
                    *to = *from;
                }
                *bytes = later;
                Ok(now.len())
            }
        }
    }

    fn missing(&self) -> u32 {
        match self {
            Self::Network { body, .. } => body.missing(),
            Self::Here(bytes) => u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        }
    }
}

/// How far a transfer is.
pub(super) enum Step {
    /// It begins at this byte.
    Begins(u32),
    /// The first bytes were taken.
    Taken,
    /// So many bytes are there.
    At(u32),
    /// All are there, and are verified.
    Verifying,
}

/// How a transfer ended that did not fail.
pub(super) enum Received {
    All,
    /// The stream ended early, for this reason.
    Part(String),
    /// The device needs bytes from before the stream.
    NotFromHere,
}

/// Feeds an image of `length` bytes, of which `source` has those from `first` on, to `sink`.
pub(super) fn feed(
    parts: &mut Parts,
    mut sink: impl Sink,
    (length, first): (u32, u32),
    source: &mut Source<'_>,
    told: &mut dyn FnMut(Step),
) -> Result<Received, DeviceError> {
    let wanted = sink.offset();
    if wanted < first {
        // What the journal called durable could not be read any more.
        return Ok(Received::NotFromHere);
    }
    told(Step::Begins(wanted));
    if let Some(PowerCut::AtOperation(cut)) = parts.faults.power_cut {
        parts.faults.power_cut = None;
        parts.flash.lock().arm(cut);
    }
    // Position of the stream in the image.
    let mut at = first;
    let mut received = [0; BUFFER];
    let mut shown = wanted;
    let mut taken = false;
    while sink.offset() < length {
        let count = match source.receive(&mut received) {
            Ok(0) => {
                let missing = source.missing();
                return Ok(Received::Part(format!(
                    "the connection ended {missing} bytes before the image did"
                )));
            }
            Err(error) => return Ok(Received::Part(format!("the connection broke: {error}"))),
            Ok(count) => count,
        };
        if matches!(source, Source::Network { .. }) {
            parts.counters.bytes_fetched += count as u64;
        }
        let piece = &mut received[..count];
        let faults = &mut parts.faults;
        if let Some(place) = faults.flip_byte.and_then(|byte| byte.checked_sub(at))
            && let Some(byte) = piece.get_mut(place as usize)
        {
            *byte ^= 1;
            faults.flip_byte = None;
        }
        let cut = match faults.power_cut {
            Some(PowerCut::AtByte(byte)) => Some(byte.saturating_sub(at) as usize),
            _ => None,
        };
        let cut = cut.filter(|&cut| cut < piece.len());
        let arrived = &piece[..cut.unwrap_or(piece.len())];
        // Bytes that are there already; a server that does not resume sends them again.
        let known = (wanted.saturating_sub(at) as usize).min(arrived.len());
        at += arrived.len() as u32;
        sink.write(&arrived[known..])?;
        if cut.is_some() {
            parts.faults.power_cut = None;
            parts.cut_at_byte = Some(at);
            parts.flash.lock().power_off();
            return Err(EngineError::Flash(FlashError::PowerLost).into());
        }
        if !taken && at > wanted {
            taken = true;
            told(Step::Taken);
        }
        if at >= shown.saturating_add(SHOW_EVERY) || at == length {
            shown = at;
            told(Step::At(at));
        }
    }
    told(Step::Verifying);
    sink.finish()?;
    Ok(Received::All)
}
