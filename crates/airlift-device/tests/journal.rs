//! The journal: after any power cut it holds the state before or the state after, and never anything else.

use airlift_device::Error;
use airlift_device::flash::Region;
use airlift_device::journal::{Journal, Phase, Record, Subject, TAIL_LEN};
use airlift_sim::flash::{
    Cut, CutGrain, Flash, FlashError, Geometry, Model, Nor, SimFlash, block_on,
};
use embedded_storage_async::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use proptest::prelude::*;

const REGION: Region = Region::new(4096, 8192);
const MODELS: [Model; 3] = [Model::And, Model::Once, Model::Ecc];

fn record(number: u32, phase: Phase, stride: u32) -> Record {
    let mut record = Record::new(Subject::APP, phase, 40_000 + number, [number as u8; 32]);
    record.slot = 1;
    record.stride = stride;
    record
}

fn flash<const W: usize>(model: Model) -> SimFlash<W, 4096> {
    let geometry = Geometry::new(W, 4096, 4 * 4096).unwrap();
    Flash::new(Nor::new(geometry, model)).typed().unwrap()
}

/// A state for each number: mostly plain records, now and then one with marks.
fn state(number: u32) -> Record {
    if number.is_multiple_of(5) {
        record(number, Phase::Downloading, 4096)
    } else {
        record(number, Phase::Staged, 0)
    }
}

fn append<const W: usize>(flash: &mut SimFlash<W, 4096>, number: u32) -> Result<(), ()> {
    block_on(async {
        let mut journal = Journal::mount(flash, REGION).await;
        journal
            .append(flash, state(number), &[])
            .await
            .map_err(|_| ())
    })
}

fn current<const W: usize>(flash: &mut SimFlash<W, 4096>) -> Option<Record> {
    block_on(Journal::mount(flash, REGION)).current().copied()
}

/// What the journal's cells hold, and how often its sectors were erased.
fn region<const W: usize>(flash: &SimFlash<W, 4096>) -> (Vec<u8>, Vec<u32>) {
    let nor = flash.flash().lock();
    (
        nor.cells()[4096..12_288].to_vec(),
        nor.sector_erases()[1..3].to_vec(),
    )
}

/// Fills the journal round and round; each append is cut at every word, in every way, and then done again.
fn every_cut_of_every_append<const W: usize>(model: Model) {
    let mut base = flash::<W>(model);
    let mut before = None;
    for number in 0..110 {
        let whole: SimFlash<W, 4096> = Flash::new(base.flash().lock().fork()).typed().unwrap();
        whole.flash().lock().start_trace();
        append(&mut whole.clone(), number).unwrap();
        let trace = whole.flash().lock().take_trace();
        for cut in trace.cuts(CutGrain::Word, &[0, 1, 2, 3, 4]) {
            let mut torn: SimFlash<W, 4096> =
                Flash::new(base.flash().lock().fork()).typed().unwrap();
            torn.flash().lock().arm(cut);
            append(&mut torn, number).unwrap_err();
            torn.flash().lock().power_on();
            let found = current(&mut torn);
            assert!(
                found == before || found == Some(state(number)),
                "{model:?}, record {number}, {cut}: {found:?}"
            );
            let (cells, erases) = region(&torn);
            append(&mut torn, number).unwrap();
            if region(&torn).1 == erases {
                for (before, after) in cells.chunks(W).zip(region(&torn).0.chunks(W)) {
                    let blank = before.iter().all(|byte| *byte == 0xFF);
                    assert!(
                        blank || before == after,
                        "a word is programmed twice, {cut}"
                    );
                }
            }
            assert_eq!(
                current(&mut torn),
                Some(state(number)),
                "{model:?}, record {number}, {cut}"
            );
        }
        append(&mut base, number).unwrap();
        before = Some(state(number));
    }
    // Both sectors take their share.
    let nor = base.flash().lock();
    let erases = &nor.sector_erases()[1..3];
    assert!(
        erases[0].abs_diff(erases[1]) <= 1 && erases[0] >= 1,
        "{erases:?}"
    );
}

#[test]
fn a_torn_append_leaves_the_old_state_or_the_new_one() {
    for model in MODELS {
        every_cut_of_every_append::<4>(model);
        every_cut_of_every_append::<32>(model);
    }
}

/// What the journal holds of three subjects.
type States = [Option<(Record, [u8; TAIL_LEN])>; 3];

const SUBJECTS: [Subject; 3] = [
    Subject::APP,
    Subject::partition(0x18000),
    Subject::data_of(1),
];

