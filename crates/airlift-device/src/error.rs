//! What can go wrong, and whose fault it is.

use core::fmt;

use airlift_formats::esp::app_image::ImageError;
use airlift_formats::matter::image::OtaImageError;
use airlift_formats::nxp::{FactoryDataError, PayloadError};

/// Why an offered image was not installed. What ran before runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The running app is itself on trial: it must be confirmed or rejected first.
    TrialPending,
    /// There is no slot but the running one.
    NoSlot,
    /// An image of no bytes.
    Empty,
    /// The image does not fit into the slot.
    TooBig {
        /// Length of the image in bytes.
        length: u32,
        /// Length of the slot in bytes.
        slot: u32,
    },
    /// More bytes came than were announced.
    TooLong,
    /// The bytes that came do not have the announced SHA-256.
    Digest,
    /// The bytes that came were right, those in the flash are not.
    ReadBack,
    /// Not a sound image, or not for this chip.
    Image(ImageError),
    /// An image of another project.
    Project,
    /// The image's security version is lower than the device allows.
    SecureVersion {
        /// What the image has.
        image: u32,
        /// The least that the device allows.
        required: u32,
    },
    /// There is no partition of this name.
    UnknownPartition,
    /// The partition is marked as readonly in the partition table.
    ReadOnly,
    /// The scheme, or the image, is not for partitions of this type.
    WrongKind,
    /// The partition, or the place for its copy, is not whole sectors inside the flash.
    Alignment,
    /// The partition, or the place for its copy, overlaps the running app.
    RunningApp,
    /// The partition overlaps an app slot or the factory app, or the place for its copy overlaps the factory app.
    AppSlot,
    /// The partition, or the place for its copy, overlaps the engine's journal.
    Journal,
    /// The partition, or the place for its copy, overlaps the boot selection.
    BootSelection,
    /// The place for the copy overlaps the partition itself.
    CopyInPartition,
    /// The place for the copy is too small.
    CopyTooBig {
        /// Bytes that must be copied.
        length: u32,
        /// Bytes of the place.
        place: u32,
    },
    /// The bytes of the region are the only good copy of a partition whose update was interrupted: it must be finished, or restored, first.
    HoldsCopy {
        /// Where that partition starts.
        partition: u32,
    },
    /// The place was needed for another update.
    Displaced,
    /// A version or a source of more bytes than the journal keeps.
    DescriptionTooLong,
    /// A set of parts is being applied or undone: see [`Updater::recover`](crate::Updater::recover).
    SetPending,
    /// Two parts of a set have the same tag, or go to the same place.
    Duplicate,
    /// A set of more parts than the journal keeps.
    TooManyParts,
    /// Not a sound Matter OTA image.
    Container(OtaImageError),
    /// The parts in the image are not sound.
    Payload(PayloadError),
    /// The image is for another vendor, product or version.
    Identity(Mismatch),
    /// Not the factory data of a Matter device.
    FactoryData(FactoryDataError),
    /// There is no processor for a part of the image.
    UnknownTag {
        /// Its tag.
        tag: u32,
    },
    /// A processor does not want its part.
    Vetoed {
        /// Its tag.
        tag: u32,
    },
    /// A processor could not stage its part.
    Processor {
        /// Its tag.
        tag: u32,
    },
    /// A partition table that moves what the engine works with, or is no table.
    PartitionTable,
    /// The signature is none over these bytes by a key that the device trusts.
    Signature,
}

impl Refusal {
    /// The number that the journal keeps of it.
    pub const fn code(&self) -> u8 {
        match self {
            Self::TrialPending => 1,
            Self::NoSlot => 2,
            Self::Empty => 3,
            Self::TooBig { .. } => 4,
            Self::TooLong => 5,
            Self::Digest => 6,
            Self::ReadBack => 7,
            Self::Project => 8,
            Self::SecureVersion { .. } => 9,
            Self::UnknownPartition => 10,
            Self::ReadOnly => 11,
            Self::WrongKind => 12,
            Self::Alignment => 13,
            Self::RunningApp => 14,
            Self::AppSlot => 15,
            Self::Journal => 16,
            Self::BootSelection => 17,
            Self::CopyInPartition => 18,
            Self::CopyTooBig { .. } => 19,
            Self::HoldsCopy { .. } => 20,
            Self::Displaced => 21,
            Self::DescriptionTooLong => 22,
            Self::PartitionTable => 23,
            Self::SetPending => 24,
            Self::Duplicate => 25,
            Self::TooManyParts => 26,
            Self::Identity(mismatch) => 27 + *mismatch as u8,
            Self::UnknownTag { .. } => 100,
            Self::Vetoed { .. } => 101,
            Self::Processor { .. } => 102,
            Self::FactoryData(_) => 103,
            Self::Signature => 104,
            // What is wrong with an encoding is more than fits into a byte beside the others.
            Self::Container(error) if error.code() >= 62 => 190,
            Self::Container(error) => 128 + error.code(),
            Self::Payload(error) => 192 + error.code(),
            Self::Image(error) => 32 + error.code(),
        }
    }

