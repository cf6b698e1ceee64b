//! One update through the whole pipeline of the device, over the plainest flash there is: what `cargo xtask bench device`
//! counts the instructions of.
//!
//! `pipeline KIB` builds an app image of about that size, then takes it from the first byte of the HTTP answer to a staged,
//! verified image and an armed boot selection. Only `measured_update` is counted.

use std::{
    cell::Cell, convert::Infallible, hint::black_box, pin::pin, process::ExitCode, rc::Rc, task,
};

use airlift_device::{
    Layout, Offer, Updater,
    download::http::{Answer, HeadParser},
    flash::Region,
    install::EspOtadata,
    verify::EspApp,
};
use airlift_formats::esp::app_image::{AppImageBuilder, ChipId};
use embedded_storage_async::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use sha2::{Digest as _, Sha256};

const SECTOR: usize = 4096;
/// What one read from a TCP connection gives, at most.
const TCP_SEGMENT: usize = 1460;

fn main() -> ExitCode {
    let size = std::env::args()
        .nth(1)
        .and_then(|size| size.parse::<usize>().ok());
    let Some(kib @ 64..=3072) = size else {
        eprintln!("usage: pipeline KIB    size of the image, 64 to 3072");
        return ExitCode::from(2);
    };
    let payload: Vec<u8> = (0..kib as u32 * 1024)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let image = AppImageBuilder::new(ChipId::ESP32)
        .project("lotus")
        .payload(&payload)
        .build();
    let image = image.expect("a payload of this size fits");
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nx-version: 2.0.0\r\n\r\n",
        image.len()
    );
    let answer = [head.as_bytes(), &image].concat();
    let offer = Offer {
        length: image.len() as u32,
        sha256: Sha256::digest(&image).into(),
    };

    let written = Rc::new(Cell::new(0));
    let flash = MemoryFlash {
        cells: vec![0xFF; 8 << 20],
        written: Rc::clone(&written),
    };
    measured_update(black_box(flash), black_box(&answer), black_box(offer));
    println!("image {} written {}", image.len(), written.get());
    ExitCode::SUCCESS
}

#[inline(never)]
fn measured_update(flash: MemoryFlash, answer: &[u8], offer: Offer) {
    let slots = [
        Region::new(0x1_0000, 3 << 20),
        Region::new(0x40_0000, 3 << 20),
    ];
    let layout = Layout::new(&slots, Region::new(0xA000, 0x2000));
    let boot = EspOtadata::new(Region::new(0xD000, 0x2000), 2);
    let mut buffer = [0; SECTOR];
    block_on(async {
        let mut updater = Updater::start(flash, boot, layout, Some(0))
            .await
            .expect("the layout is good");
        let check = EspApp::new(ChipId::ESP32);
        let mut download = updater
            .begin(offer, check, &mut buffer)
            .await
            .expect("the offer fits");
        let mut line = [0; 256];
        let mut parser = HeadParser::new(&mut line);
        let mut body = None;
        for mut received in answer.chunks(TCP_SEGMENT) {
            if body.is_none()
                && let Some((head, used)) = parser.push(received).expect("our own answer")
            {
                received = &received[used..];
                body = match head.answer(None) {
                    Ok(Answer::Image { body, .. }) => Some(body),
                    other => panic!("our own answer is an image: {other:?}"),
                };
            }
            if let Some(body) = &mut body {
                download
                    .write(body.push(received))
                    .await
                    .expect("the image is good");
            }
        }
        download.finish().await.expect("the image is good");
        updater.activate().await.expect("it is staged");
    });
}

/// Memory that is erased and programmed like a NOR flash, without any bookkeeping but the bytes programmed.
struct MemoryFlash {
    cells: Vec<u8>,
    written: Rc<Cell<usize>>,
}

impl ErrorType for MemoryFlash {
    type Error = Infallible;
}

impl ReadNorFlash for MemoryFlash {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Infallible> {
        let offset = offset as usize;
        bytes.copy_from_slice(&self.cells[offset..offset + bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.cells.len()
    }
}

impl NorFlash for MemoryFlash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = SECTOR;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Infallible> {
        self.cells[from as usize..to as usize].fill(0xFF);
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Infallible> {
        let offset = offset as usize;
        self.cells[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.written.set(self.written.get() + bytes.len());
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