/// The state that append `number` writes: of one subject after the other, the last two with tails, now and then with marks.
fn of_many(number: u32) -> (Record, Vec<u8>) {
    let phases = [Phase::Staged, Phase::Writing, Phase::Missing];
    let which = number as usize % 3;
    let mut record = Record::new(SUBJECTS[which], phases[which], 9000, [number as u8; 32]);
    if number % 7 == 1 {
        record.stride = 4096;
    }
    let tail = vec![number as u8; [0, 48, 200][which]];
    (record, tail)
}

fn append_of_many<const W: usize>(flash: &mut SimFlash<W, 4096>, number: u32) -> Result<(), ()> {
    let (record, tail) = of_many(number);
    block_on(async {
        let mut journal = Journal::mount(flash, REGION).await;
        journal.append(flash, record, &tail).await.map_err(|_| ())
    })
}

fn states<const W: usize>(flash: &mut SimFlash<W, 4096>) -> States {
    block_on(async {
        let journal = Journal::mount(flash, REGION).await;
        let mut states = [None; 3];
        for (state, subject) in states.iter_mut().zip(SUBJECTS) {
            if let Some(mut record) = journal.find(flash, subject).await.unwrap() {
                // A copied record says in a number what its marks said.
                record.stride = 0;
                *state = Some((record, journal.tail(flash, subject).await));
            }
        }
        states
    })
}

#[test]
fn a_torn_append_touches_no_other_subject() {
    for model in MODELS {
        let mut base = flash::<16>(model);
        let mut before = [None; 3];
        for number in 0..60 {
            let (mut record, text) = of_many(number);
            record.stride = 0;
            let mut tail = [0; TAIL_LEN];
            tail[..text.len()].copy_from_slice(&text);
            let mut after = before;
            after[number as usize % 3] = Some((record, tail));
            let whole: SimFlash<16, 4096> = Flash::new(base.flash().lock().fork()).typed().unwrap();
            whole.flash().lock().start_trace();
            append_of_many(&mut whole.clone(), number).unwrap();
            let trace = whole.flash().lock().take_trace();
            for cut in trace.cuts(CutGrain::Word, &[0, 1, 2, 3, 4, 5]) {
                let mut torn: SimFlash<16, 4096> =
                    Flash::new(base.flash().lock().fork()).typed().unwrap();
                torn.flash().lock().arm(cut);
                append_of_many(&mut torn, number).unwrap_err();
                torn.flash().lock().power_on();
                let found = states(&mut torn);
                assert!(
                    found == before || found == after,
                    "{model:?}, append {number}, {cut}: {found:?}"
                );
                append_of_many(&mut torn, number).unwrap();
                assert_eq!(
                    states(&mut torn),
                    after,
                    "{model:?}, append {number}, {cut}"
                );
            }
            append_of_many(&mut base, number).unwrap();
            assert_eq!(states(&mut base), after);
            before = after;
        }
        let erases = base.flash().lock().sector_erases()[1..3].to_vec();
        assert!(erases.iter().sum::<u32>() >= 3, "{erases:?}");
    }
}

#[test]
fn what_marks_said_stays_when_a_page_is_turned() {
    let mut flash = flash::<4>(Model::Once);
    block_on(async {
        let mut journal = Journal::mount(&mut flash, REGION).await;
        let subject = Subject::partition(0x18000);
        let mut record = Record::new(subject, Phase::Writing, 40_000, [1; 32]);
        record.stride = 4096;
        journal.append(&mut flash, record, &[9; 48]).await.unwrap();
        journal.mark(&mut flash, subject, 0).await;
        journal.mark(&mut flash, subject, 1).await;
        for number in 0..200 {
            journal
                .append(&mut flash, state(number * 5 + 1), &[])
                .await
                .unwrap();
            assert_eq!(journal.marked(&mut flash, subject).await, 2 * 4096);
        }
        let journal = Journal::mount(&mut flash, REGION).await;
        assert_eq!(journal.marked(&mut flash, subject).await, 2 * 4096);
        assert_eq!(journal.tail(&mut flash, subject).await[..48], [9; 48]);
    });
}

