//! A slow erase does not keep the next block from being fetched: the engine waits in its flash driver, and whoever feeds it can wait for the network
//! at the same time.

use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use std::cell::Cell;
use std::rc::Rc;

use airlift_device::flash::Region;
use airlift_device::install::BootRecord;
use airlift_device::partition::{Direct, JournalRestore, Partition};
use airlift_device::verify::AnyImage;
use airlift_device::{Layout, Offer, Updater};
use airlift_sim::flash::{Flash, FlashError, Geometry, Model, Nor, SimFlash};
use embedded_storage_async::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use sha2::{Digest as _, Sha256};

/// Simulated milliseconds: each poll of everything that waits is one.
#[derive(Clone, Default)]
struct Clock(Rc<Cell<u64>>);

impl Clock {
    async fn wait(&self, time: u64) {
        let until = self.0.get() + time;
        poll_fn(|_| {
            if self.0.get() >= until {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        loop {
            let polled = future
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
            if let Poll::Ready(output) = polled {
                return output;
            }
            self.0.set(self.0.get() + 1);
        }
    }
}

/// Erases of 45 ms, as SPI NOR flash has them.
struct Slow(SimFlash<4, 4096>, Clock);

const ERASE: u64 = 45;
const FETCH: u64 = 40;

impl ErrorType for Slow {
    type Error = FlashError;
}

impl ReadNorFlash for Slow {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        ReadNorFlash::read(&mut self.0, offset, bytes).await
    }

    fn capacity(&self) -> usize {
        ReadNorFlash::capacity(&self.0)
    }
}

impl NorFlash for Slow {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 4096;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        self.1.wait(ERASE).await;
        NorFlash::erase(&mut self.0, from, to).await
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        NorFlash::write(&mut self.0, offset, bytes).await
    }
}

/// Polls both until both are done.
async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut first, mut second) = (None, None);
    poll_fn(|context| {
        fn step<T>(
            future: Pin<&mut impl Future<Output = T>>,
            done: &mut Option<T>,
            context: &mut Context<'_>,
        ) {
            if done.is_none()
                && let Poll::Ready(output) = future.poll(context)
            {
                *done = Some(output);
            }
        }
        step(a.as_mut(), &mut first, context);
        step(b.as_mut(), &mut second, context);
        match (first.take(), second.take()) {
            (Some(first), Some(second)) => Poll::Ready((first, second)),
            (one, other) => {
                (first, second) = (one, other);
                Poll::Pending
            }
        }
    })
    .await
}

const SECTORS: usize = 32;

/// Simulated time of an update of 32 sectors; a block is fetched while the one before is written, or after it.
fn update(overlapped: bool) -> u64 {
    let clock = Clock::default();
    let nor = Nor::new(Geometry::new(4, 4096, 0x40000).unwrap(), Model::Once);
    let flash = Slow(Flash::new(nor).typed().unwrap(), clock.clone());
    let slots = [Region::new(0x4000, 0x8000), Region::new(0xC000, 0x8000)];
    let layout = Layout::new(&slots, Region::new(0x2000, 0x2000));
    let boot = BootRecord::new(Region::new(0, 0x2000));
    let content: Vec<u8> = (0..SECTORS * 4096).map(|i| (i >> 3) as u8).collect();
    let offer = Offer {
        length: content.len() as u32,
        sha256: Sha256::digest(&content).into(),
    };
    let partition = Partition::data(Region::new(0x14000, (SECTORS * 4096) as u32));
    clock.run(async {
        let mut buffer = [0; 4096];
        let mechanisms = &mut JournalRestore;
        let mut engine = Updater::recover(flash, boot, layout, Some(0), mechanisms, &mut buffer)
            .await
            .unwrap();
        let mut download = engine
            .begin_partition(&partition, Direct, offer, AnyImage, &mut buffer)
            .await
            .unwrap();
        clock.0.set(0);
        let mut blocks = content.chunks(4096);
        clock.wait(FETCH).await;
        let mut block = blocks.next();
        while let Some(arrived) = block {
            block = blocks.next();
            let fetch = clock.wait(if block.is_some() { FETCH } else { 0 });
            if overlapped {
                both(download.write(arrived), fetch).await.0.unwrap();
            } else {
                download.write(arrived).await.unwrap();
                fetch.await;
            }
        }
        download.finish().await.unwrap();
    });
    clock.0.get()
}

#[test]
fn blocks_are_fetched_while_sectors_erase() {
    let (after, during) = (update(false), update(true));
    println!(
        "{SECTORS} sectors, {ERASE} ms to erase one, {FETCH} ms to fetch a block: {after} ms one after the other, {during} ms overlapped"
    );
    let slower = ERASE.max(FETCH) * SECTORS as u64;
    assert!(after >= (ERASE + FETCH) * SECTORS as u64);
    // One block in front that nothing can be done beside, and the journal's page.
    assert!(during <= slower + FETCH + 3 * ERASE, "{during}");
}
