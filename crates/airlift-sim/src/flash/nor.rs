use std::path::Path;
use std::time::Duration;

use super::fault::{Fault, Faults};
use super::power::{Supply, Trace};
use super::random::SplitMix64;
use super::store::Store;
use super::{
    Cut, CutReport, Effect, EraseEffect, FlashError, FlashFileError, Geometry, Model, Operation,
    ProgramEffect, Statistics, Timing,
};

/// Programming of this word began since the last completed erase of its sector.
const PROGRAMMED: u8 = 1;
/// The error correction cannot decode this word.
const UNREADABLE: u8 = 2;

/// What is known of a word beyond its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WordState {
    /// Its programming began since the last completed erase of its sector, or an erase of its sector was interrupted.
    pub programmed: bool,
    /// Every read that touches it fails. Only on [`Model::Ecc`].
    pub unreadable: bool,
}

/// A NOR flash. Erased bytes are `0xff`; a new flash is erased and has power.
///
/// Offsets are bytes from the start of the flash. Reads have any alignment; a write covers whole words, an erase whole sectors.
#[derive(Debug)]
pub struct Nor {
    geometry: Geometry,
    model: Model,
    timing: Timing,
    store: Store,
    flags: Vec<u8>,
    supply: Supply,
    faults: Faults,
    statistics: Statistics,
    sector_erases: Vec<u32>,
    elapsed_ns: u64,
    trace: Option<Trace>,
}

/// Making a flash.
impl Nor {
    /// An erased flash in memory.
    #[must_use]
    pub fn new(geometry: Geometry, model: Model) -> Self {
        Self::over(Store::memory(vec![0xff; geometry.size()]), geometry, model)
    }

    /// A flash in memory that holds the raw dump `image`, padded with erased bytes. Words that are not blank count as programmed.
    pub fn from_image(geometry: Geometry, model: Model, image: &[u8]) -> Result<Self, FlashError> {
        let mut cells = vec![0xff; geometry.size()];
        let Some(start) = cells.get_mut(..image.len()) else {
            return Err(FlashError::OutOfBounds {
                offset: 0,
                len: image.len(),
                size: geometry.size(),
            });
        };
        start.copy_from_slice(image);
        Ok(Self::over(Store::memory(cells), geometry, model))
    }

    /// Makes a new file that holds an erased flash. Fails if the file exists.
    ///
    /// The file is a raw dump of the flash, as `esptool read_flash` makes and `write_flash` takes it, and holds nothing else. A dump has no
    /// place for what [`Once`](Model::Once) and [`Ecc`](Model::Ecc) flash knows beyond the bytes, so a flash in a file is an
    /// [`And`](Model::And) one, where the bytes are all there is. Each call that changes the flash has written to the file when it
    /// returns: a killed process leaves what real flash would hold. Against a crash of the host there is [`sync`](Self::sync).
    pub fn create_file(path: &Path, geometry: Geometry) -> Result<Self, FlashFileError> {
        Ok(Self::over(
            Store::create(path, geometry.size())?,
            geometry,
            Model::And,
        ))
    }

    /// Opens the file of a flash; its length must be the size of the flash. See [`create_file`](Self::create_file).
    pub fn open_file(path: &Path, geometry: Geometry) -> Result<Self, FlashFileError> {
        Ok(Self::over(
            Store::open(path, geometry.size())?,
            geometry,
            Model::And,
        ))
    }

    fn over(store: Store, geometry: Geometry, model: Model) -> Self {
        let flags = store
            .cells()
            .chunks_exact(geometry.word())
            .map(|word| if blank(word) { 0 } else { PROGRAMMED });
        Self {
            flags: flags.collect(),
            store,
            geometry,
            model,
            timing: Timing::default(),
            supply: Supply::new(true, None),
            faults: Faults::default(),
            statistics: Statistics::default(),
            sector_erases: vec![0; geometry.size() / geometry.sector()],
            elapsed_ns: 0,
            trace: None,
        }
    }

