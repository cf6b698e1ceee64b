//! `airlift esp data-image`: data files for an app slot, for devices of the TWO-STEP OTA demo.
//!
//! Nothing is written that ESP-IDF could boot, and nothing is called safe that it could.

mod show;

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use airlift_formats::esp::{
    app_image::{ChipId, ImageError, MAX_PARTITION_SIZE},
    data_image::{DataImage, HEADER_LEN, MIN_LEN, SPI_MODE_OFFSET, View, build, idf_verdict},
};
use anyhow::{Context as _, bail, ensure};

use super::{
    image::{print, read},
    output,
};
use crate::output::parse_size;

/// The largest slot there is.
const FILE_LIMIT: u64 = MAX_PARTITION_SIZE as u64;

/// `airlift esp data-image ...`
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Make a data image: data behind a header that devices take for that of an app, and never boot
    Create(Create),
    /// Show what is in a data image, and whether it is safe; the exit code says so, too
    Show(Show),
    /// Take the data out of a data image
    Extract(Extract),
}

/// Make a data image: data behind a header that devices take for that of an app, and never boot
///
/// Writes what the demo's own tool writes, for any chip and any data. For devices that read this format already: new
/// ones are better off without it (docs/data-images.md).
#[derive(clap::Args)]
pub(crate) struct Create {
    /// The data
    data: PathBuf,
    /// Where to write the data image; - is standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Chip of the devices: esp32, esp32s3, esp32c3 ... or its number; others refuse the file
    #[arg(long)]
    chip: ChipId,
    /// Size of the slot that it has to fit into: 1M, 1024K, 0x100000
    #[arg(long, value_name = "SIZE", value_parser = parse_slot_size, default_value = "1M")]
    slot_size: u64,
}

/// Show what is in a data image, and whether it is safe; the exit code says so, too
///
/// Safe is exactly one header, which ESP-IDF never boots whatever the data are.
#[derive(clap::Args)]
pub(crate) struct Show {
    /// The data image
    file: PathBuf,
    /// Chip that it has to be for: esp32, esp32s3, esp32c3 ... or its number
    #[arg(long)]
    chip: Option<ChipId>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Take the data out of a data image
///
/// A data image of 1024 bytes may have been filled up with zeros. Zeros at its end are taken for that unless --length says
/// otherwise.
#[derive(clap::Args)]
pub(crate) struct Extract {
    /// The data image
    file: PathBuf,
    /// Where to write the data; - is standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Bytes of data, where the file leaves that open
    #[arg(long, value_name = "BYTES")]
    length: Option<usize>,
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Create(create) => create.run(),
        Command::Show(show) => {
            let bytes = read(&show.file, FILE_LIMIT)?;
            show::run(&show.file, &bytes, show.chip, show.json)
        }
        Command::Extract(extract) => extract.run(),
    }
}

impl Create {
    fn run(&self) -> anyhow::Result<()> {
        output::check_is_not(&self.output, &self.data)?;
        let name = self.data.display();
        let data = self.read_data()?;
        ensure!(!data.is_empty(), "{name}: empty, there is nothing to send");
        ensure!(
            DataImage::parse(&data).is_err(),
            "{name}: this is a data image already, and would get a second header"
        );
        let file = build(self.chip, &data);
        let refusal =
            prove(&file, self.chip).with_context(|| format!("{name}: no data image is made"))?;
        output::write(&self.output, &file)?;

        let to = self.output.display();
        if let Some(hazard) = spi_mode_note(View(&file)) {
            eprintln!("airlift: {to}: WARNING: {hazard}");
        }
        if self.output == Path::new("-") {
            return Ok(());
        }
        let unrecorded = if data.len() < MIN_LEN - HEADER_LEN {
            ", a length that the file does not record: zeros fill it up"
        } else {
            ""
        };
        print(&format!(
            "{to}: data image for {}, {} bytes\n\
             {} bytes of data{unrecorded}\n\
             ESP-IDF refuses to boot it: {}\n",
            self.chip,
            file.len(),
            data.len(),
            refusal.idf_log(0)
        ))
    }

