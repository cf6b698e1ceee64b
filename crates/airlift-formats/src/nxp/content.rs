//! What the values of parts are made of.

use super::tag;

/// What a value is made of, by its tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Content {
    /// The application: a descriptor, then the image.
    Application,
    /// The second-stage boot loader: a descriptor, then the image.
    Bootloader,
    /// Factory data: a Matter TLV structure without descriptor.
    FactoryData,
    /// One of the tags 4 to 11: by convention a descriptor, then an image.
    Extra,
    /// One of the tags from 100: whatever its processor expects, often a descriptor and a file.
    Custom,
    /// Airlift's own: what the other parts are, and what they need.
    Manifest,
    /// A reserved tag that nobody has given a meaning.
    Unassigned,
}

impl Content {
    /// What the value with this tag is made of.
    #[must_use]
    pub const fn of(tag: u32) -> Self {
        match tag {
            tag::APPLICATION => Self::Application,
            tag::BOOTLOADER => Self::Bootloader,
            tag::FACTORY_DATA => Self::FactoryData,
            tag::FIRST_EXTRA..=tag::LAST_EXTRA => Self::Extra,
            tag::MANIFEST => Self::Manifest,
            tag::FIRST_CUSTOM.. => Self::Custom,
            _ => Self::Unassigned,
        }
    }

    /// Whether it has to start with a descriptor.
    #[must_use]
    pub const fn has_descriptor(self) -> bool {
        matches!(self, Self::Application | Self::Bootloader)
    }

    /// Words for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Bootloader => "boot loader",
            Self::FactoryData => "factory data",
            Self::Extra => "extra image",
            Self::Custom => "custom",
            Self::Manifest => "manifest",
            Self::Unassigned => "unassigned",
        }
    }
}