    /// Sets how long operations take on the simulated clock; at first they take no time.
    #[must_use]
    pub fn with_timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// A copy in memory, with a power supply of its own, of everything but an armed cut and a running trace: for trying several futures of one state.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            geometry: self.geometry,
            model: self.model,
            timing: self.timing,
            store: Store::memory(self.store.cells().to_vec()),
            flags: self.flags.clone(),
            supply: Supply::new(self.has_power(), self.last_cut()),
            faults: self.faults,
            statistics: self.statistics,
            sector_erases: self.sector_erases.clone(),
            elapsed_ns: self.elapsed_ns,
            trace: None,
        }
    }
}

/// What the code under test may do.
impl Nor {
    /// Fills `bytes` from `offset`. On an error `bytes` is unchanged.
    pub fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        self.check_power()?;
        let start = self.check_bounds(offset, bytes.len())?;
        if self.model == Model::Ecc && !bytes.is_empty() {
            let word = self.geometry.word();
            let first = start / word;
            let last = (start + bytes.len() - 1) / word;
            if let Some(index) = (first..=last).find(|&index| self.flags[index] & UNREADABLE != 0) {
                return Err(FlashError::Unreadable {
                    offset: (index * word) as u32,
                });
            }
        }
        bytes.copy_from_slice(&self.store.cells()[start..start + bytes.len()]);
        self.statistics.read_calls += 1;
        self.statistics.bytes_read += bytes.len() as u64;
        self.elapsed_ns += self.timing.read_byte_ns * bytes.len() as u64;
        Ok(())
    }

    /// Programs whole words at `offset`. Words are programmed in order; the call ends at the first that fails.
    pub fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.check_power()?;
        let start = self.check_bounds(offset, bytes.len())?;
        let word = self.geometry.word();
        check_aligned(offset, bytes.len(), word)?;
        let first = start / word;
        let words = bytes.len() / word;
        let fails = match words {
            0 => None,
            _ => self.faults.strike(start / self.geometry.sector()),
        };
        let failed = FlashError::Failed { offset };
        if fails == Some(false) {
            return Err(failed);
        }
        // A refused word is not an operation: nothing happens to it, with or without power.
        let accepted = match self.model {
            Model::Once => self.flags[first..first + words]
                .iter()
                .position(|flags| flags & PROGRAMMED != 0)
                .unwrap_or(words),
            Model::And | Model::Ecc => words,
        };
        let admission = self.supply.lock().admit_program(offset, accepted);
        self.statistics.write_calls += 1;

        let whole = admission.whole * word;
        for (cell, byte) in self.store.cells_mut()[start..start + whole]
            .iter_mut()
            .zip(bytes)
        {
            *cell &= byte;
        }
        for index in first..first + admission.whole {
            self.program_flags(index);
        }
        let mut changed = whole;
        if let Some((cut, seed)) = admission.cut {
            let at = start + whole;
            let effect = match seed {
                None => Effect::Prevented,
                Some(seed) => {
                    changed += word;
                    let effect = ProgramEffect::of_seed(seed);
                    let mut random = SplitMix64::new(seed, at as u64);
                    let cells = &mut self.store.cells_mut()[at..at + word];
                    let torn = effect.apply(cells, &bytes[whole..whole + word], &mut random);
                    let index = first + admission.whole;
                    // A word that is hit a second time without any bit changing is as it was.
                    if effect == ProgramEffect::Untouched {
                        self.flags[index] |= PROGRAMMED;
                        self.statistics.words_programmed += 1;
                    } else {
                        self.program_flags(index);
                    }
                    if torn && self.model == Model::Ecc {
                        self.flags[index] |= UNREADABLE;
                    }
                    Effect::Program(effect)
                }
            };
            let operation = Operation::Program {
                offset: at as u32,
                words: 1,
            };
            self.supply.lock().last_cut = Some(CutReport {
                cut,
                operation,
                effect,
            });
        }
        self.elapsed_ns += self.timing.program_byte_ns * changed as u64;
        self.record(Operation::Program {
            offset,
            words: changed / word,
        });
        self.written(start, changed)?;

        self.check_power()?;
        if accepted < words {
            return Err(FlashError::AlreadyProgrammed {
                offset: ((first + accepted) * word) as u32,
            });
        }
        fails.map_or(Ok(()), |_| Err(failed))
    }

    /// Erases the sectors from `from` up to but not including `to`, in order.
    pub fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        self.check_power()?;
        let size = self.geometry.size();
        let Some(len) = to.checked_sub(from) else {
            return Err(FlashError::OutOfBounds {
                offset: from,
                len: 0,
                size,
            });
        };
        let start = self.check_bounds(from, len as usize)?;
        let sector = self.geometry.sector();
        check_aligned(from, len as usize, sector)?;
        self.statistics.erase_calls += 1;
        for start in (start..start + len as usize).step_by(sector) {
            self.erase_sector(start)?;
        }
        Ok(())
    }

    fn erase_sector(&mut self, start: usize) -> Result<(), FlashError> {
        let (word, sector) = (self.geometry.word(), self.geometry.sector());
        let fails = self.faults.strike(start / sector);
        let failed = FlashError::Failed {
            offset: start as u32,
        };
        if fails == Some(false) {
            return Err(failed);
        }
        let operation = Operation::Erase {
            offset: start as u32,
        };
        let admission = self.supply.lock().admit_erase();
        let cells = &mut self.store.cells_mut()[start..start + sector];
        let flags = &mut self.flags[start / word..(start + sector) / word];
        match admission.cut {
            None => {
                cells.fill(0xff);
                flags.fill(0);
            }
            Some((cut, None)) => {
                self.supply.lock().last_cut = Some(CutReport {
                    cut,
                    operation,
                    effect: Effect::Prevented,
                });
                return Err(FlashError::PowerLost);
            }
            Some((cut, Some(seed))) => {
                let effect = EraseEffect::of_seed(seed);
                let ecc = self.model == Model::Ecc;
                effect.apply(
                    cells,
                    word,
                    &mut SplitMix64::new(seed, start as u64),
                    |index, decodes| {
                        let flags = &mut flags[index];
                        *flags |= PROGRAMMED;
                        match decodes {
                            Some(true) => *flags &= !UNREADABLE,
                            Some(false) if ecc => *flags |= UNREADABLE,
                            _ => {}
                        }
                    },
                );
                self.supply.lock().last_cut = Some(CutReport {
                    cut,
                    operation,
                    effect: Effect::Erase(effect),
                });
            }
        }
        self.statistics.sectors_erased += 1;
        self.sector_erases[start / sector] += 1;
        self.elapsed_ns += self.timing.erase_sector_us * 1000;
        self.record(operation);
        self.written(start, sector)?;
        self.check_power()?;
        fails.map_or(Ok(()), |_| Err(failed))
    }

    fn program_flags(&mut self, index: usize) {
        let flags = &mut self.flags[index];
        self.statistics.words_programmed += 1;
        if *flags & PROGRAMMED != 0 {
            self.statistics.words_reprogrammed += 1;
            if self.model == Model::Ecc {
                *flags |= UNREADABLE;
            }
        }
        *flags |= PROGRAMMED;
    }

    fn check_power(&self) -> Result<(), FlashError> {
        if self.has_power() {
            Ok(())
        } else {
            Err(FlashError::PowerLost)
        }
    }

    fn check_bounds(&self, offset: u32, len: usize) -> Result<usize, FlashError> {
        let size = self.geometry.size();
        let start = offset as usize;
        match start.checked_add(len) {
            Some(end) if end <= size => Ok(start),
            _ => Err(FlashError::OutOfBounds { offset, len, size }),
        }
    }

    fn written(&mut self, start: usize, len: usize) -> Result<(), FlashError> {
        self.store
            .written(start, len)
            .map_err(|error| FlashError::File(error.kind()))
    }

    fn record(&mut self, operation: Operation) {
        if let Some(trace) = &mut self.trace
            && !matches!(operation, Operation::Program { words: 0, .. })
        {
            trace.operations.push(operation);
        }
    }
}