    /// The data, if there is room for them behind the header.
    fn read_data(&self) -> anyhow::Result<Vec<u8>> {
        let name = self.data.display();
        let room = self.slot_size - HEADER_LEN as u64;
        let file = File::open(&self.data).with_context(|| format!("cannot open {name}"))?;
        let mut data = Vec::new();
        file.take(room + 1)
            .read_to_end(&mut data)
            .with_context(|| format!("cannot read {name}"))?;
        ensure!(
            data.len() as u64 <= room,
            "{name}: does not fit: a slot of {} bytes has room for {room} bytes of data behind the header; \
             if the slots are larger, say so with --slot-size",
            self.slot_size
        );
        Ok(data)
    }
}

/// Why ESP-IDF will not boot what was made here: our own result is judged as a stranger's is.
fn prove(file: &[u8], chip: ChipId) -> anyhow::Result<ImageError> {
    // What ESP-IDF refuses, our stricter profile refuses as well.
    let refusal = match idf_verdict(file) {
        Err(refusal) => refusal,
        Ok(image) => bail!(
            "ESP-IDF would verify it as an app image of {} bytes in {} segment(s), and boot it",
            image.image_len,
            image.segments()
        ),
    };
    DataImage::parse(file)?.check_chip(chip)?;
    Ok(refusal)
}

impl Extract {
    fn run(&self) -> anyhow::Result<()> {
        output::check_is_not(&self.output, &self.file)?;
        let name = self.file.display();
        let bytes = read(&self.file, FILE_LIMIT)?;
        let image = DataImage::parse(&bytes).with_context(|| name.to_string())?;
        let len = image.view().data_len();
        let data = match self.length {
            None => image.data(),
            Some(length) => image
                .view()
                .content()
                .get(..length)
                .filter(|_| length >= len.least)
                .with_context(|| match len.exact() {
                    Some(exact) => format!("{name}: has {exact} bytes of data, not {length}"),
                    None => format!(
                        "{name}: has at least {} and at most {} bytes of data, not {length}",
                        len.least, len.most
                    ),
                })?,
        };
        output::write(&self.output, data)?;
        if let (None, Some(note)) = (self.length, length_note(image.view())) {
            eprintln!(
                "airlift: {name}: WARNING: {note}; written were {}",
                len.least
            );
        }
        Ok(())
    }
}

/// What is to be said about the length of the data, if the file leaves it open.
fn length_note(view: View<'_>) -> Option<String> {
    let len = view.data_len();
    len.exact().is_none().then(|| {
        format!(
            "the length of the data is not recorded, and zeros fill the file up: they are {} to {} bytes",
            len.least, len.most
        )
    })
}

/// What is to be said about the byte that newer devices misread.
fn spi_mode_note(view: View<'_>) -> Option<String> {
    view.spi_mode_hazard().map(|byte| {
        format!(
            "byte {SPI_MODE_OFFSET} (byte {} of the data) is {byte:#04x}: apps on ESP-IDF v6.1 and later take it for an \
             SPI flash mode, and refuse the download with 0x1508 if theirs is another; 0 there is always accepted",
            SPI_MODE_OFFSET - HEADER_LEN
        )
    })
}

/// A size that a slot can have.
fn parse_slot_size(text: &str) -> Result<u64, String> {
    let size = parse_size(text)?;
    if (MIN_LEN as u64..=FILE_LIMIT).contains(&size) {
        Ok(size)
    } else {
        Err(format!("an app slot has {MIN_LEN} bytes to 16 MiB"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_boot_is_not_written() {
        let mut file = build(ChipId::ESP32C3, b"data");
        assert!(prove(&file, ChipId::ESP32C3).is_ok());
        assert!(prove(&file, ChipId::ESP32S3).is_err());
        file[31] = 0xEF;
        let error = prove(&file, ChipId::ESP32C3).unwrap_err().to_string();
        assert!(error.contains("32 bytes in 0 segment(s)"), "{error}");
    }
}
