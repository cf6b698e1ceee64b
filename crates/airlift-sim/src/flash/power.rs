//! The power supply of the flash: when it fails, and what it was doing then.

use core::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::random::SplitMix64;
use super::torn::Effect;

/// A power cut to come: at the operation number `at`, counted from [`Nor::arm`](super::Nor::arm), the first being 0, power fails.
///
/// A cut just after an operation is a [`CutKind::Clean`] one before the next. A cut at an operation that never comes does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Number of the operation, counted from arming.
    pub at: u64,
    /// What counts as one operation.
    pub grain: CutGrain,
    /// What happens to that operation.
    pub kind: CutKind,
}

impl Cut {
    /// A cut at the `at`th word program or sector erase from now.
    #[must_use]
    pub const fn at_word(at: u64, kind: CutKind) -> Self {
        Self {
            at,
            grain: CutGrain::Word,
            kind,
        }
    }

    /// A cut at the `at`th write call or sector erase from now.
    #[must_use]
    pub const fn at_call(at: u64, kind: CutKind) -> Self {
        Self {
            at,
            grain: CutGrain::Call,
            kind,
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.grain {
            CutGrain::Word => "word",
            CutGrain::Call => "call",
        };
        match self.kind {
            CutKind::Clean => write!(f, "clean cut before operation {} (by {unit})", self.at),
            CutKind::TornProgram { seed } => write!(
                f,
                "torn program at operation {} (by {unit}), seed {seed}",
                self.at
            ),
            CutKind::TornErase { seed } => write!(
                f,
                "torn erase at operation {} (by {unit}), seed {seed}",
                self.at
            ),
        }
    }
}

/// What counts as one operation. The erase of one sector always does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CutGrain {
    /// The program of one word: a write of 4096 bytes to words of 4 is 1024 operations.
    Word,
    /// A whole write call; a torn one tears at a word that the seed picks, with everything before it programmed and nothing after it.
    Call,
}

/// What happens to the operation during which power fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CutKind {
    /// It does not happen.
    Clean,
    /// A program happens in part: see [`ProgramEffect::of_seed`](super::ProgramEffect::of_seed). An erase does not happen.
    TornProgram {
        /// Decides how.
        seed: u64,
    },
    /// An erase happens in part: see [`EraseEffect::of_seed`](super::EraseEffect::of_seed). A program does not happen.
    TornErase {
        /// Decides how.
        seed: u64,
    },
}

/// One call that changes the flash, or one sector of an erase call. Offsets in bytes from the start of the flash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Words programmed by one write call.
    Program {
        /// Start of the first word.
        offset: u32,
        /// Number of words.
        words: usize,
    },
    /// A sector erased.
    Erase {
        /// Start of the sector.
        offset: u32,
    },
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program { offset, words: 1 } => write!(f, "program of the word at {offset:#x}"),
            Self::Program { offset, words } => write!(f, "program of {words} words at {offset:#x}"),
            Self::Erase { offset } => write!(f, "erase of the sector at {offset:#x}"),
        }
    }
}

/// The operations of a run, for planning cuts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    pub(crate) operations: Vec<Operation>,
}

impl Trace {
    /// The operations in order.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Number of operations at this grain: cuts at 0 to this number less one happen.
    #[must_use]
    pub fn len(&self, grain: CutGrain) -> u64 {
        self.operations
            .iter()
            .map(|operation| points(operation, grain))
            .sum()
    }

    /// Every cut of this run: before each operation, and torn in the way of that operation with each of the seeds.
    pub fn cuts<'a>(&'a self, grain: CutGrain, seeds: &'a [u64]) -> impl Iterator<Item = Cut> + 'a {
        self.operations
            .iter()
            .flat_map(move |operation| (0..points(operation, grain)).map(move |_| operation))
            .zip(0_u64..)
            .flat_map(move |(operation, at)| {
                let torn = seeds.iter().map(move |&seed| match operation {
                    Operation::Program { .. } => CutKind::TornProgram { seed },
                    Operation::Erase { .. } => CutKind::TornErase { seed },
                });
                core::iter::once(CutKind::Clean)
                    .chain(torn)
                    .map(move |kind| Cut { at, grain, kind })
            })
    }
}

fn points(operation: &Operation, grain: CutGrain) -> u64 {
    match (operation, grain) {
        (Operation::Program { words, .. }, CutGrain::Word) => *words as u64,
        _ => 1,
    }
}