/// The power supply.
impl Nor {
    /// Hangs this flash on the supply of another one, as two chips on one board are: an armed cut counts the operations of both, and takes the power from
    /// both.
    pub fn share_power_of(&mut self, other: &Self) {
        self.supply = other.supply.clone();
    }

    /// Arms a power cut, in place of one that is armed; counting starts now. See [`Cut`].
    pub fn arm(&mut self, cut: Cut) {
        self.supply.lock().armed = Some((cut, cut.at));
    }

    /// Takes back a cut that has not happened.
    pub fn disarm(&mut self) {
        self.supply.lock().armed = None;
    }

    /// Cuts the power now, between two operations.
    pub fn power_off(&mut self) {
        self.supply.lock().on = false;
    }

    /// Gives power again. A cut that is armed and has not happened stays armed.
    pub fn power_on(&mut self) {
        self.supply.lock().on = true;
    }

    /// Whether calls have a chance.
    #[must_use]
    pub fn has_power(&self) -> bool {
        self.supply.lock().on
    }

    /// The last armed cut that happened, for the message of a test that fails.
    #[must_use]
    pub fn last_cut(&self) -> Option<CutReport> {
        self.supply.lock().last_cut
    }
}

/// Errors without a power cut.
impl Nor {
    /// Makes an operation fail; counting starts now. See [`Fault`].
    pub fn fail(&mut self, fault: Fault) {
        self.faults.arm(fault);
    }

