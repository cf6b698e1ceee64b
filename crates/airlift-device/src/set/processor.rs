//! What takes the bytes of one part that the engine does not keep itself.

use super::super::{NorFlashError, dual};
use crate::Refusal;

/// What a processor is to do with a part that it staged. Each step can come again after a power cut, over whatever the first time has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make it what is used.
    Apply,
    /// Make what was used before it what is used again.
    Revert,
}

/// Takes the parts with one tag: into another flash, to another chip. What goes into the device's own flash needs none, but a
/// [`Part`](super::Part).
///
/// The life of a part: [`descriptor`](Self::descriptor), [`begin`](Self::begin), [`write`](Self::write) as often as it takes, [`end`](Self::end); then, when all parts of
/// the set are staged and the image is whole, [`step`](Self::step). If anything fails before that, [`abort`](Self::abort).
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

    /// A part of `length` bytes, without its descriptor.
    async fn begin(&mut self, length: u32) -> Result<(), Failed>;

    /// The next bytes.
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Failed>;

    /// All bytes were given: the part is durable now, and not in use.
    async fn end(&mut self) -> Result<(), Failed> {
        Ok(())
    }

    /// The set is given up; nothing of it was applied.
    async fn abort(&mut self) {}

    /// Applies or reverts what was staged.
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
