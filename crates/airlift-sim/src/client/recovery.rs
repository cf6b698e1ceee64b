//! What was in pieces when the device was switched on, and what became of it.

use airlift_device::partition::{
    Content, Damaged, JournalRestore, PartitionState, RestoreMechanism,
};
use embedded_storage_async::nor_flash::NorFlash;

use super::device::{Engine, Observer, Parts};
use super::report::data_of;
use super::{DeviceError, Event};
use crate::flash::block_on;

/// The engine's own mechanism, which remembers what it did.
#[derive(Default)]
pub(super) struct Told {
    restored: Vec<(u32, Content)>,
}

impl RestoreMechanism for Told {
    fn can_restore(&mut self, damaged: &Damaged) -> bool {
        JournalRestore.can_restore(damaged)
    }

    async fn restore<F: NorFlash>(
        &mut self,
        flash: &mut F,
        damaged: &Damaged,
        buffer: &mut [u8],
    ) -> Option<Content> {
        let content = JournalRestore.restore(flash, damaged, buffer).await?;
        self.restored.push((damaged.region.offset, content));
        Some(content)
    }
}

impl Parts {
    /// Says which partitions were made whole.
    pub(super) fn tell_of_recovery(&self, told: &Told, on: &mut Observer<'_>) {
        for (offset, content) in &told.restored {
            on(&Event::PartitionRecovered {
                partition: self.name_of(*offset),
                content: match content {
                    Content::New => "new",
                    Content::Old => "old",
                },
            });
        }
    }

    /// Says which partitions are not whole, and that data are missing.
    pub(super) fn tell_of_damage(
        &self,
        updater: &mut Engine<'_>,
        on: &mut Observer<'_>,
    ) -> Result<(), DeviceError> {
        for (name, partition) in &self.named {
            let state = block_on(updater.partition_state(partition))?;
            if let PartitionState::Damaged {
                offer,
                durable,
                copy,
            } = state
            {
                on(&Event::PartitionDamaged {
                    partition: name.clone(),
                    durable,
                    size: offer.length,
                    copy,
                });
            }
        }
        if let Some(data) = data_of(updater)?
            && data.state != "present"
        {
            on(&Event::DataMissing {
                version: data.version,
                size: data.size,
                source: data.source,
                durable: data.durable,
            });
        }
        Ok(())
    }
}
