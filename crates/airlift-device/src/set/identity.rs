//! Is an image for this device?

use airlift_formats::matter::image::Header;

use crate::Refusal;
use crate::error::Mismatch;

/// Who the device is, for what the header of an image says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its vendor.
    pub vendor: u16,
    /// Its product.
    pub product: u16,
    /// The version that it has.
    pub version: u32,
    /// An image may bring a lower version, or the same.
    pub allows_downgrade: bool,
}

impl Identity {
    /// Compares with a header, in which 0 is any vendor or product.
    pub(super) fn check(&self, header: &Header<'_>) -> Result<(), Refusal> {
        let is_for = |wanted: u16, own: u16| wanted == 0 || wanted == own;
        let (least, most) = (
            header.min_applicable_software_version,
            header.max_applicable_software_version,
        );
        let mismatch = if !is_for(header.vendor_id, self.vendor) {
            Mismatch::Vendor
        } else if !is_for(header.product_id, self.product) {
            Mismatch::Product
        } else if header.software_version <= self.version && !self.allows_downgrade {
            Mismatch::Downgrade
        } else if least.is_some_and(|least| self.version < least) {
            Mismatch::BelowMinimum
        } else if most.is_some_and(|most| self.version > most) {
            Mismatch::AboveMaximum
        } else {
            return Ok(());
        };
        Err(Refusal::Identity(mismatch))
    }
}
