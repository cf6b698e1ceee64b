//! `airlift image verify`: a verdict and an exit code.

use std::path::PathBuf;

use airlift_formats::matter::image::Header;

use super::inspection::{Inspection, Options, PayloadKind};
use super::{LegacyKey, read};
use crate::output::{self, Look};

/// Verify an image; the exit code is 0 only if every check holds
///
/// Checked are: magic, sizes, the fields of the header, their order, types and lengths, the digest over the payload, and that
/// nothing follows. With parts in the payload: their tags, that none comes twice, lengths, descriptors, the fields of factory
/// data, and that the last part ends with the payload.
#[derive(clap::Args)]
pub(crate) struct Verify {
    /// The image
    file: PathBuf,
    /// What the payload has to be
    #[arg(long, value_enum, default_value = "auto", hide_possible_values = false)]
    payload: PayloadKind,
    /// Accept what the reference's header parser accepts; the payload has to be whole and its digest right all the same
    #[arg(long)]
    lenient: bool,
    #[command(flatten)]
    key: LegacyKey,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let bytes = read(&self.file)?;
        let key = self.key.take();
        let options = Options {
            payload: match (self.payload, key) {
                (PayloadKind::Auto, key) => Options::strict(key).payload,
                (asked, _) => asked,
            },
            lenient: self.lenient,
            key,
        };
        let inspection = Inspection::of(&bytes, options);
        if self.json {
            output::print(&format!("{:#}\n", inspection.to_json()));
        }
        if let Some(fault) = inspection.fault {
            return Err(anyhow::Error::new(fault).context(self.file.display().to_string()));
        }
        if let (false, Ok(header)) = (self.json, &inspection.header) {
            let look = Look::stdout();
            let mut text = format!(
                "{}: {}: {}\n",
                self.file.display(),
                look.good("good"),
                describe(header, &inspection)
            );
            for remark in header.remarks() {
                text += &format!("  note     {remark}\n");
            }
            output::print(&text);
        }
        Ok(())
    }
}

/// One line about a good image.
fn describe(header: &Header<'_>, inspection: &Inspection<'_>) -> String {
    let digest = header
        .digest_algorithm()
        .map_or("digest", |algorithm| algorithm.name());
    let parts = match &inspection.parts {
        None => "raw payload".to_owned(),
        Some(parts) if parts.is_empty() => "no parts".to_owned(),
        Some(parts) => {
            let names: Vec<String> = parts
                .iter()
                .map(|part| format!("{} {}", part.tlv.tag, part.content.name()))
                .collect();
            format!("parts: {}", names.join(", "))
        }
    };
    format!(
        "vendor {:#06x}, product {:#06x}, version {} ({}), {} bytes of payload, {digest} right, {parts}",
        header.vendor_id,
        header.product_id,
        header.software_version,
        header.software_version_string,
        output::grouped(header.payload_size),
    )
}
