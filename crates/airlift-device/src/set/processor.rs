//! What takes the bytes of one part that the engine does not keep itself.

use super::super::{NorFlashError, dual};
use crate::{Offer, Refusal};

/// What a processor is to do with a part that it staged. Each step can come again after a power cut, over whatever the first time has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make it what is used.
    Apply,
    /// Make what was used before it what is used again.
    Revert,
}

/// A part that comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartOffer {
    /// Its bytes, without the descriptor.
    pub length: u32,
    /// The digest of the image that it comes in: what is staged of a part belongs to one image. 32 bytes of it, or all, and zeros behind.
    pub image: [u8; 32],
    /// Its own SHA-256, without the descriptor, if the image has a manifest.
    pub sha256: Option<[u8; 32]>,
}

/// What a processor has of its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copy {
    /// What is in use.
    Used,
    /// What was staged last.
    Staged,
}

/// Takes the parts with one tag: into another flash, to another chip. What goes into the device's own flash needs none, but a
/// [`Part`](super::Part).
///
/// The life of a part: [`descriptor`](Self::descriptor), [`begin`](Self::begin), [`write`](Self::write) as often as it takes, [`end`](Self::end); then, when all parts of
/// the set are staged and the image is whole, [`step`](Self::step). If the image is refused before that, [`abort`](Self::abort).
///
/// A processor that can be asked for its bytes by [`read`](Self::read) is spared work: what it staged is compared with what came; with
/// [`holds`](Self::holds), what it has already is not fetched; with [`open`](Self::open), a download that was interrupted goes on.
/// [`TwoPlaces`](super::TwoPlaces) has all of that, for a part in another flash.
#[dual(AFIT)]
#[allow(async_fn_in_trait)] // As in `BootControl`.
pub trait Processor {
    /// The tag.
    fn tag(&self) -> u32;

    /// Bytes at the start of the value that describe it; at most [`DESCRIPTOR_LEN`](airlift_formats::nxp::DESCRIPTOR_LEN).
    fn descriptor_len(&self) -> usize {
        0
    }

    /// Sees the descriptor, and may veto the part, before anything is begun.
    ///
    /// # Errors
    /// The set is refused with this.
    fn descriptor(&mut self, _descriptor: &[u8]) -> Result<(), Refusal> {
        Ok(())
    }

    /// Whether what is in use has this content, and nothing else: then it is neither staged nor applied.
    async fn holds(&mut self, _content: &Offer) -> bool {
        false
    }

    /// Goes on with a part that was interrupted, from the byte that this returns, or [begins](Self::begin) it, and returns 0.
    async fn open(&mut self, part: &PartOffer) -> Result<u32, Failed> {
        self.begin(part.length).await?;
        Ok(0)
    }

    /// A part of `length` bytes, without its descriptor, from the start.
    async fn begin(&mut self, length: u32) -> Result<(), Failed>;

    /// Fills `bytes` with what it has from `at` on. `Ok(false)`: it cannot be asked.
    async fn read(&mut self, _copy: Copy, _at: u32, _bytes: &mut [u8]) -> Result<bool, Failed> {
        Ok(false)
    }

    /// The next bytes.
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Failed>;

    /// All bytes were given: the part is durable now, and not in use.
    async fn end(&mut self) -> Result<(), Failed> {
        Ok(())
    }

    /// The image is refused; nothing of it was applied, and nothing will go on with it.
    async fn abort(&mut self) {}

    /// Applies or reverts what was staged. [`Step::Revert`] can come without `Apply`: then there is nothing to revert.
    async fn step(&mut self, step: Step) -> Result<(), Failed>;
}

/// A processor could not do it. Errors of a flash become this with `?`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

impl<E: NorFlashError> From<E> for Failed {
    fn from(_: E) -> Self {
        Self
    }
}

/// The processors of a device: `()`, one, or a tuple of up to eight. [`SetDownload::new`](super::SetDownload::new) refuses two with one tag.
#[dual(AFIT)]
#[allow(async_fn_in_trait)] // As in `BootControl`.
pub trait Processors {
    /// How many there are at most.
    const LEN: usize;

    /// The tag of the one with this index; `None`: there is none with it.
    fn tag(&self, index: usize) -> Option<u32>;

    /// Bytes of descriptor that it wants.
    fn descriptor_len(&self, tag: u32) -> usize;

    /// See [`Processor::descriptor`].
    ///
    /// # Errors
    /// What the processor says.
    fn descriptor(&mut self, tag: u32, descriptor: &[u8]) -> Result<(), Refusal>;