    /// The word for [`code`](Self::code) that a report to the server carries.
    pub const fn token(code: u8) -> &'static str {
        match code {
            1 => "trial-pending",
            2 => "no-slot",
            3 => "empty",
            4 => "too-big",
            5 => "too-long",
            6 => "digest",
            7 => "read-back",
            8 => "project",
            9 => "secure-version",
            10 => "unknown-partition",
            11 => "read-only",
            12 => "wrong-kind",
            13 => "alignment",
            14 => "running-app",
            15 => "app-slot",
            16 => "journal",
            17 => "boot-selection",
            18 => "copy-in-partition",
            19 => "copy-too-big",
            20 => "holds-copy",
            21 => "displaced",
            22 => "description-too-long",
            23 => "partition-table",
            24 => "set-pending",
            25 => "duplicate",
            26 => "too-many-parts",
            27 => "other-vendor",
            28 => "other-product",
            29 => "downgrade",
            30 => "version-too-low",
            31 => "version-too-high",
            100 => "unknown-tag",
            101 => "vetoed",
            102 => "processor",
            103 => "factory-data",
            104 => "signature",
            190 => "header-encoding",
            code if code >= 192 => PayloadError::token(code - 192),
            code if code >= 128 => OtaImageError::token(code - 128),
            code if code >= 32 => ImageError::token(code - 32),
            _ => "unknown",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TrialPending => {
                f.write_str("the running app is on trial: confirm or reject it first")
            }
            Self::NoSlot => f.write_str("there is no slot but the running one"),
            Self::Empty => f.write_str("the image is empty"),
            Self::TooBig { length, slot } => {
                write!(
                    f,
                    "the image of {length} bytes does not fit into the slot of {slot} bytes"
                )
            }
            Self::TooLong => f.write_str("more bytes came than were announced"),
            Self::Digest => f.write_str("the bytes that came do not have the announced SHA-256"),
            Self::ReadBack => f.write_str("the flash does not hold what was written to it"),
            Self::Image(error) => error.fmt(f),
            Self::Project => f.write_str("the image is of another project"),
            Self::SecureVersion { image, required } => write!(
                f,
                "the image's security version {image} is below {required}, the least that this device allows"
            ),
            Self::UnknownPartition => f.write_str("there is no partition of this name"),
            Self::ReadOnly => f.write_str("the partition is readonly"),
            Self::WrongKind => f.write_str("the scheme, or the image, is not for partitions of this type"),
            Self::Alignment => f.write_str("the partition, or the place for its copy, is not whole sectors inside the flash"),
            Self::RunningApp => f.write_str("the partition, or the place for its copy, overlaps the running app"),
            Self::AppSlot => f.write_str("the partition overlaps an app slot, or the place for its copy the factory app"),
            Self::Journal => f.write_str("the partition, or the place for its copy, overlaps the journal"),
            Self::BootSelection => f.write_str("the partition, or the place for its copy, overlaps the boot selection"),
            Self::CopyInPartition => f.write_str("the place for the copy overlaps the partition itself"),
            Self::CopyTooBig { length, place } => write!(
                f,
                "the place for the copy has {place} bytes, and {length} must be copied"
            ),
            Self::HoldsCopy { partition } => write!(
                f,
                "the place holds the only good copy of the partition at {partition:#x}, whose update was interrupted: finish or restore that first"
            ),
            Self::Displaced => f.write_str("its place was needed for another update"),
            Self::DescriptionTooLong => f.write_str("the version or the source is too long for the journal"),
            Self::SetPending => f.write_str("a set of parts is being applied or undone"),
            Self::Duplicate => f.write_str("two parts of the set have the same tag, or go to the same place"),
            Self::TooManyParts => f.write_str("the set has more parts than the journal keeps"),
            Self::Container(error) => error.fmt(f),
            Self::FactoryData(error) => error.fmt(f),
            Self::Payload(error) => error.fmt(f),
            Self::Identity(mismatch) => mismatch.fmt(f),
            Self::UnknownTag { tag } => write!(f, "there is no processor for the part with the tag {tag}"),
            Self::Vetoed { tag } => write!(f, "the processor of the tag {tag} does not want its part"),
            Self::Processor { tag } => write!(f, "the processor of the tag {tag} could not stage its part"),
            Self::Signature => f.write_str("the signature is not one over this image by a key that the device trusts"),
            Self::PartitionTable => f.write_str("not a partition table that leaves the running app, the boot selection and the journal where they are"),
        }
    }
}

