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
pub(super) const SHOW_EVERY: u32 = 16 * 1024;

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

/// What came of one read.
pub(super) struct Piece {
    /// So many bytes are in the buffer.
    pub(super) length: usize,
    /// The power fails behind them.
    pub(super) cut: bool,
}

impl Parts {
    /// Arms the power cut at an operation, if there is to be one: the operations count from here.
    pub(super) fn arm_cut(&mut self) {
        if let Some(PowerCut::AtOperation(cut)) = self.faults.power_cut {
            self.faults.power_cut = None;
            self.flash.lock().arm(cut);
        }
    }

    /// The next bytes of an image, which start at byte `at`, as they arrive: with what goes wrong on the way. `Err`: the stream ended early, for this reason.
    pub(super) fn receive(
        &mut self,
        source: &mut Source<'_>,
        at: u32,
        buffer: &mut [u8],
    ) -> Result<Piece, String> {
        let length = match source.receive(buffer) {
            Ok(0) => {
                let missing = source.missing();
                return Err(format!(
                    "the connection ended {missing} bytes before the image did"
                ));
            }
            Err(error) => return Err(format!("the connection broke: {error}")),
            Ok(length) => length,
        };
        if matches!(source, Source::Network { .. }) {
            self.counters.bytes_fetched += length as u64;
        }
        let faults = &mut self.faults;
        if let Some(place) = faults.flip_byte.and_then(|byte| byte.checked_sub(at))
            && let Some(byte) = buffer[..length].get_mut(place as usize)
        {
            *byte ^= 1;
            faults.flip_byte = None;
        }
        let cut = match faults.power_cut {
            Some(PowerCut::AtByte(byte)) => Some(byte.saturating_sub(at) as usize),
            _ => None,
        };
        let cut = cut.filter(|&cut| cut < length);
        Ok(Piece {
            length: cut.unwrap_or(length),
            cut: cut.is_some(),
        })
    }

    /// The power fails when the bytes up to `at` have arrived.
    pub(super) fn cut_power(&mut self, at: u32) -> DeviceError {
        self.faults.power_cut = None;
        self.cut_at_byte = Some(at);
        self.flash.lock().power_off();
        EngineError::Flash(FlashError::PowerLost).into()
    }
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
    parts.arm_cut();
    // Position of the stream in the image.
    let mut at = first;
    let mut received = [0; BUFFER];
    let mut shown = wanted;
    let mut taken = false;
    while sink.offset() < length {
        let piece = match parts.receive(source, at, &mut received) {
            Ok(piece) => piece,
            Err(message) => return Ok(Received::Part(message)),
        };
        let arrived = &received[..piece.length];
        // Bytes that are there already; a server that does not resume sends them again.
        let known = (wanted.saturating_sub(at) as usize).min(arrived.len());
        at += arrived.len() as u32;
        sink.write(&arrived[known..])?;
        if piece.cut {
            return Err(parts.cut_power(at));
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