#[test]
fn what_is_in_a_tail_is_never_taken_for_a_record() {
    // Somebody else decides what is in a tail: here, a record with its checksum, one that would be believed.
    let mut source = flash::<4>(Model::And);
    append(&mut source, 7).unwrap();
    let forged = source.flash().lock().cells()[4096..4096 + 64].to_vec();
    let mut flash = flash::<4>(Model::And);
    append(&mut flash, 1).unwrap();
    let subject = Subject::data_of(0);
    for shift in 0..64 {
        let mut tail = vec![0; shift];
        tail.extend_from_slice(&forged);
        let record = Record::new(subject, Phase::Missing, 1, [0; 32]);
        block_on(async {
            let mut journal = Journal::mount(&mut flash, REGION).await;
            journal.append(&mut flash, record, &tail).await.unwrap();
        });
        // The record that the tail belongs to is lost, the tail is not.
        let mut nor = flash.flash().lock().fork();
        let cells = nor.cells().to_vec();
        for at in (4096..12_288).step_by(64) {
            if cells[at..at + 4] == [0x41, 0x4A, 2, 32] {
                nor.overwrite(at as u32, &[0xFF; 64]).unwrap();
            }
        }
        let mut torn: SimFlash<4, 4096> = Flash::new(nor).typed().unwrap();
        let found = current(&mut torn);
        assert!(
            found.is_none() || found == Some(state(1)),
            "shift {shift}: {found:?}"
        );
    }
}

#[test]
fn marks_survive_and_count_what_is_durable() {
    for model in MODELS {
        let mut flash = flash::<8>(model);
        block_on(async {
            let mut journal = Journal::mount(&mut flash, REGION).await;
            let download = record(3, Phase::Downloading, 4096);
            journal.append(&mut flash, download, &[]).await.unwrap();
            assert_eq!(journal.marked(&mut flash, Subject::APP).await, 0);
            for mark in 0..3 {
                journal.mark(&mut flash, Subject::APP, mark).await;
            }
            assert_eq!(
                Journal::mount(&mut flash, REGION)
                    .await
                    .marked(&mut flash, Subject::APP)
                    .await,
                3 * 4096
            );
            // One that is missing in between does not hide those behind it: it was programmed after its data, too.
            journal.mark(&mut flash, Subject::APP, 4).await;
            assert_eq!(journal.marked(&mut flash, Subject::APP).await, 5 * 4096);
            // The last stretch is a short one.
            journal.mark(&mut flash, Subject::APP, 9).await;
            assert_eq!(journal.marked(&mut flash, Subject::APP).await, 10 * 4096);
            // A record with other contents has no marks, and one beyond the end does nothing.
            journal
                .append(&mut flash, record(4, Phase::Staged, 0), &[])
                .await
                .unwrap();
            journal.mark(&mut flash, Subject::APP, 0).await;
            assert_eq!(journal.marked(&mut flash, Subject::APP).await, 0);
            assert_eq!(journal.current(), Some(&record(4, Phase::Staged, 0)));
        });
    }
}

#[test]
fn a_torn_mark_counts_or_does_not_and_nothing_else_is_harmed() {
    for model in MODELS {
        let mut base = flash::<8>(model);
        append(&mut base, 5).unwrap();
        for seed in 0..50 {
            let mut flash: SimFlash<8, 4096> =
                Flash::new(base.flash().lock().fork()).typed().unwrap();
            flash.flash().lock().arm(Cut::at_word(
                0,
                airlift_sim::flash::CutKind::TornProgram { seed },
            ));
            block_on(async {
                let journal = Journal::mount(&mut flash, REGION).await;
                journal.mark(&mut flash, Subject::APP, 0).await;
                flash.flash().lock().power_on();
                let journal = Journal::mount(&mut flash, REGION).await;
                assert_eq!(journal.current(), Some(&state(5)));
                let marked = journal.marked(&mut flash, Subject::APP).await;
                assert!(marked == 0 || marked == 4096, "{marked}");
                // And it can be marked again, whatever the word looks like.
                journal.mark(&mut flash, Subject::APP, 0).await;
                journal.mark(&mut flash, Subject::APP, 1).await;
                assert_eq!(journal.marked(&mut flash, Subject::APP).await, 2 * 4096);
            });
        }
    }
}

#[test]
fn a_stride_is_as_short_as_the_sector_allows() {
    type Small = SimFlash<4, 4096>;
    type Large = SimFlash<32, 2048>;
    assert_eq!(Journal::stride::<Small>(1 << 20), 4096);
    assert_eq!(Journal::stride::<Small>(4 << 20), 3 * 4096); // 480 marks fit into half a page, 1024 sectors
    assert_eq!(Journal::stride::<Large>(1 << 20), 19 * 2048); // 28 marks fit, 512 sectors
    assert_eq!(Journal::stride::<Large>(1), 2048);
}