    /// See [`Processor::holds`].
    async fn holds(&mut self, _tag: u32, _content: &Offer) -> bool {
        false
    }

    /// See [`Processor::open`].
    async fn open(&mut self, tag: u32, part: &PartOffer) -> Result<u32, Failed> {
        self.begin(tag, part.length).await?;
        Ok(0)
    }

    /// See [`Processor::read`].
    async fn read(
        &mut self,
        _tag: u32,
        _copy: Copy,
        _at: u32,
        _bytes: &mut [u8],
    ) -> Result<bool, Failed> {
        Ok(false)
    }

    /// See [`Processor::begin`].
    async fn begin(&mut self, tag: u32, length: u32) -> Result<(), Failed>;

    /// See [`Processor::write`].
    async fn write(&mut self, tag: u32, bytes: &[u8]) -> Result<(), Failed>;

    /// See [`Processor::end`].
    async fn end(&mut self, tag: u32) -> Result<(), Failed>;

    /// See [`Processor::abort`].
    async fn abort(&mut self, tag: u32);

    /// See [`Processor::step`].
    async fn step(&mut self, tag: u32, step: Step) -> Result<(), Failed>;
}

macro_rules! registry {
    ($($processor:ident $field:tt),*) => {
        #[dual(AFIT)]
        #[allow(unused_variables)]
        impl<$($processor: Processor),*> Processors for ($($processor,)*) {
            const LEN: usize = 0 $(+ { let _ = stringify!($field); 1 })*;

            fn tag(&self, index: usize) -> Option<u32> {
                $(
                    if index == $field {
                        return Some(self.$field.tag());
                    }
                )*
                None
            }

            fn descriptor_len(&self, tag: u32) -> usize {
                $(
                    if tag == self.$field.tag() {
                        return self.$field.descriptor_len();
                    }
                )*
                0
            }

            fn descriptor(&mut self, tag: u32, descriptor: &[u8]) -> Result<(), Refusal> {
                $(
                    if tag == self.$field.tag() {
                        return self.$field.descriptor(descriptor);
                    }
                )*
                Ok(())
            }

            async fn holds(&mut self, tag: u32, content: &Offer) -> bool {
                $(
                    if tag == self.$field.tag() {
                        return self.$field.holds(content).await;
                    }
                )*
                false
            }

            async fn open(&mut self, tag: u32, part: &PartOffer) -> Result<u32, Failed> {
                $(
                    if tag == self.$field.tag() {
                        return self.$field.open(part).await;
                    }
                )*
                Err(Failed)
            }

            async fn read(
                &mut self,
                tag: u32,
                copy: Copy,
                at: u32,
                bytes: &mut [u8],
            ) -> Result<bool, Failed> {
                $(
                    if tag == self.$field.tag() {
                        return self.$field.read(copy, at, bytes).await;
                    }
                )*
                Ok(false)
            }

            async fn begin(&mut self, tag: u32, length: u32) -> Result<(), Failed> {
                $(
                    if tag == self.$field.tag() {
                        return self.$field.begin(length).await;
                    }
                )*
                Err(Failed)
            }

            async fn write(&mut self, tag: u32, bytes: &[u8]) -> Result<(), Failed> {
                $(
                    if tag == self.$field.tag() {
                        return self.$field.write(bytes).await;
                    }
                )*
                Err(Failed)
            }

            async fn end(&mut self, tag: u32) -> Result<(), Failed> {
                $(
                    if tag == self.$field.tag() {
                        return self.$field.end().await;
                    }
                )*
                Err(Failed)
            }

            async fn abort(&mut self, tag: u32) {
                $(
                    if tag == self.$field.tag() {
                        self.$field.abort().await;
                    }
                )*
            }

            async fn step(&mut self, tag: u32, step: Step) -> Result<(), Failed> {
                $(
                    if tag == self.$field.tag() {
                        return self.$field.step(step).await;
                    }
                )*
                Err(Failed)
            }
        }
    };
}

registry!();
registry!(A 0);
registry!(A 0, B 1);
registry!(A 0, B 1, C 2);
registry!(A 0, B 1, C 2, D 3);
registry!(A 0, B 1, C 2, D 3, E 4);
registry!(A 0, B 1, C 2, D 3, E 4, G 5);
registry!(A 0, B 1, C 2, D 3, E 4, G 5, H 6);
registry!(A 0, B 1, C 2, D 3, E 4, G 5, H 6, I 7);