    /// What failed until now works again, if it is not worn out.
    pub fn reset(&mut self) {
        self.faults.reset();
    }
}

/// What a test looks at; nothing here needs power or is counted.
impl Nor {
    /// The sizes.
    #[must_use]
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> Model {
        self.model
    }

    /// The cells of the whole flash, also of words that cannot be read.
    #[must_use]
    pub fn cells(&self) -> &[u8] {
        self.store.cells()
    }

    /// The state of the word that contains `offset`; `None` outside the flash.
    #[must_use]
    pub fn word_state(&self, offset: u32) -> Option<WordState> {
        let flags = self.flags.get(offset as usize / self.geometry.word())?;
        Some(WordState {
            programmed: flags & PROGRAMMED != 0,
            unreadable: flags & UNREADABLE != 0,
        })
    }

    /// What was done so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// How often each sector was erased so far.
    #[must_use]
    pub fn sector_erases(&self) -> &[u32] {
        &self.sector_erases
    }

    /// Sets the statistics, the erases of each sector and the simulated clock to zero.
    pub fn reset_statistics(&mut self) {
        self.statistics = Statistics::default();
        self.sector_erases.fill(0);
        self.elapsed_ns = 0;
    }

    /// The simulated clock: the time that the operations so far would have taken. See [`Timing`].
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.elapsed_ns)
    }

    /// Starts to record the operations that happen, forgetting those of a trace that runs.
    pub fn start_trace(&mut self) {
        self.trace = Some(Trace::default());
    }

    /// Ends recording and returns the trace; an empty one if none was started.
    pub fn take_trace(&mut self) -> Trace {
        self.trace.take().unwrap_or_default()
    }

    /// Waits until the operating system has put the flash file on its disk; nothing to do for a flash in memory.
    pub fn sync(&self) -> Result<(), FlashError> {
        self.store
            .sync()
            .map_err(|error| FlashError::File(error.kind()))
    }
}

/// Damage that no flash operation does, such as bits that lose their charge. Needs no power and is not counted.
impl Nor {
    /// Sets bytes at any offset, bits up as well as down. The words can be read, and count as programmed.
    pub fn overwrite(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        let start = self.check_bounds(offset, bytes.len())?;
        let word = self.geometry.word();
        let end = start + bytes.len();
        self.store.cells_mut()[start..end].copy_from_slice(bytes);
        self.flags[start / word..end.div_ceil(word)].fill(PROGRAMMED);
        self.written(start, bytes.len())
    }

    /// Breaks the error correction of the word that contains `offset`, as rot does on [`Model::Ecc`]; other models have none to break.
    pub fn make_unreadable(&mut self, offset: u32) -> Result<(), FlashError> {
        let start = self.check_bounds(offset, 1)?;
        if self.model == Model::Ecc {
            self.flags[start / self.geometry.word()] |= PROGRAMMED | UNREADABLE;
        }
        Ok(())
    }
}

fn check_aligned(offset: u32, len: usize, unit: usize) -> Result<(), FlashError> {
    if (offset as usize).is_multiple_of(unit) && len.is_multiple_of(unit) {
        Ok(())
    } else {
        Err(FlashError::NotAligned { offset, len, unit })
    }
}

fn blank(cells: &[u8]) -> bool {
    cells.iter().all(|&cell| cell == 0xff)
}
