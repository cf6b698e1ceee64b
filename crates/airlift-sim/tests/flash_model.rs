//! The flash against a naive model of the rules that `airlift_sim::flash` documents, over random calls, on all models and geometries.

use airlift_sim::flash::{FlashError, Geometry, Model, Nor, SUPPORTED_GEOMETRIES};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Call {
    Read { offset: u32, len: usize },
    Write { offset: u32, bytes: Vec<u8> },
    Erase { from: u32, to: u32 },
}

/// One word as the rules put it, kept apart from its neighbours.
#[derive(Clone)]
struct Word {
    bytes: Vec<u8>,
    programmed: bool,
    unreadable: bool,
}

struct Naive {
    word: usize,
    sector: usize,
    model: Model,
    words: Vec<Word>,
    words_programmed: u64,
    words_reprogrammed: u64,
    sectors_erased: u64,
}

impl Naive {
    fn new(geometry: Geometry, model: Model) -> Self {
        let (word, sector) = (geometry.word(), geometry.sector());
        let blank = Word {
            bytes: vec![0xff; word],
            programmed: false,
            unreadable: false,
        };
        Self {
            word,
            sector,
            model,
            words: vec![blank; geometry.size() / word],
            words_programmed: 0,
            words_reprogrammed: 0,
            sectors_erased: 0,
        }
    }

    fn size(&self) -> usize {
        self.words.len() * self.word
    }

    fn read(&self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        let (start, len) = (offset as usize, bytes.len());
        if start + len > self.size() {
            return Err(FlashError::OutOfBounds {
                offset,
                len,
                size: self.size(),
            });
        }
        for at in start..start + len {
            if self.words[at / self.word].unreadable {
                return Err(FlashError::Unreadable {
                    offset: (at / self.word * self.word) as u32,
                });
            }
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = self.words[(start + at) / self.word].bytes[(start + at) % self.word];
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        let (start, len) = (offset as usize, bytes.len());
        if start + len > self.size() {
            return Err(FlashError::OutOfBounds {
                offset,
                len,
                size: self.size(),
            });
        }
        if !start.is_multiple_of(self.word) || !len.is_multiple_of(self.word) {
            return Err(FlashError::NotAligned {
                offset,
                len,
                unit: self.word,
            });
        }
        for (index, data) in bytes.chunks(self.word).enumerate() {
            let at = start / self.word + index;
            let word = &mut self.words[at];
            if word.programmed {
                match self.model {
                    Model::And => {}
                    Model::Once => {
                        return Err(FlashError::AlreadyProgrammed {
                            offset: (at * self.word) as u32,
                        });
                    }
                    Model::Ecc => word.unreadable = true,
                }
                self.words_reprogrammed += 1;
            }
            word.programmed = true;
            self.words_programmed += 1;
            for (cell, byte) in word.bytes.iter_mut().zip(data) {
                *cell &= byte;
            }
        }
        Ok(())
    }

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        let size = self.size();
        if to < from {
            return Err(FlashError::OutOfBounds {
                offset: from,
                len: 0,
                size,
            });
        }
        let len = (to - from) as usize;
        if to as usize > size {
            return Err(FlashError::OutOfBounds {
                offset: from,
                len,
                size,
            });
        }
        if !((from | to) as usize).is_multiple_of(self.sector) {
            return Err(FlashError::NotAligned {
                offset: from,
                len,
                unit: self.sector,
            });
        }
        for word in &mut self.words[from as usize / self.word..to as usize / self.word] {
            *word = Word {
                bytes: vec![0xff; self.word],
                programmed: false,
                unreadable: false,
            };
        }
        self.sectors_erased += (len / self.sector) as u64;
        Ok(())
    }
}

/// Calls that mostly fit the geometry, often at the same places, and sometimes are misaligned or out of bounds.
fn call(word: usize, sector: usize, size: usize) -> impl Strategy<Value = Call> {
    let words = size / word;
    let somewhere = prop_oneof![
        8 => (0..8_usize).prop_map(move |index| index * word),
        4 => (0..words + 1).prop_map(move |index| index * word),
        1 => 0..size + 9,
    ];
    let read = (somewhere.clone(), 0..5 * word).prop_map(|(offset, len)| Call::Read {
        offset: offset as u32,
        len,
    });
    let length =
        prop_oneof![8 => (0..6_usize).prop_map(move |words| words * word), 1 => 0..4 * word];
    let write = (somewhere, length).prop_flat_map(|(offset, len)| {
        proptest::collection::vec(any::<u8>(), len).prop_map(move |bytes| Call::Write {
            offset: offset as u32,
            bytes,
        })
    });
    let sectors = size / sector;
    let erase = prop_oneof![
        8 => (0..=sectors, 0..=sectors).prop_map(move |(from, to)| (from * sector, to * sector)),
        1 => (0..size + 9, 0..size + 9),
    ]
    .prop_map(|(from, to)| Call::Erase {
        from: from as u32,
        to: to as u32,
    });
    prop_oneof![3 => read, 4 => write, 1 => erase]
}

fn scenario() -> impl Strategy<Value = (Geometry, Model, Vec<Call>)> {
    (
        prop::sample::select(SUPPORTED_GEOMETRIES),
        prop::sample::select(&Model::ALL[..]),
    )
        .prop_flat_map(|((word, sector), model)| {
            let geometry = Geometry::new(word, sector, 2 * sector).expect("a supported geometry");
            (
                Just(geometry),
                Just(model),
                proptest::collection::vec(call(word, sector, 2 * sector), 1..40),
            )
        })
}

proptest! {
    #[test]
    fn every_call_does_what_the_rules_say((geometry, model, calls) in scenario()) {
        let mut nor = Nor::new(geometry, model);
        let mut naive = Naive::new(geometry, model);
        for call in calls {
            match &call {
                Call::Read { offset, len } => {
                    let (mut actual, mut expected) = (vec![0x5a; *len], vec![0x5a; *len]);
                    prop_assert_eq!(nor.read(*offset, &mut actual), naive.read(*offset, &mut expected), "{:?}", &call);
                    prop_assert_eq!(actual, expected);
                }
                Call::Write { offset, bytes } => {
                    prop_assert_eq!(nor.write(*offset, bytes), naive.write(*offset, bytes), "{:?}", &call);
                }
                Call::Erase { from, to } => {
                    prop_assert_eq!(nor.erase(*from, *to), naive.erase(*from, *to), "{:?}", &call);
                }
            }
        }
        for (index, word) in naive.words.iter().enumerate() {
            let at = index * geometry.word();
            prop_assert_eq!(&nor.cells()[at..at + geometry.word()], &word.bytes[..]);
            let state = nor.word_state(at as u32).expect("inside");
            prop_assert_eq!((state.programmed, state.unreadable), (word.programmed, word.unreadable));
        }
        let statistics = nor.statistics();
        prop_assert_eq!(statistics.words_programmed, naive.words_programmed);
        prop_assert_eq!(statistics.words_reprogrammed, naive.words_reprogrammed);
        prop_assert_eq!(statistics.sectors_erased, naive.sectors_erased);
        prop_assert_eq!(nor.sector_erases().iter().map(|&n| u64::from(n)).sum::<u64>(), naive.sectors_erased);
    }
}
