//! The engine's journal over a flash that holds anything.

use std::{convert::Infallible, pin::pin, task};

use airlift_device::{
    flash::Region,
    journal::{Journal, Phase, Record, Subject},
};
use embedded_storage_async::nor_flash::{ErrorType, NorFlash, ReadNorFlash};

const SECTOR: usize = 512;
/// Two pages of 2 KiB.
const LEN: usize = 8 * SECTOR;
const REGION: Region = Region::new(0, LEN as u32);

/// Whatever lies in the region, a record that was appended is the state at the next boot, and the marks never speak of more
/// than the image has.
///
/// The input: what the region holds, sector after sector, then a byte for each record to append.
pub fn journal(data: &[u8]) {
    let (content, records) = data.split_at(data.len().min(LEN));
    let mut flash = Memory { cells: [0xFF; LEN] };
    flash.cells[..content.len()].copy_from_slice(content);
    block_on(async {
        let mut journal = mounted(&mut flash).await;
        for &seed in records.iter().take(64) {
            let record = record(seed);
            let subject = record.subject;
            let tail = [seed; 200];
            let tail = tail.get(..usize::from(seed % 4) * 60).unwrap_or_default();
            if journal.append(&mut flash, record, tail).await.is_err() {
                continue;
            }
            let marks = u32::from(seed % 5).min(record.stride);
            for mark in 0..marks {
                journal.mark(&mut flash, subject, mark).await;
            }
            journal = mounted(&mut flash).await;
            assert_eq!(
                journal.find(&mut flash, subject).await,
                Ok(Some(record)),
                "an appended record is not the state"
            );
            let kept = journal.tail(&mut flash, subject).await;
            assert!(
                kept.starts_with(tail),
                "the tail is not the one that was appended"
            );
            let durable = journal.marked(&mut flash, subject).await;
            let promised = marks * record.stride;
            assert_eq!(
                durable, promised,
                "the marks say something else than was marked"
            );
        }
    });
}

async fn mounted(flash: &mut Memory) -> Journal {
    let journal = Journal::mount(flash, REGION).await;
    let mut number = 0;
    while let Some(subject) = journal.subject(number) {
        // A state that was found can be read.
        assert!(matches!(journal.find(flash, subject).await, Ok(Some(_))));
        number += 1;
    }
    journal
}

fn record(seed: u8) -> Record {
    let (subject, phases) = match seed % 3 {
        0 => (
            Subject::APP,
            [
                Phase::Downloading,
                Phase::Staged,
                Phase::OnTrial,
                Phase::Refused,
            ],
        ),
        1 => (
            Subject::partition(u32::from(seed) << 12),
            [
                Phase::Writing,
                Phase::Saving,
                Phase::Copying,
                Phase::Updated,
            ],
        ),
        _ => (
            Subject::data_of(seed & 1),
            [
                Phase::Fetching,
                Phase::Missing,
                Phase::Present,
                Phase::Missing,
            ],
        ),
    };
    let phase = phases[usize::from(seed >> 2) % phases.len()];
    let length = u32::from(seed) * 100 + 1;
    let mut record = Record::new(subject, phase, length, [seed; 32]);
    record.slot = seed & 1;
    record.attempts = seed >> 6;
    record.reason = seed;
    record.reported = seed & 2 != 0;
    if matches!(phase, Phase::Downloading | Phase::Writing | Phase::Fetching) {
        record.stride = Journal::stride::<Memory>(length);
    }
    record
}

/// A flash on which a second program clears further bits.
struct Memory {
    cells: [u8; LEN],
}

impl ErrorType for Memory {
    type Error = Infallible;
}

impl ReadNorFlash for Memory {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.copy_from_slice(&self.cells[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        LEN
    }
}

impl NorFlash for Memory {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = SECTOR;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Infallible> {
        self.cells[from as usize..to as usize].fill(0xFF);
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Infallible> {
        assert!(
            offset.is_multiple_of(4) && bytes.len().is_multiple_of(4),
            "not aligned to words"
        );
        for (cell, byte) in self.cells[offset as usize..][..bytes.len()]
            .iter_mut()
            .zip(bytes)
        {
            *cell &= byte;
        }
        Ok(())
    }
}

/// The flash is ready at once, so polling is all it takes.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = task::Context::from_waker(task::Waker::noop());
    loop {
        if let task::Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}
