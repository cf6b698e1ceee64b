//! What a power cut may do to the flash, and what it may not.

use airlift_sim::flash::{
    Cut, CutGrain, CutKind, Effect, EraseEffect, FlashError, Geometry, Model, Nor, Operation,
    ProgramEffect, SUPPORTED_GEOMETRIES, Timing,
};
use proptest::prelude::*;

const OLD: u8 = 0b1010_0101;
const NEW: u8 = 0b0011_1001;

/// Two sectors, the second full of `OLD`.
fn nor(word: usize, sector: usize, model: Model) -> Nor {
    let mut nor = Nor::new(
        Geometry::new(word, sector, 2 * sector).expect("a geometry"),
        model,
    );
    nor.write(sector as u32, &vec![OLD; sector])
        .expect("a blank sector");
    nor.reset_statistics();
    nor
}

fn torn_program(model: Model, effect: ProgramEffect) -> Nor {
    let mut nor = nor(8, 2048, model);
    let seed = ProgramEffect::ALL
        .iter()
        .position(|&e| e == effect)
        .expect("listed") as u64;
    nor.arm(Cut::at_word(2, CutKind::TornProgram { seed }));
    assert_eq!(nor.write(0, &[NEW; 40]), Err(FlashError::PowerLost));
    let report = nor.last_cut().expect("it happened");
    assert_eq!(
        report.operation,
        Operation::Program {
            offset: 16,
            words: 1
        }
    );
    assert_eq!(report.effect, Effect::Program(effect));
    nor.power_on();
    nor
}

fn torn_erase(model: Model, effect: EraseEffect) -> Nor {
    let mut nor = nor(8, 2048, model);
    let seed = EraseEffect::ALL
        .iter()
        .position(|&e| e == effect)
        .expect("listed") as u64;
    nor.arm(Cut::at_word(1, CutKind::TornErase { seed }));
    assert_eq!(nor.erase(0, 4096), Err(FlashError::PowerLost));
    assert_eq!(
        nor.last_cut().expect("it happened").effect,
        Effect::Erase(effect)
    );
    nor.power_on();
    nor
}

#[test]
fn without_power_nothing_works_and_nothing_changes() {
    let mut nor = nor(4, 4096, Model::And);
    nor.arm(Cut::at_word(0, CutKind::Clean));
    let before = nor.cells().to_vec();
    assert_eq!(nor.write(0, &[0; 4]), Err(FlashError::PowerLost));
    assert_eq!(nor.write(0, &[0; 4]), Err(FlashError::PowerLost));
    assert_eq!(nor.erase(0, 8192), Err(FlashError::PowerLost));
    assert_eq!(nor.read(0, &mut [0; 4]), Err(FlashError::PowerLost));
    // Also calls that would be refused with power.
    assert_eq!(nor.write(1, &[0; 3]), Err(FlashError::PowerLost));
    assert_eq!(nor.cells(), before);
    assert_eq!(nor.statistics().words_programmed, 0);
    nor.power_on();
    assert_eq!(nor.write(0, &[0; 4]), Ok(()));
}

#[test]
fn a_cut_strikes_the_operation_of_its_number_at_each_grain() {
    // Two erases, a write of three words, a write of one.
    let run = |nor: &mut Nor| {
        nor.erase(0, 8192)?;
        nor.write(0, &[NEW; 12])?;
        nor.write(16, &[NEW; 4])
    };
    let mut whole = nor(4, 4096, Model::Once);
    whole.start_trace();
    run(&mut whole).expect("power stays on");
    let trace = whole.take_trace();
    assert_eq!(
        (trace.len(CutGrain::Word), trace.len(CutGrain::Call)),
        (6, 4)
    );

    let struck = |cut| {
        let mut nor = nor(4, 4096, Model::Once);
        nor.arm(cut);
        match run(&mut nor) {
            Err(FlashError::PowerLost) => Some(nor.last_cut().expect("it happened").operation),
            other => {
                assert_eq!(other, Ok(()));
                None
            }
        }
    };
    let program = |offset| Some(Operation::Program { offset, words: 1 });
    let erase = |offset| Some(Operation::Erase { offset });
    let by_word = [
        erase(0),
        erase(4096),
        program(0),
        program(4),
        program(8),
        program(16),
        None,
    ];
    for (at, expected) in (0..).zip(by_word) {
        assert_eq!(
            struck(Cut::at_word(at, CutKind::Clean)),
            expected,
            "word {at}"
        );
    }
    let by_call = [erase(0), erase(4096), program(0), program(16), None];
    for (at, expected) in (0..).zip(by_call) {
        assert_eq!(
            struck(Cut::at_call(at, CutKind::Clean)),
            expected,
            "call {at}"
        );
    }
}

