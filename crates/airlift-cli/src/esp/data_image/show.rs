//! `airlift esp data-image show`: all there is, also of a file that is refused.

use std::{
    fmt::{Display, Write as _},
    path::Path,
};

use airlift_formats::esp::{
    app_image::{ChipId, ImageError, MAGIC},
    data_image::{DataImage, DataImageError, HEADER_LEN, View, idf_verdict},
};
use serde_json::{Value, json};

use super::{length_note, print, spi_mode_note};
use crate::output::Look;

/// Flash is erased in sectors of this size.
const SECTOR_LEN: usize = 4096;

pub(super) fn run(
    path: &Path,
    bytes: &[u8],
    chip: Option<ChipId>,
    as_json: bool,
) -> anyhow::Result<()> {
    let shown = Shown::of(bytes, chip);
    if as_json {
        print(&format!("{:#}\n", shown.to_json()))?;
    } else {
        print(&shown.to_text(Look::stdout(), path))?;
    }
    match shown.verdict {
        Ok(()) => Ok(()),
        Err(error) => Err(anyhow::Error::new(error).context(path.display().to_string())),
    }
}

struct Shown<'a> {
    view: View<'a>,
    verdict: Result<(), DataImageError>,
    /// Why ESP-IDF refuses to boot it; none if it does not.
    idf_refusal: Option<ImageError>,
    /// Of a file that starts like an image.
    chip: Option<ChipId>,
    notes: Vec<String>,
}

impl<'a> Shown<'a> {
    fn of(bytes: &'a [u8], chip: Option<ChipId>) -> Self {
        let view = View(bytes);
        let verdict = DataImage::parse(bytes).and_then(|image| match chip {
            Some(chip) => image.check_chip(chip),
            None => Ok(()),
        });
        let header = view.header().filter(|header| header.magic == MAGIC);
        let notes = match verdict {
            // What would be said about data is not true of something else.
            Err(error) if !matches!(error, DataImageError::Chip { .. }) => Vec::new(),
            _ => [length_note(view), spi_mode_note(view), dump_note(bytes)]
                .into_iter()
                .flatten()
                .collect(),
        };
        Self {
            view,
            verdict,
            idf_refusal: idf_verdict(bytes).err(),
            chip: header.map(|header| header.chip),
            notes,
        }
    }

    fn preview(&self) -> String {
        self.view.preview().escape_ascii().to_string()
    }

    fn to_json(&self) -> Value {
        let error = self.verdict.err();
        let len = self.view.data_len();
        json!({
            "safe": error.is_none(),
            "error": error.map(|error| error.token()),
            "message": error.map(|error| error.to_string()),
            "idf_refusal": self.idf_refusal.map(|refusal| refusal.idf_log(0).to_string()),
            "chip": self.chip.and_then(ChipId::target),
            "chip_id": self.chip.map(|chip| chip.0),
            "file_len": self.view.0.len(),
            "data_offset": HEADER_LEN,
            "data_len": len.exact(),
            "data_len_min": len.least,
            "data_len_max": len.most,
            "starts_with": self.preview(),
            "spi_mode_byte": self.view.spi_mode_hazard().unwrap_or_default(),
            "notes": self.notes,
        })
    }

    fn to_text(&self, look: Look, path: &Path) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write_text(&mut out, look, path);
        out
    }

    fn write_text(&self, out: &mut String, look: Look, path: &Path) -> std::fmt::Result {
        let mut line = |name: &str, value: &dyn Display| writeln!(out, "{name:<16} {value}");
        line("file", &path.display())?;
        line("bytes", &self.view.0.len())?;
        if let Some(chip) = self.chip {
            line("chip", &format_args!("{chip} (number {})", chip.0))?;
            let len = self.view.data_len();
            match len.exact() {
                Some(exact) => line("data", &format_args!("{exact} bytes"))?,
                None => line("data", &format_args!("{} to {} bytes", len.least, len.most))?,
            }
            line("starts with", &format_args!("\"{}\"", self.preview()))?;
        }
        match &self.idf_refusal {
            Some(refusal) => line(
                "ESP-IDF",
                &format_args!("refuses to boot it: {}", refusal.idf_log(0)),
            )?,
            None => line("ESP-IDF", &look.bad("verifies it and would boot it"))?,
        }
        writeln!(out)?;
        for note in &self.notes {
            writeln!(out, "{} {note}", look.warn("note:"))?;
        }
        match self.verdict {
            Ok(()) => writeln!(out, "{}", look.good("safe")),
            Err(error) => writeln!(out, "{} {error}", look.bad("REFUSED:")),
        }
    }
}

/// What is to be said about erased flash at the end, which a dump of a slot has.
fn dump_note(bytes: &[u8]) -> Option<String> {
    let data = bytes.iter().rposition(|byte| *byte != 0xFF)? + 1;
    let erased = bytes.len() - data;
    let is_dump = bytes.len().is_multiple_of(SECTOR_LEN) && erased >= 16;
    is_dump.then(|| {
        format!("the last {erased} bytes are 0xff: if this was read from a slot, they are erased flash and not data")
    })
}
