//! What an interrupted program or erase leaves in the cells.

use core::fmt;

use super::random::SplitMix64;

/// What a power cut left of the operation that it struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The operation did not begin.
    Prevented,
    /// A word is partly programmed.
    Program(ProgramEffect),
    /// A sector is partly erased.
    Erase(EraseEffect),
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prevented => "did not begin",
            Self::Program(ProgramEffect::Untouched) => {
                "no bit changed, but the word counts as programmed"
            }
            Self::Program(ProgramEffect::Prefix) => "the first bytes are programmed",
            Self::Program(ProgramEffect::Bits) => "some of the bits are programmed",
            Self::Program(ProgramEffect::CheckBits) => {
                "all bytes are programmed, the check bits are not"
            }
            Self::Program(ProgramEffect::SilentBits) => {
                "some of the bits are programmed and the word can be read"
            }
            Self::Erase(EraseEffect::Unchanged) => {
                "no bit changed, but the sector must be erased again"
            }
            Self::Erase(EraseEffect::LooksErased) => {
                "the sector looks erased, but must be erased again"
            }
            Self::Erase(EraseEffect::Mixture) => "each word is old, erased or in between",
            Self::Erase(EraseEffect::Front) => "the first words are erased, the rest are old",
            Self::Erase(EraseEffect::Rising) => "some bits of every word are erased",
            Self::Erase(EraseEffect::Falling) => {
                "some words were programmed towards zero before the erase proper"
            }
        })
    }
}

/// What is left of the program of one word. In every case the word counts as programmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProgramEffect {
    /// No bit changed: the word still reads as before (as blank, usually).
    Untouched,
    /// At least one and not all of its bytes, from the front. Unreadable under ECC if a bit changed.
    Prefix,
    /// Some of the bits that should have become 0. Unreadable under ECC if a bit changed.
    Bits,
    /// All bytes. Without ECC this is an operation that completed while power failed; with ECC, the check bits are torn: unreadable.
    CheckBits,
    /// As [`Bits`](Self::Bits), and under ECC the word happens to decode: it reads as the torn bits without an error.
    SilentBits,
}

impl ProgramEffect {
    /// All effects.
    pub const ALL: [Self; 5] = [
        Self::Untouched,
        Self::Prefix,
        Self::Bits,
        Self::CheckBits,
        Self::SilentBits,
    ];

    /// The effect that a seed stands for: seeds 0 to 4 give each effect once, then it repeats with other bits.
    #[must_use]
    pub const fn of_seed(seed: u64) -> Self {
        Self::ALL[(seed % Self::ALL.len() as u64) as usize]
    }

    /// Programs `data` into `cells` (both one word) as far as it got. Returns whether ECC can no longer decode the word.
    pub(crate) fn apply(self, cells: &mut [u8], data: &[u8], random: &mut SplitMix64) -> bool {
        let reached = match self {
            Self::Untouched => 0,
            Self::Prefix => 1 + random.below(cells.len() - 1),
            Self::Bits | Self::CheckBits | Self::SilentBits => cells.len(),
        };
        let mut changed = false;
        for (cell, &byte) in cells.iter_mut().zip(data).take(reached) {
            // Bits set here have not been programmed yet.
            let late = match self {
                Self::Bits | Self::SilentBits => random.byte(),
                _ => 0,
            };
            let torn = *cell & (byte | late);
            changed |= torn != *cell;
            *cell = torn;
        }
        match self {
            Self::Untouched | Self::SilentBits => false,
            Self::Prefix | Self::Bits => changed,
            Self::CheckBits => true,
        }
    }
}

/// What is left of the erase of one sector. In every case all of it must be erased again before it is programmed, whatever it reads as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EraseEffect {
    /// No bit changed, and every word that could be read still can.
    Unchanged,
    /// Every bit is 1, and every word can be read.
    LooksErased,
    /// Each word is old, erased, or has some of its bits set. Under ECC, some cannot be read, mostly those in between.
    Mixture,
    /// Words before some point are erased, those after it old. The one between is torn.
    Front,
    /// In every word, some bits that were 0 became 1.
    Rising,
    /// Some words are old, some have bits cleared, some are all zero: the pre-programming that real parts start an erase with.
    Falling,
}

impl EraseEffect {
    /// All effects.
    pub const ALL: [Self; 6] = [
        Self::Unchanged,
        Self::LooksErased,
        Self::Mixture,
        Self::Front,
        Self::Rising,
        Self::Falling,
    ];

    /// The effect that a seed stands for: seeds 0 to 5 give each effect once, then it repeats with other bits.
    #[must_use]
    pub const fn of_seed(seed: u64) -> Self {
        Self::ALL[(seed % Self::ALL.len() as u64) as usize]
    }

    /// Erases `cells` (one sector) as far as it got. Tells `torn` each word: its index, and whether ECC can decode it now; `None`: as
    /// well as before.
    pub(crate) fn apply(
        self,
        cells: &mut [u8],
        word: usize,
        random: &mut SplitMix64,
        mut torn: impl FnMut(usize, Option<bool>),
    ) {
        let words = cells.len() / word;
        let front = random.below(words);
        for (index, cells) in cells.chunks_exact_mut(word).enumerate() {
            let fate = match self {
                Self::Unchanged => Fate::Old,
                Self::LooksErased => Fate::Erased,
                Self::Mixture => [Fate::Old, Fate::Erased, Fate::Rising][random.below(3)],
                Self::Front if index < front => Fate::Erased,
                Self::Front if index == front => Fate::Rising,
                Self::Front => Fate::Old,
                Self::Rising => Fate::Rising,
                Self::Falling => [Fate::Old, Fate::Falling, Fate::Zero][random.below(3)],
            };
            for cell in cells {
                *cell = match fate {
                    Fate::Old => *cell,
                    Fate::Erased => 0xff,
                    Fate::Rising => *cell | random.byte(),
                    Fate::Falling => *cell & random.byte(),
                    Fate::Zero => 0,
                };
            }
            let decodes = match (self, fate) {
                (Self::Unchanged, _) => None,
                (Self::LooksErased, _) => Some(true),
                // Cells at the edge of what they should be can fail in words that look right too.
                (_, Fate::Old) => (random.below(8) == 0).then_some(false),
                (_, Fate::Erased) => Some(random.below(8) != 0),
                (_, Fate::Rising | Fate::Falling | Fate::Zero) => Some(random.below(4) == 0),
            };
            torn(index, decodes);
        }
    }
}

#[derive(Clone, Copy)]
enum Fate {
    Old,
    Erased,
    Rising,
    Falling,
    Zero,
}
