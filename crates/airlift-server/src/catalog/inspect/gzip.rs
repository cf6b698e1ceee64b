//! gzip around an image for ESP8266, which its boot loader unpacks (Arduino core 2.7 and later).

use std::io::{self, Write};

use flate2::write::GzDecoder;

use super::esp8266::{Esp8266, Trailer, looks_like};
use super::{App, BadImage, HEAD};

pub(super) struct Gzip {
    decoder: GzDecoder<Unpacked>,
    /// A signature may follow: images are signed after packing.
    trailer: Trailer,
}

/// Looks at what comes out. Nothing is kept of it, and no more than agreed is taken.
struct Unpacked {
    head: Vec<u8>,
    image: Option<Esp8266>,
    left: u64,
    max: u64,
    failure: Option<BadImage>,
}

impl Gzip {
    pub(super) fn new(max_unpacked: u64) -> Self {
        let unpacked = Unpacked {
            head: Vec::new(),
            image: None,
            left: max_unpacked,
            max: max_unpacked,
            failure: None,
        };
        Self {
            decoder: GzDecoder::new(unpacked),
            trailer: Trailer::default(),
        }
    }

    pub(super) fn update(&mut self, mut bytes: &[u8]) -> Result<(), BadImage> {
        while !bytes.is_empty() {
            let taken = self.decoder.write(bytes);
            if let Some(failure) = self.decoder.get_mut().failure.take() {
                return Err(failure);
            }
            match taken.map_err(|error| not_gzip(&error))? {
                // The end of the packed data.
                0 => {
                    self.trailer.update(bytes);
                    return Ok(());
                }
                taken => bytes = bytes.get(taken..).unwrap_or_default(),
            }
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<App, BadImage> {
        let finished = self.decoder.try_finish();
        let unpacked = self.decoder.get_mut();
        if let Some(failure) = unpacked.failure.take() {
            return Err(failure);
        }
        finished.map_err(|error| not_gzip(&error))?;
        self.trailer.finish()?;
        let Some(image) = unpacked.image.take() else {
            return Err(BadImage(format!(
                "{} unpacked bytes are too few for an image",
                unpacked.head.len()
            )));
        };
        let mut contents = image.finish().map_err(inside)?;
        // The byte that the updater may change would be one of the packed data, which it leaves alone.
        contents.running_md5.truncate(1);
        Ok(contents)
    }
}

impl Unpacked {
    fn take(&mut self, bytes: &[u8]) -> Result<(), BadImage> {
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or_else(|| {
            BadImage(format!(
                "it unpacks to more than {} bytes, the most that this server takes",
                self.max
            ))
        })?;
        if let Some(image) = &mut self.image {
            return image.update(bytes).map_err(inside);
        }
        self.head.extend_from_slice(bytes);
        if self.head.len() < HEAD {
            return Ok(());
        }
        if !looks_like(&self.head) {
            return Err(BadImage(
                "what it unpacks to is no image for ESP8266, and only these devices take gzip"
                    .to_owned(),
            ));
        }
        let mut image = Esp8266::new();
        image
            .update(&std::mem::take(&mut self.head))
            .map_err(inside)?;
        self.image = Some(image);
        Ok(())
    }
}

impl Write for Unpacked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.take(bytes).map(|()| bytes.len()).map_err(|failure| {
            self.failure = Some(failure);
            io::Error::other("see failure")
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn inside(BadImage(what): BadImage) -> BadImage {
    BadImage(format!("in the unpacked image: {what}"))
}

fn not_gzip(error: &io::Error) -> BadImage {
    BadImage(format!("the gzip data are damaged or incomplete: {error}"))
}