#[test]
fn a_worn_out_flash_is_reported_and_the_state_stays() {
    let mut flash = flash::<4>(Model::Once);
    append(&mut flash, 1).unwrap();
    flash.flash().lock().power_off();
    let error: Result<(), ()> = append(&mut flash, 2);
    assert!(error.is_err());
    flash.flash().lock().power_on();
    assert_eq!(current(&mut flash), Some(state(1)));
    let read: Result<(), FlashError> = flash.flash().lock().read(0, &mut [0]);
    assert!(read.is_ok());
}

/// A worn part: every write until the given one loses a bit, and says that all is well.
struct Worn {
    flash: SimFlash<4, 4096>,
    bad_writes: u32,
}

impl ErrorType for Worn {
    type Error = FlashError;
}

impl ReadNorFlash for Worn {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        ReadNorFlash::read(&mut self.flash, offset, bytes).await
    }

    fn capacity(&self) -> usize {
        ReadNorFlash::capacity(&self.flash)
    }
}

impl NorFlash for Worn {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 4096;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        NorFlash::erase(&mut self.flash, from, to).await
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        let mut bytes = bytes.to_vec();
        if self.bad_writes > 0 {
            self.bad_writes -= 1;
            bytes[30] ^= 4;
        }
        NorFlash::write(&mut self.flash, offset, &bytes).await
    }
}

#[test]
fn a_record_that_did_not_take_is_written_again_elsewhere() {
    block_on(async {
        let mut worn = Worn {
            flash: flash(Model::Once),
            bad_writes: 3,
        };
        let mut journal = Journal::mount(&mut worn, REGION).await;
        journal.append(&mut worn, state(1), &[]).await.unwrap();
        assert_eq!(current(&mut worn.flash), Some(state(1)));
        // A part that keeps nothing at all is reported, and the state stays what it was.
        worn.bad_writes = 1000;
        let lost = journal.append(&mut worn, state(2), &[]).await;
        assert_eq!(lost, Err(Error::Journal));
        assert_eq!(journal.current(), Some(&state(1)));
        assert_eq!(current(&mut worn.flash), Some(state(1)));
    });
}

proptest! {
    #[test]
    fn any_content_mounts(bytes in proptest::collection::vec(any::<u8>(), 8192), at in 0_u32..60) {
        let geometry = Geometry::new(4, 4096, 4 * 4096).unwrap();
        let mut nor = Nor::new(geometry, Model::And);
        nor.overwrite(4096, &bytes).unwrap();
        let mut flash: SimFlash<4, 4096> = Flash::new(nor).typed().unwrap();
        prop_assert_eq!(current(&mut flash), None);
        // And it can be used.
        append(&mut flash, at).unwrap();
        prop_assert_eq!(current(&mut flash), Some(state(at)));
    }
}

#[test]
fn a_record_whose_marks_have_no_room_is_kept_without_them() {
    let geometry = Geometry::new(4, 2048, 4 * 2048).unwrap();
    let nor = Nor::new(geometry, Model::Once);
    let mut flash: SimFlash<4, 2048> = Flash::new(nor).typed().unwrap();
    let region = Region::new(2048, 4096);
    block_on(async {
        let mut journal = Journal::mount(&mut flash, region).await;
        // As many partitions as there can be, all of them with a tail.
        for number in 1..12 {
            let subject = Subject::partition(number * 2048);
            let record = Record::new(subject, Phase::Updated, 100, [1; 32]);
            let appended = journal.append(&mut flash, record, &[1; 48]).await;
            assert_eq!(appended, Ok(()), "{number}");
        }
        let subject = Subject::partition(0x10_0000);
        let mut record = Record::new(subject, Phase::Writing, 0x6_F000, [2; 32]);
        record.stride = Journal::stride::<SimFlash<4, 2048>>(record.length);
        assert_eq!(
            journal.append(&mut flash, record, &[2; 48]).await,
            Ok(()),
            "nothing else would ever make room for it"
        );
        journal.mark(&mut flash, subject, 0).await;
        let mut journal = Journal::mount(&mut flash, region).await;
        record.stride = 0;
        assert_eq!(journal.find(&mut flash, subject).await, Ok(Some(record)));
        assert_eq!(journal.marked(&mut flash, subject).await, 0);
        record.phase = Phase::Updated;
        let appended = journal.append(&mut flash, record, &[2; 48]).await;
        assert_eq!(appended, Ok(()));
    });
}