#[test]
fn a_cut_of_the_other_kind_prevents_the_operation() {
    for (kind, effect) in [
        (CutKind::TornErase { seed: 3 }, Effect::Prevented),
        (CutKind::Clean, Effect::Prevented),
        (
            CutKind::TornProgram { seed: 3 },
            Effect::Program(ProgramEffect::CheckBits),
        ),
    ] {
        let mut nor = nor(4, 4096, Model::And);
        nor.arm(Cut::at_word(1, kind));
        assert_eq!(nor.write(0, &[NEW; 12]), Err(FlashError::PowerLost));
        assert_eq!(nor.last_cut().expect("it happened").effect, effect);
        assert_eq!(nor.cells()[..4], [NEW; 4]);
        assert_eq!(nor.cells()[4..8] == [0xff; 4], effect == Effect::Prevented);
        assert_eq!(nor.cells()[8..12], [0xff; 4]);
    }
    let mut nor = nor(4, 4096, Model::And);
    nor.arm(Cut::at_word(0, CutKind::TornProgram { seed: 1 }));
    assert_eq!(nor.erase(4096, 8192), Err(FlashError::PowerLost));
    assert_eq!(
        nor.last_cut().expect("it happened").effect,
        Effect::Prevented
    );
    assert_eq!(nor.cells()[4096..], [OLD; 4096]);
}

#[test]
fn a_cut_waits_through_calls_that_do_nothing() {
    let mut nor = nor(4, 4096, Model::Once);
    nor.arm(Cut::at_call(0, CutKind::Clean));
    assert_eq!(nor.write(0, &[]), Ok(()));
    assert_eq!(nor.erase(0, 0), Ok(()));
    assert_eq!(
        nor.write(4096, &[0; 4]),
        Err(FlashError::AlreadyProgrammed { offset: 4096 })
    );
    assert!(
        nor.write(2, &[0; 4])
            .is_err_and(|error| error != FlashError::PowerLost)
    );
    assert!(nor.has_power());
    assert_eq!(nor.erase(0, 4096), Err(FlashError::PowerLost));
}

#[test]
fn a_disarmed_cut_does_not_happen_and_an_armed_one_survives_a_reboot() {
    let mut nor = nor(4, 4096, Model::And);
    nor.arm(Cut::at_word(0, CutKind::Clean));
    nor.disarm();
    assert_eq!(nor.write(0, &[0; 4]), Ok(()));
    nor.arm(Cut::at_word(1, CutKind::Clean));
    nor.power_off();
    assert_eq!(nor.write(4, &[0; 4]), Err(FlashError::PowerLost));
    nor.power_on();
    assert_eq!(nor.write(4, &[0; 4]), Ok(()));
    assert_eq!(nor.write(8, &[0; 4]), Err(FlashError::PowerLost));
}

#[test]
fn a_word_whose_program_was_torn_without_any_change_is_spent() {
    for model in Model::ALL {
        let mut nor = torn_program(model, ProgramEffect::Untouched);
        let mut word = [0; 8];
        assert_eq!(nor.read(16, &mut word), Ok(()));
        assert_eq!(word, [0xff; 8], "reads as blank");
        let second = nor.write(16, &[NEW; 8]);
        let read = nor.read(16, &mut word);
        match model {
            Model::And => assert_eq!((second, read, word), (Ok(()), Ok(()), [NEW; 8])),
            Model::Once => assert_eq!(second, Err(FlashError::AlreadyProgrammed { offset: 16 })),
            Model::Ecc => assert_eq!(
                (second, read),
                (Ok(()), Err(FlashError::Unreadable { offset: 16 }))
            ),
        }
    }
}

#[test]
fn torn_words_cannot_be_read_under_ecc_and_read_as_torn_elsewhere() {
    for effect in [
        ProgramEffect::Prefix,
        ProgramEffect::Bits,
        ProgramEffect::CheckBits,
    ] {
        for model in [Model::And, Model::Once] {
            let mut nor = torn_program(model, effect);
            let mut word = [0; 8];
            assert_eq!(nor.read(16, &mut word), Ok(()));
            assert_eq!(
                word == [NEW; 8],
                effect == ProgramEffect::CheckBits,
                "{effect:?}"
            );
            assert_ne!(word, [0xff; 8]);
        }
        let mut nor = torn_program(Model::Ecc, effect);
        for (offset, len) in [(16, 8), (15, 2), (23, 1), (0, 24)] {
            let read = nor.read(offset, &mut [0; 24][..len]);
            assert_eq!(
                read,
                Err(FlashError::Unreadable { offset: 16 }),
                "{offset} {len}"
            );
        }
        assert_eq!(
            nor.read(0, &mut [0; 16]),
            Ok(()),
            "its neighbours can be read"
        );
        assert_eq!(nor.read(24, &mut [0; 16]), Ok(()));
        assert_eq!(nor.erase(0, 2048), Ok(()));
        assert_eq!(nor.read(0, &mut [0; 48]), Ok(()), "an erase heals it");
    }
    let mut nor = torn_program(Model::Ecc, ProgramEffect::SilentBits);
    let mut word = [0; 8];
    assert_eq!(
        nor.read(16, &mut word),
        Ok(()),
        "error correction can be fooled"
    );
    assert!(word != [NEW; 8] && word != [0xff; 8]);
}

