use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use embedded_storage::nor_flash as blocking;
use embedded_storage_async::nor_flash as nonblocking;

use super::{FlashError, Nor};

/// A handle to a flash: a board owns one, a test keeps another to inspect the flash and to cut its power.
#[derive(Debug, Clone)]
pub struct Flash(Arc<Mutex<Nor>>);

impl Flash {
    /// The first handle.
    #[must_use]
    pub fn new(nor: Nor) -> Self {
        Self(Arc::new(Mutex::new(nor)))
    }

    /// The flash itself. Do not hold on to it while other code uses the flash: that code would wait for ever.
    pub fn lock(&self) -> MutexGuard<'_, Nor> {
        // A test that panicked while it held the flash has left it in a state as good as a power cut does.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A handle with this geometry in its type.
    pub fn typed<const WORD: usize, const SECTOR: usize>(
        &self,
    ) -> Result<SimFlash<WORD, SECTOR>, GeometryMismatch> {
        let geometry = self.lock().geometry();
        if (geometry.word(), geometry.sector()) == (WORD, SECTOR) {
            Ok(SimFlash(self.clone()))
        } else {
            Err(GeometryMismatch {
                word: geometry.word(),
                sector: geometry.sector(),
            })
        }
    }
}

impl From<Nor> for Flash {
    fn from(nor: Nor) -> Self {
        Self::new(nor)
    }
}

/// The flash has a geometry that the code around it is not made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the flash has words of {word} and sectors of {sector} bytes: not a geometry that is supported here"
)]
pub struct GeometryMismatch {
    /// Word of the flash, in bytes.
    pub word: usize,
    /// Sector of the flash, in bytes.
    pub sector: usize,
}

/// A handle to a flash with the geometry in its type: an ordinary `NorFlash`, both of `embedded-storage` and of `embedded-storage-async`.
///
/// It reads at any offset, and is no `MultiwriteNorFlash`: nobody may rely on a second program of a word. Made by [`Flash::typed`] or
/// [`with_geometry!`](crate::with_geometry).
#[derive(Debug, Clone)]
pub struct SimFlash<const WORD: usize, const SECTOR: usize>(Flash);

impl<const WORD: usize, const SECTOR: usize> SimFlash<WORD, SECTOR> {
    /// The handle without the type.
    #[must_use]
    pub fn flash(&self) -> &Flash {
        &self.0
    }

    /// A part of it, `len` bytes from `start` on, as a flash of its own: another chip, whose power goes at the same instant, and whose operations are
    /// counted together with those of this one.
    #[must_use]
    pub fn window(&self, start: u32, len: u32) -> Window<WORD, SECTOR> {
        Window {
            flash: self.clone(),
            start,
            len,
        }
    }
}

/// See [`SimFlash::window`].
#[derive(Debug, Clone)]
pub struct Window<const WORD: usize, const SECTOR: usize> {
    flash: SimFlash<WORD, SECTOR>,
    start: u32,
    len: u32,
}

impl<const WORD: usize, const SECTOR: usize> Window<WORD, SECTOR> {
    fn place(&self, offset: u32, len: usize) -> Result<u32, FlashError> {
        let outside = FlashError::OutOfBounds {
            offset,
            len,
            size: self.len as usize,
        };
        let end = u64::from(offset) + len as u64;
        if end > u64::from(self.len) {
            return Err(outside);
        }
        Ok(self.start + offset)
    }
}

impl<const WORD: usize, const SECTOR: usize> blocking::ErrorType for Window<WORD, SECTOR> {
    type Error = FlashError;
}

impl<const WORD: usize, const SECTOR: usize> nonblocking::ReadNorFlash for Window<WORD, SECTOR> {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        let place = self.place(offset, bytes.len())?;
        self.flash.flash().lock().read(place, bytes)
    }

    fn capacity(&self) -> usize {
        self.len as usize
    }
}

impl<const WORD: usize, const SECTOR: usize> nonblocking::NorFlash for Window<WORD, SECTOR> {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = SECTOR;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        let len = to.saturating_sub(from);
        let place = self.place(from, len as usize)?;
        self.flash.flash().lock().erase(place, place + len)
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        let place = self.place(offset, bytes.len())?;
        self.flash.flash().lock().write(place, bytes)
    }
}

impl<const WORD: usize, const SECTOR: usize> blocking::ErrorType for SimFlash<WORD, SECTOR> {
    type Error = FlashError;
}

impl<const WORD: usize, const SECTOR: usize> blocking::ReadNorFlash for SimFlash<WORD, SECTOR> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        self.0.lock().read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.0.lock().geometry().size()
    }
}

impl<const WORD: usize, const SECTOR: usize> blocking::NorFlash for SimFlash<WORD, SECTOR> {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = SECTOR;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        self.0.lock().erase(from, to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.0.lock().write(offset, bytes)
    }
}

impl<const WORD: usize, const SECTOR: usize> nonblocking::ReadNorFlash for SimFlash<WORD, SECTOR> {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        self.0.lock().read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.0.lock().geometry().size()
    }
}

impl<const WORD: usize, const SECTOR: usize> nonblocking::NorFlash for SimFlash<WORD, SECTOR> {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = SECTOR;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        self.0.lock().erase(from, to)
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.0.lock().write(offset, bytes)
    }
}

/// Evaluates an expression with a [`SimFlash`](crate::flash::SimFlash) of the geometry that a flash has at run time, so that a table of
/// tests can list geometries as data. The expression is compiled once for each of
/// [`SUPPORTED_GEOMETRIES`](crate::flash::SUPPORTED_GEOMETRIES); the result is `Err(GeometryMismatch)` for any other.
///
/// ```
/// use airlift_sim::flash::{Flash, Geometry, Model, Nor};
/// use airlift_sim::with_geometry;
/// use embedded_storage::nor_flash::NorFlash;
///
/// fn erase_size<F: NorFlash>(_flash: F) -> usize {
///     F::ERASE_SIZE
/// }
///
/// let flash = Flash::new(Nor::new(Geometry::new(16, 8192, 65536)?, Model::Once));
/// assert_eq!(with_geometry!(&flash, |typed| erase_size(typed))?, 8192);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[macro_export]
macro_rules! with_geometry {
    ($flash:expr, |$typed:ident| $body:expr) => {{
        let flash: &$crate::flash::Flash = $flash;
        $crate::with_geometry!(@over match_geometry flash $typed ($body))
    }};
    // The one list of geometries, handed to the rule `$then`.
    (@over $then:tt $($arguments:tt)*) => {
        $crate::with_geometry!(@$then [
            (4, 2048), (4, 4096), (4, 65536), (8, 2048), (8, 4096), (16, 8192), (32, 4096), (32, 65536)
        ] $($arguments)*)
    };
    (@list [$($geometry:tt),+]) => {
        &[$($geometry),+]
    };
    (@match_geometry [$(($word:literal, $sector:literal)),+] $flash:ident $typed:ident ($body:expr)) => {{
        let geometry = $flash.lock().geometry();
        match (geometry.word(), geometry.sector()) {
            $(($word, $sector) => $flash.typed::<$word, $sector>().map(|$typed| $body),)+
            (word, sector) => ::core::result::Result::Err($crate::flash::GeometryMismatch { word, sector }),
        }
    }};
}

/// The word and sector sizes, in bytes, that [`with_geometry!`](crate::with_geometry) knows.
pub const SUPPORTED_GEOMETRIES: &[(usize, usize)] = with_geometry!(@over list);