impl core::error::Error for Refusal {}

/// What an image is not for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u8)]
pub enum Mismatch {
    /// Another vendor's devices.
    Vendor = 0,
    /// Another product.
    Product = 1,
    /// Devices with a lower version than this one has, or the same.
    Downgrade = 2,
    /// Devices that have at least a higher version than this one.
    BelowMinimum = 3,
    /// Devices that have at most a lower version than this one.
    AboveMaximum = 4,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vendor => "the image is for devices of another vendor",
            Self::Product => "the image is for another product",
            Self::Downgrade => "the image's version is not higher than the one that the device has",
            Self::BelowMinimum => "the image needs a higher version on the device than it has",
            Self::AboveMaximum => "the image is for devices with lower versions",
        })
    }
}

impl From<OtaImageError> for Refusal {
    fn from(error: OtaImageError) -> Self {
        Self::Container(error)
    }
}

impl From<PayloadError> for Refusal {
    fn from(error: PayloadError) -> Self {
        Self::Payload(error)
    }
}

impl From<ImageError> for Refusal {
    fn from(error: ImageError) -> Self {
        Self::Image(error)
    }
}

/// Which part of the layout is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayoutError {
    /// The journal is not two or more whole sectors inside the flash.
    Journal,
    /// A slot is not whole sectors inside the flash, overlaps another one or the journal, there are more than 16, or the
    /// running one is not among them.
    Slots,
}

/// Why a call of the engine failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error<E> {
    /// The flash driver failed.
    Flash(E),
    /// The journal does not take what is written to it.
    Journal,
    /// The journal has no room for another unfinished update.
    JournalFull,
    /// A partition is not whole: its update was interrupted, and [`Updater::recover`](crate::Updater::recover) was not called, or a copy could not
    /// be put in its place just now. The next boot's `recover` tries again.
    NotRecovered {
        /// Where the partition starts.
        partition: u32,
    },
    /// The boot selection does not take what is written to it.
    BootSelection,
    /// The regions do not fit the flash or each other.
    Layout(LayoutError),
    /// The caller's buffer is smaller than the image check and the flash need.
    BufferTooSmall,
    /// Not possible in the present [`Status`](crate::Status).
    State,
    /// Not all bytes have come yet; the download can be resumed.
    Incomplete {
        /// Bytes that came.
        have: u32,
        /// Bytes that the image has.
        want: u32,
    },
    /// The image was refused.
    Refused(Refusal),
}

impl<E> From<Refusal> for Error<E> {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl<E> From<LayoutError> for Error<E> {
    fn from(error: LayoutError) -> Self {
        Self::Layout(error)
    }
}

impl<E: fmt::Debug> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flash(error) => write!(f, "the flash failed: {error:?}"),
            Self::Journal => f.write_str("the journal cannot be written"),
            Self::JournalFull => f.write_str(
                "the journal has no room for another unfinished update: finish one, or make its partition larger",
            ),
            Self::NotRecovered { partition } => write!(
                f,
                "the update of the partition at {partition:#x} was interrupted: start the engine with `recover`"
            ),
            Self::BootSelection => f.write_str("the boot selection cannot be written"),
            Self::Layout(LayoutError::Journal) => {
                f.write_str("the journal must be two or more whole sectors inside the flash")
            }
            Self::Layout(LayoutError::Slots) => {
                f.write_str("the slots must be whole sectors inside the flash, apart from each other and the journal")
            }
            Self::BufferTooSmall => f.write_str("the buffer is too small"),
            Self::State => f.write_str("not possible in this state of the update"),
            Self::Incomplete { have, want } => {
                write!(f, "{have} of {want} bytes have come; the download can be resumed")
            }
            Self::Refused(refusal) => refusal.fmt(f),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for Error<E> {}
