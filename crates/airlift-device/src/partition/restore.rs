//! What makes a partition whole again at boot.

use super::super::set::Step;
use super::super::{NorFlash, dual};
use super::{Damaged, copy, digest_of};

/// What a partition holds after it was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// What the interrupted update was to bring.
    New,
    /// What was there before, or anything else that the application is content with.
    Old,
}

/// A way to make a partition whole. Mechanisms are registered by handing them to [`Updater::recover`](super::Updater::recover): one, or a tuple
/// of up to four, tried from left to right.
///
/// ```
/// use airlift_device::partition::{Content, Damaged, JournalRestore, RestoreMechanism};
/// use embedded_storage_async::nor_flash::NorFlash;
///
/// /// Writes the settings that the device left the factory with.
/// struct FactorySettings;
///
/// impl RestoreMechanism for FactorySettings {
///     fn can_restore(&mut self, damaged: &Damaged) -> bool {
///         damaged.region.offset == 0x9000
///     }
///
///     async fn restore<F: NorFlash>(&mut self, flash: &mut F, damaged: &Damaged, _buffer: &mut [u8]) -> Option<Content> {
///         let start = damaged.region.offset;
///         flash.erase(start, start + damaged.region.len).await.ok()?;
///         flash.write(start, &[0x55; 64]).await.ok()?;
///         Some(Content::Old)
///     }
/// }
///
/// let mechanisms = (JournalRestore, FactorySettings);
/// # let _ = mechanisms;
/// ```
#[dual(AFIT)]
#[allow(async_fn_in_trait)] // As in `BootControl`.
pub trait RestoreMechanism {
    /// Whether it knows what this partition should hold. Only then will it be asked to, and what was fetched of the update is given up.
    fn can_restore(&mut self, damaged: &Damaged) -> bool;

    /// Whether sets are finished or undone at boot: so with [`SetRestore`](crate::set::SetRestore), which every device registers that updates sets.
    #[doc(hidden)]
    const KNOWS_SETS: bool = false;

    /// Has the processor of a custom part do its step. `false`: it could not, or there is none.
    #[doc(hidden)]
    async fn custom(&mut self, _tag: u32, _step: Step) -> bool {
        false
    }

    /// Makes the partition whole; `None`: it could not, and the next one is asked. After a power cut in the middle it is called again, over a
    /// partition in any state.
    async fn restore<F: NorFlash>(
        &mut self,
        flash: &mut F,
        damaged: &Damaged,
        buffer: &mut [u8],
    ) -> Option<Content>;
}

/// Copies back the copy that the journal names, old content or new.
#[derive(Clone, Copy, Debug, Default)]
pub struct JournalRestore;

#[dual(AFIT)]
impl RestoreMechanism for JournalRestore {
    fn can_restore(&mut self, damaged: &Damaged) -> bool {
        damaged.copy.is_some() && !damaged.resumes
    }

    async fn restore<F: NorFlash>(
        &mut self,
        flash: &mut F,
        damaged: &Damaged,
        buffer: &mut [u8],
    ) -> Option<Content> {
        let good = damaged.copy?;
        let (length, sha256) = (good.content.length, good.content.sha256);
        // Before the partition is erased: a copy that has rotted is none, and what is left of the partition may be better.
        let found = digest_of(flash, good.place, length, buffer).await.ok()?;
        if found != sha256 {
            return None;
        }
        copy(flash, good.place, length, damaged.region, true, buffer)
            .await
            .ok()?;
        let found = digest_of(flash, damaged.region, length, buffer)
            .await
            .ok()?;
        (found == sha256).then_some(if good.is_new {
            Content::New
        } else {
            Content::Old
        })
    }
}

macro_rules! in_order {
    ($($mechanism:ident $field:tt),*) => {
        #[dual(AFIT)]
        impl<$($mechanism: RestoreMechanism),*> RestoreMechanism for ($($mechanism,)*) {
            const KNOWS_SETS: bool = false $(|| $mechanism::KNOWS_SETS)*;

            async fn custom(&mut self, tag: u32, step: Step) -> bool {
                $(
                    if self.$field.custom(tag, step).await {
                        return true;
                    }
                )*
                false
            }

            fn can_restore(&mut self, damaged: &Damaged) -> bool {
                false $(|| self.$field.can_restore(damaged))*
            }

            async fn restore<F: NorFlash>(
                &mut self,
                flash: &mut F,
                damaged: &Damaged,
                buffer: &mut [u8],
            ) -> Option<Content> {
                $(
                    if self.$field.can_restore(damaged)
                        && let Some(content) = self.$field.restore(flash, damaged, buffer).await
                    {
                        return Some(content);
                    }
                )*
                None
            }
        }
    };
}

in_order!(A 0);
in_order!(A 0, B 1);
in_order!(A 0, B 1, C 2);
in_order!(A 0, B 1, C 2, D 3);