#[test]
fn a_sector_whose_erase_was_torn_must_be_erased_again() {
    for effect in EraseEffect::ALL {
        let mut nor = torn_erase(Model::Once, effect);
        assert_eq!(
            nor.write(2048, &[NEW; 8]),
            Err(FlashError::AlreadyProgrammed { offset: 2048 }),
            "{effect:?}"
        );
        assert_eq!(nor.erase(2048, 4096), Ok(()));
        assert_eq!(nor.write(2048, &[NEW; 8]), Ok(()));

        let mut nor = torn_erase(Model::Ecc, effect);
        assert_eq!(nor.write(2048, &[NEW; 8]), Ok(()));
        assert_eq!(
            nor.read(2048, &mut [0; 8]),
            Err(FlashError::Unreadable { offset: 2048 }),
            "{effect:?}"
        );

        let mut nor = torn_erase(Model::And, effect);
        assert_eq!(nor.write(2048, &[NEW; 8]), Ok(()));
        assert_eq!(nor.statistics().words_reprogrammed, 1, "{effect:?}");
    }
}

#[test]
fn a_torn_erase_leaves_what_its_effect_says() {
    for effect in EraseEffect::ALL {
        let nor = torn_erase(Model::And, effect);
        let sector = &nor.cells()[2048..];
        let count = |byte: u8| sector.iter().filter(|&&cell| cell == byte).count();
        let (old, erased) = (count(OLD), count(0xff));
        match effect {
            EraseEffect::Unchanged => assert_eq!(old, 2048),
            EraseEffect::LooksErased => assert_eq!(erased, 2048),
            EraseEffect::Mixture => assert!(old > 256 && erased > 256 && old + erased < 2048),
            EraseEffect::Front => assert!(old > 0 && erased > 0 && old + erased > 2048 - 8),
            EraseEffect::Rising => {
                assert!(sector.iter().all(|cell| cell & OLD == OLD));
                assert!(old < 512 && erased < 512);
            }
            EraseEffect::Falling => {
                assert!(sector.iter().all(|cell| cell & !OLD == 0));
                assert!(old > 256 && count(0) > 256);
            }
        }
    }
}

#[test]
fn words_of_a_torn_erase_may_be_unreadable_under_ecc_until_erased() {
    for effect in EraseEffect::ALL {
        let mut nor = torn_erase(Model::Ecc, effect);
        let broken = (2048..4096)
            .step_by(8)
            .filter(|&at| nor.read(at, &mut [0; 8]).is_err())
            .count();
        match effect {
            EraseEffect::Unchanged | EraseEffect::LooksErased => assert_eq!(broken, 0),
            _ => assert!((1..256).contains(&broken), "{effect:?}: {broken} of 256"),
        }
        assert_eq!(nor.erase(2048, 4096), Ok(()));
        assert_eq!(nor.read(2048, &mut [0; 2048]), Ok(()));
    }
}

#[test]
fn the_clock_advances_by_the_operations_and_never_sleeps() {
    let geometry = Geometry::new(4, 4096, 8192).expect("a geometry");
    let timing = Timing {
        read_byte_ns: 10,
        program_byte_ns: 500,
        erase_sector_us: 45_000,
    };
    let mut nor = Nor::new(geometry, Model::And).with_timing(timing);
    nor.erase(0, 8192).expect("two sectors");
    nor.write(0, &[0; 8]).expect("two words");
    nor.read(0, &mut [0; 100]).expect("a read");
    assert_eq!(
        nor.elapsed().as_nanos(),
        2 * 45_000_000 + 8 * 500 + 100 * 10
    );
}

#[test]
fn a_fork_goes_its_own_way() {
    let mut nor = torn_program(Model::Ecc, ProgramEffect::Bits);
    nor.arm(Cut::at_word(0, CutKind::Clean));
    let mut fork = nor.fork();
    assert_eq!(
        fork.read(16, &mut [0; 8]),
        Err(FlashError::Unreadable { offset: 16 })
    );
    assert_eq!(
        fork.erase(0, 2048),
        Ok(()),
        "the cut was armed on the other"
    );
    assert_eq!(nor.erase(0, 2048), Err(FlashError::PowerLost));
}

