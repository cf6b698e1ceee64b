//! The example of `docs/sets.md`: a part that lives in another flash, with two places and a note of which one is used.

use airlift_device::set::{Failed, Processor, Step};
use airlift_sim::flash::{Cut, CutKind, Flash, Geometry, Model, Nor, SimFlash, block_on};
use embedded_storage_async::nor_flash::NorFlash;

const PLACE: u32 = 0x4000;

// The processor. Behind the two places there is a sector of notes: each word that is programmed switches from one place to the other.

/// The flash, the place that is staged, and how far.
struct Maps<F>(F, u32, u32);

impl<F: NorFlash> Maps<F> {
    async fn switches(&mut self) -> Result<u32, Failed> {
        let (mut number, mut word) = (0, [0; 4]);
        while word != [0xFF; 4] {
            self.0.read(2 * PLACE + number * 4, &mut word).await?;
            number += 1;
        }
        Ok(number - 1)
    }
}

impl<F: NorFlash> Processor for Maps<F> {
    fn tag(&self) -> u32 {
        100
    }

    async fn begin(&mut self, length: u32) -> Result<(), Failed> {
        let switches = self.switches().await?;
        (self.1, self.2) = ((switches + 1) % 2 * PLACE, 4);
        self.0.erase(self.1, self.1 + PLACE).await?;
        // The staged place starts with the number of switches at which it was staged, so that each step can come again.
        self.0.write(self.1, &switches.to_le_bytes()).await?;
        if length <= PLACE - 4 {
            Ok(())
        } else {
            Err(Failed)
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        self.0.write(self.1 + self.2, bytes).await?;
        self.2 += bytes.len() as u32;
        Ok(())
    }

    async fn step(&mut self, step: Step) -> Result<(), Failed> {
        let (switches, mut note) = (self.switches().await?, [0; 4]);
        let applied = u32::from(step == Step::Revert);
        self.0
            .read((switches + 1 + applied) % 2 * PLACE, &mut note)
            .await?;
        if u32::from_le_bytes(note) == switches.wrapping_sub(applied) {
            self.0.write(2 * PLACE + switches * 4, &[0; 4]).await?;
        }
        Ok(())
    }
}

// The end of the processor.

fn flash() -> SimFlash<4, 4096> {
    let nor = Nor::new(Geometry::new(4, 4096, 0x9000).unwrap(), Model::Once);
    Flash::new(nor).typed().unwrap()
}

fn used(flash: &SimFlash<4, 4096>) -> Vec<u8> {
    let switches = block_on(Maps(flash.clone(), 0, 0).switches()).unwrap();
    let place = switches % 2 * PLACE + 4;
    flash.flash().lock().cells()[place as usize..][..4].to_vec()
}

fn stage(flash: &SimFlash<4, 4096>, content: &[u8; 4]) {
    let mut maps = Maps(flash.clone(), 0, 0);
    block_on(maps.begin(4)).unwrap();
    block_on(maps.write(content)).unwrap();
    block_on(maps.end()).unwrap();
}

fn step(flash: &SimFlash<4, 4096>, step: Step) -> Result<(), Failed> {
    block_on(Maps(flash.clone(), 0, 0).step(step))
}

#[test]
fn each_step_can_come_again() {
    let flash = flash();
    stage(&flash, b"map1");
    assert_eq!(used(&flash), [0xFF; 4]);
    for _ in 0..3 {
        assert_eq!(step(&flash, Step::Apply), Ok(()));
        assert_eq!(used(&flash), b"map1");
    }
    stage(&flash, b"map2");
    assert_eq!(used(&flash), b"map1");
    // A cut within the step, then the step again at the next boot.
    flash.flash().lock().arm(Cut::at_word(0, CutKind::Clean));
    assert_eq!(step(&flash, Step::Apply), Err(Failed));
    flash.flash().lock().power_on();
    assert_eq!(used(&flash), b"map1");
    assert_eq!(step(&flash, Step::Apply), Ok(()));
    assert_eq!(used(&flash), b"map2");
    for _ in 0..3 {
        assert_eq!(step(&flash, Step::Revert), Ok(()));
        assert_eq!(used(&flash), b"map1");
    }
}
