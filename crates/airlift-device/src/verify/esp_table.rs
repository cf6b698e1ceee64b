//! Partition tables of ESP-IDF.

use airlift_formats::esp::partition_table::{PartitionTable, Rules, TABLE_LEN};
use sha2::{Digest as _, Sha256};

use super::{Checker, ImageCheck};
use crate::Refusal;
use crate::flash::Region;
use crate::install::EspLayout;

/// Takes partition tables that a running device survives: strict ones, in which the running app, the boot selection and the journal are where they
/// are now.
///
/// The number of slots stays, too: the boot loader takes the sequence numbers in the boot selection modulo that number, so that with another one
/// they would name another slot.
#[derive(Clone, Copy, Debug)]
pub struct EspTable {
    /// What a table has to obey on this flash.
    pub rules: Rules,
    /// Where things are now.
    pub layout: EspLayout,
    /// The slot that runs; `None`: the factory app.
    pub running: Option<u8>,
}

impl EspTable {
    fn check(&self, bytes: &[u8]) -> Result<(), Refusal> {
        let table = PartitionTable::parse(bytes, &self.rules);
        let layout = table.ok().and_then(|table| EspLayout::new(&table).ok());
        let now = self.layout.layout();
        let keeps = layout.is_some_and(|layout| {
            let new = layout.layout();
            let runs_on = match self.running.map(usize::from) {
                Some(slot) => new.slots.get(slot) == now.slots.get(slot),
                None => new.factory == now.factory,
            };
            runs_on
                && new.slots.len() == now.slots.len()
                && new.journal == now.journal
                && layout.otadata == self.layout.otadata
        });
        if keeps {
            Ok(())
        } else {
            Err(Refusal::PartitionTable)
        }
    }
}

impl ImageCheck for EspTable {
    type Checker = EspTableChecker;

    /// All of it.
    const PREFIX: usize = TABLE_LEN;

    fn check_prefix(&self, prefix: &[u8], _length: u32) -> Result<(), Refusal> {
        self.check(prefix)
    }

    fn checker(&self, _slot: Region, _length: u32) -> EspTableChecker {
        EspTableChecker {
            check: *self,
            table: [0; TABLE_LEN],
            at: 0,
            digest: Sha256::new(),
        }
    }
}

/// The [`Checker`] of [`EspTable`]. It judges the table again as it lies in flash: a table that was staged long ago may not suit what runs today.
pub struct EspTableChecker {
    check: EspTable,
    table: [u8; TABLE_LEN],
    at: usize,
    digest: Sha256,
}

impl Checker for EspTableChecker {
    fn update(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.digest.update(bytes);
        let free = self.table.get_mut(self.at..).unwrap_or_default();
        for (to, from) in free.iter_mut().zip(bytes) {
            *to = *from;
            self.at += 1;
        }
        Ok(())
    }

    fn finish(self) -> Result<[u8; 32], Refusal> {
        self.check
            .check(self.table.get(..self.at).unwrap_or_default())?;
        Ok(self.digest.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use airlift_formats::esp::partition_table::{Options, csv};

    use super::*;

    const FLASH: u32 = 4 << 20;
    const NOW: &str = "\
        nvs, data, nvs, 0x9000, 16K
        otadata, data, ota, 0xd000, 8K
        ota_0, app, ota_0, 0x10000, 1M
        ota_1, app, ota_1, 0x110000, 1M
        storage, data, spiffs, 0x210000, 64K
        airlift, data, undefined, 0x3fc000, 16K";

    fn table(text: &str) -> Vec<u8> {
        let compiled = csv::compile(text.as_bytes(), &Options::default(), &|_| None);
        compiled.unwrap().binary().to_vec()
    }

    fn check() -> EspTable {
        let rules = Rules::new(FLASH);
        let now = table(NOW);
        let layout = EspLayout::new(&PartitionTable::parse(&now, &rules).unwrap()).unwrap();
        EspTable {
            rules,
            layout,
            running: Some(0),
        }
    }

    fn judge(bytes: &[u8]) -> Result<(), Refusal> {
        let check = check();
        let prefix = bytes.get(..EspTable::PREFIX).unwrap_or(bytes);
        let before = check.check_prefix(prefix, bytes.len() as u32);
        let mut checker = check.checker(Region::new(0x8000, 0x1000), bytes.len() as u32);
        for piece in bytes.chunks(100) {
            checker.update(piece)?;
        }
        let after = checker.finish();
        assert_eq!(before.is_ok(), after.is_ok(), "judged alike both times");
        if let Ok(digest) = after {
            assert_eq!(digest, <[u8; 32]>::from(Sha256::digest(bytes)));
        }
        before
    }

    #[test]
    fn a_table_may_change_what_the_engine_does_not_stand_on() {
        let larger = NOW.replace("0x210000, 64K", "0x210000, 1M");
        let other_slot = NOW.replace("0x110000, 1M", "0x120000, 960K");
        for text in [NOW, &larger, &other_slot] {
            assert_eq!(judge(&table(text)), Ok(()), "{text}");
        }
        // A dump of the whole sector.
        let mut sector = table(NOW);
        sector.resize(0x1000, 0xFF);
        assert_eq!(judge(&sector), Ok(()));
    }

    #[test]
    fn a_table_that_would_leave_the_device_lost_is_refused() {
        for (what, text) in [
            (
                "the running slot moves",
                NOW.replace("0x10000, 1M", "0x20000, 960K"),
            ),
            (
                "the running slot shrinks",
                NOW.replace("0x10000, 1M", "0x10000, 512K"),
            ),
            ("otadata moves", NOW.replace("0xd000, 8K", "0xe000, 8K")),
            ("the journal moves", NOW.replace("0x3fc000", "0x3f8000")),
            (
                "the journal has another name",
                NOW.replace("airlift,", "journal,"),
            ),
            (
                "another number of slots: the same sequence number is another slot",
                NOW.replace("airlift,", "ota_2, app, ota_2, 0x230000, 1M\nairlift,"),
            ),
        ] {
            assert_eq!(judge(&table(&text)), Err(Refusal::PartitionTable), "{what}");
        }
    }

    #[test]
    fn what_is_no_table_is_refused() {
        let mut flipped = table(NOW);
        flipped[40] ^= 1;
        let good = table(NOW);
        for bytes in [
            &[0xFF; TABLE_LEN][..],
            b"nvs, data, nvs",
            &flipped,
            &good[..96],
            &[],
        ] {
            assert_eq!(judge(bytes), Err(Refusal::PartitionTable));
        }
    }
}