fn setting() -> impl Strategy<Value = (usize, usize, Model, u64, u64, CutGrain)> {
    let (geometries, models) = (
        prop::sample::select(SUPPORTED_GEOMETRIES),
        prop::sample::select(&Model::ALL[..]),
    );
    let grain = prop_oneof![Just(CutGrain::Word), Just(CutGrain::Call)];
    (geometries, models, 0..4_u64, any::<u64>(), grain)
        .prop_map(|((word, sector), model, at, seed, grain)| (word, sector, model, at, seed, grain))
}

proptest! {
    #[test]
    fn a_torn_program_only_clears_bits_that_it_should_and_only_in_its_word(
        (word, sector, model, at, seed, grain) in setting(),
        data in proptest::collection::vec(any::<u8>(), 4 * 4 * 32),
    ) {
        let mut nor = nor(word, sector, model);
        nor.arm(Cut { at, grain, kind: CutKind::TornProgram { seed } });
        let data = &data[..4 * 4 * word];
        // Four calls of four words: four operations by call, sixteen by word.
        let mut lost = Ok(());
        for (offset, call) in (0..).step_by(4 * word).zip(data.chunks(4 * word)) {
            lost = lost.and_then(|()| nor.write(offset, call));
        }
        prop_assert_eq!(lost, Err(FlashError::PowerLost));
        let report = nor.last_cut().expect("it happened");
        let Operation::Program { offset, words: 1 } = report.operation else { panic!("{report}") };
        let struck = offset as usize;
        match grain {
            CutGrain::Word => prop_assert_eq!(struck as u64, at * word as u64),
            CutGrain::Call => prop_assert_eq!(struck as u64 / (4 * word as u64), at),
        }
        prop_assert_eq!(&nor.cells()[..struck], &data[..struck], "what went before is complete");
        prop_assert!(nor.cells()[struck + word..sector].iter().all(|&cell| cell == 0xff), "what comes after is blank");
        prop_assert!(nor.cells()[sector..].iter().all(|&cell| cell == OLD), "other sectors are as they were");
        let torn = &nor.cells()[struck..struck + word];
        prop_assert!(torn.iter().zip(&data[struck..]).all(|(cell, byte)| cell & byte == *byte));
        let state = nor.word_state(offset).expect("inside");
        prop_assert!(state.programmed);
        prop_assert!(!state.unreadable || model == Model::Ecc);
    }

    #[test]
    fn a_torn_erase_touches_its_sector_only_and_can_be_repeated((word, sector, model, _at, seed, grain) in setting()) {
        let torn = || {
            let mut nor = nor(word, sector, model);
            nor.write(0, &vec![NEW; word]).expect("a blank word");
            nor.arm(Cut { at: 0, grain, kind: CutKind::TornErase { seed } });
            assert_eq!(nor.erase(sector as u32, 2 * sector as u32), Err(FlashError::PowerLost));
            nor.power_on();
            nor
        };
        let (mut nor, again) = (torn(), torn());
        prop_assert_eq!(nor.cells(), again.cells());
        prop_assert_eq!(nor.last_cut(), again.last_cut());
        prop_assert!(nor.cells()[..word].iter().all(|&cell| cell == NEW));
        prop_assert!(nor.cells()[word..sector].iter().all(|&cell| cell == 0xff));
        for at in (0..sector).step_by(word) {
            let state = nor.word_state((sector + at) as u32).expect("inside");
            prop_assert!(state.programmed);
            prop_assert!(!state.unreadable || model == Model::Ecc);
        }
        prop_assert_eq!(nor.erase(sector as u32, 2 * sector as u32), Ok(()));
        prop_assert_eq!(nor.write(sector as u32, &vec![NEW; sector]), Ok(()));
        let mut bytes = vec![0; sector];
        prop_assert_eq!(nor.read(sector as u32, &mut bytes), Ok(()));
        prop_assert!(bytes.iter().all(|&byte| byte == NEW));
    }
}

#[test]
fn two_flashes_on_one_supply_lose_power_at_the_same_operation() {
    let geometry = Geometry::new(4, 4096, 8192).unwrap();
    for at in 0..6 {
        let mut first = Nor::new(geometry, Model::Once);
        let mut second = Nor::new(geometry, Model::Once);
        second.share_power_of(&first);
        first.arm(Cut::at_word(at, CutKind::Clean));
        // In turns: the operations of both count.
        let mut done = 0;
        for word in 0..3 {
            done += u64::from(first.write(word * 4, &[0; 4]).is_ok());
            done += u64::from(second.write(word * 4, &[0; 4]).is_ok());
        }
        assert_eq!(done, at, "as many as came before the cut");
        assert!(!first.has_power() && !second.has_power());
        assert_eq!(first.last_cut(), second.last_cut());
        second.power_on();
        assert!(first.read(0, &mut [0; 4]).is_ok());
        // What is tried on a copy does not darken the board.
        first.fork().power_off();
        assert!(first.has_power() && second.has_power());
    }
}
