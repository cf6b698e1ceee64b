//! A part that lies in another flash: that of a second chip, or one on the same board. Its file stands for that flash.
//!
//! ```text
//! journal (2 sectors) | place 0 | place 1
//! ```
//!
//! The engine's [`TwoPlaces`] keeps it there. Both flashes hang on one power supply.

use std::path::Path;

use airlift_device::flash::Region;
use airlift_device::set::{
    Copy, Failed, MAX_PARTS, PartOffer, Processor as _, Processors, Step, TwoPlaces,
};
use airlift_device::{Offer, Refusal};
use airlift_formats::nxp::DESCRIPTOR_LEN;

use super::super::provision::{SECTOR, WORD};
use crate::flash::{Flash, FlashFileError, Geometry, Model, Nor, SimFlash};

/// Bytes of the journal.
const JOURNAL: u32 = 2 * SECTOR as u32;

/// The flash of one part.
pub(crate) struct External {
    tag: u32,
    /// Bytes in front of the value proper.
    descriptor: usize,
    places: TwoPlaces<SimFlash<WORD, SECTOR>>,
}

impl External {
    /// The flash in this file, which is made if it does not exist, with room for two contents of `size` bytes.
    pub(super) fn open(
        tag: u32,
        path: &Path,
        size: u32,
        descriptor: usize,
        board: &Flash,
    ) -> Result<Self, FlashFileError> {
        let geometry = geometry(path, size)?;
        let nor = if path.exists() {
            Nor::open_file(path, geometry)?
        } else {
            Nor::create_file(path, geometry)?
        };
        Ok(Self::over(tag, nor, descriptor, board))
    }

    /// A copy of the flash in this file, or of a new one if it does not exist.
    pub(super) fn copy(
        tag: u32,
        path: &Path,
        size: u32,
        descriptor: usize,
        board: &Flash,
    ) -> Result<Self, FlashFileError> {
        let geometry = geometry(path, size)?;
        let failed = |source| FlashFileError::Io {
            path: path.to_owned(),
            source,
        };
        let nor = if path.exists() {
            let actual = path.metadata().map_err(failed)?.len();
            let expected = geometry.size() as u64;
            if actual != expected {
                return Err(FlashFileError::Size {
                    path: path.to_owned(),
                    expected,
                    actual,
                });
            }
            let image = std::fs::read(path).map_err(failed)?;
            Nor::from_image(geometry, Model::And, &image)
                .map_err(|_| failed(std::io::ErrorKind::InvalidData.into()))?
        } else {
            Nor::new(geometry, Model::And)
        };
        Ok(Self::over(tag, nor, descriptor, board))
    }

    fn over(tag: u32, mut nor: Nor, descriptor: usize, board: &Flash) -> Self {
        nor.share_power_of(&board.lock());
        let place = (nor.geometry().size() as u32 - JOURNAL) / 2;
        let flash = Flash::new(nor).typed();
        let flash = flash.expect("it was made with this geometry");
        let places = [0, 1].map(|number| Region::new(JOURNAL + number * place, place));
        let places = TwoPlaces::new(tag, flash, Region::new(0, JOURNAL), places);
        Self {
            tag,
            descriptor: descriptor.min(DESCRIPTOR_LEN),
            places: places.expect("whole sectors, one behind the other"),
        }
    }

    pub(super) fn tag(&self) -> u32 {
        self.tag
    }

    /// What is in use, if anything ever was.
    pub(super) async fn content(&mut self) -> Result<Option<Vec<u8>>, Failed> {
        let (place, held) = self.places.used().await?;
        let Some(held) = held else {
            return Ok(None);
        };
        let mut bytes = vec![0; held.length.min(place.len) as usize];
        self.places.read(Copy::Used, 0, &mut bytes).await?;
        Ok(Some(bytes))
    }
}

/// That of a flash with room for two contents of `size` bytes.
fn geometry(path: &Path, size: u32) -> Result<Geometry, FlashFileError> {
    let place = size as usize;
    let place = place.next_multiple_of(SECTOR);
    Geometry::new(WORD, SECTOR, JOURNAL as usize + 2 * place).map_err(|_| FlashFileError::Io {
        path: path.to_owned(),
        source: std::io::ErrorKind::InvalidInput.into(),
    })
}

/// The processors of a device: as many as its configuration says.
pub(in super::super) struct Externals<'e>(pub(in super::super) &'e mut [External]);

impl Externals<'_> {
    fn of(&mut self, tag: u32) -> Result<&mut TwoPlaces<SimFlash<WORD, SECTOR>>, Failed> {
        let mut all = self.0.iter_mut();
        let found = all.find(|external| external.tag == tag);
        Ok(&mut found.ok_or(Failed)?.places)
    }
}

impl Processors for Externals<'_> {
    const LEN: usize = MAX_PARTS;

    fn tag(&self, index: usize) -> Option<u32> {
        self.0.get(index).map(|external| external.tag)
    }

    fn descriptor_len(&self, tag: u32) -> usize {
        let mut all = self.0.iter();
        let found = all.find(|external| external.tag == tag);
        found.map_or(0, |external| external.descriptor)
    }

    fn descriptor(&mut self, _tag: u32, _descriptor: &[u8]) -> Result<(), Refusal> {
        Ok(())
    }

    async fn holds(&mut self, tag: u32, content: &Offer) -> bool {
        match self.of(tag) {
            Ok(places) => places.holds(content).await,
            Err(Failed) => false,
        }
    }

    async fn open(&mut self, tag: u32, part: &PartOffer) -> Result<u32, Failed> {
        self.of(tag)?.open(part).await
    }

    async fn read(
        &mut self,
        tag: u32,
        copy: Copy,
        at: u32,
        bytes: &mut [u8],
    ) -> Result<bool, Failed> {
        self.of(tag)?.read(copy, at, bytes).await
    }

    async fn begin(&mut self, tag: u32, length: u32) -> Result<(), Failed> {
        self.of(tag)?.begin(length).await
    }

    async fn write(&mut self, tag: u32, bytes: &[u8]) -> Result<(), Failed> {
        self.of(tag)?.write(bytes).await
    }

    async fn end(&mut self, tag: u32) -> Result<(), Failed> {
        self.of(tag)?.end().await
    }

    async fn abort(&mut self, tag: u32) {
        if let Ok(places) = self.of(tag) {
            places.abort().await;
        }
    }

    async fn step(&mut self, tag: u32, step: Step) -> Result<(), Failed> {
        self.of(tag)?.step(step).await
    }
}