/// A power cut that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutReport {
    /// The cut that was armed.
    pub cut: Cut,
    /// The one word or sector where it struck.
    pub operation: Operation,
    /// What is left there.
    pub effect: Effect,
}

impl fmt::Display for CutReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, {}", self.cut, self.operation, self.effect)
    }
}

/// The power supply: on or off, and the cut that is to come. Several flashes can hang on one.
#[derive(Debug, Clone)]
pub(crate) struct Supply(Arc<Mutex<Power>>);

impl Supply {
    pub(crate) fn new(on: bool, last_cut: Option<CutReport>) -> Self {
        Self(Arc::new(Mutex::new(Power {
            on,
            armed: None,
            last_cut,
        })))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Power> {
        // Nothing that is done under the lock can leave half a state.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(crate) struct Power {
    pub(crate) on: bool,
    /// The cut and how many operations are left before it.
    pub(crate) armed: Option<(Cut, u64)>,
    pub(crate) last_cut: Option<CutReport>,
}

/// How far an operation gets.
#[derive(Debug)]
pub(crate) struct Admission {
    /// Words that are programmed (sectors that are erased) as they should be.
    pub(crate) whole: usize,
    /// Power fails after them: the cut, and the seed if the next word (sector) is torn.
    pub(crate) cut: Option<(Cut, Option<u64>)>,
}

impl Power {
    /// Passes `words` programs of one write call at `offset`.
    pub(crate) fn admit_program(&mut self, offset: u32, words: usize) -> Admission {
        let cost = |cut: &Cut| match cut.grain {
            CutGrain::Word => words as u64,
            CutGrain::Call => u64::from(words > 0),
        };
        let Some((cut, left)) = self.strike(cost) else {
            return Admission {
                whole: words,
                cut: None,
            };
        };
        let seed = match cut.kind {
            CutKind::TornProgram { seed } => Some(seed),
            CutKind::Clean | CutKind::TornErase { .. } => None,
        };
        let whole = match (cut.grain, seed) {
            (CutGrain::Word, _) => left as usize,
            (CutGrain::Call, Some(seed)) => SplitMix64::new(!seed, u64::from(offset)).below(words),
            (CutGrain::Call, None) => 0,
        };
        Admission {
            whole,
            cut: Some((cut, seed)),
        }
    }

    /// Passes the erase of one sector.
    pub(crate) fn admit_erase(&mut self) -> Admission {
        let Some((cut, _)) = self.strike(|_| 1) else {
            return Admission {
                whole: 1,
                cut: None,
            };
        };
        let seed = match cut.kind {
            CutKind::TornErase { seed } => Some(seed),
            CutKind::Clean | CutKind::TornProgram { .. } => None,
        };
        Admission {
            whole: 0,
            cut: Some((cut, seed)),
        }
    }

    /// Counts operations down. If the cut comes among them: the power is off now, and that many went before it.
    fn strike(&mut self, cost: impl FnOnce(&Cut) -> u64) -> Option<(Cut, u64)> {
        let (cut, left) = self.armed.as_mut()?;
        let cost = cost(cut);
        if *left >= cost {
            *left -= cost;
            return None;
        }
        self.on = false;
        self.armed.take()
    }
}

#[cfg(test)]
mod tests {
    use super::{Cut, CutGrain, CutKind, Operation, Trace};

    #[test]
    fn a_trace_lists_every_cut_once_at_each_grain() {
        let trace = Trace {
            operations: vec![
                Operation::Erase { offset: 0 },
                Operation::Program {
                    offset: 0,
                    words: 2,
                },
                Operation::Program {
                    offset: 8,
                    words: 1,
                },
            ],
        };
        assert_eq!(trace.len(CutGrain::Word), 4);
        assert_eq!(trace.len(CutGrain::Call), 3);
        let calls: Vec<Cut> = trace.cuts(CutGrain::Call, &[7]).collect();
        assert_eq!(
            calls,
            [
                Cut::at_call(0, CutKind::Clean),
                Cut::at_call(0, CutKind::TornErase { seed: 7 }),
                Cut::at_call(1, CutKind::Clean),
                Cut::at_call(1, CutKind::TornProgram { seed: 7 }),
                Cut::at_call(2, CutKind::Clean),
                Cut::at_call(2, CutKind::TornProgram { seed: 7 }),
            ]
        );
        assert_eq!(trace.cuts(CutGrain::Word, &[7, 8]).count(), 4 * 3);
    }
}
