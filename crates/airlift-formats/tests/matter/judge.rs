//! Everything that the readers say to a file, in a form that can be compared.

use airlift_formats::{
    matter::image::{Event, ImageReader, MAX_HEADER_LEN, OtaImageError, Rules, Summary},
    nxp::{self, PayloadError, PayloadReader},
};

/// What came out of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    /// The header as text: it lives as long as the reader.
    pub(crate) header: Option<String>,
    pub(crate) payload: Vec<u8>,
    pub(crate) verdict: Result<Summary, OtaImageError>,
}

/// Reads a file that comes in these pieces.
pub(crate) fn image<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, rules: Rules) -> Image {
    let mut buffer = [0xA5; MAX_HEADER_LEN];
    let mut reader = ImageReader::new(&mut buffer, rules);
    let mut header = None;
    let mut payload = Vec::new();
    for mut piece in pieces {
        loop {
            match reader.read(&mut piece) {
                Ok(Some(Event::Header(found))) => {
                    assert!(header.is_none(), "two headers");
                    header = Some(format!("{found:?}"));
                }
                Ok(Some(Event::Payload(bytes))) => {
                    assert!(!bytes.is_empty());
                    payload.extend_from_slice(bytes);
                }
                Ok(None) => break assert!(piece.is_empty()),
                Err(error) => {
                    assert_eq!(reader.read(&mut &b"more"[..]), Err(error), "an error stays");
                    let verdict = reader.finish();
                    assert_eq!(verdict, Err(error), "an error stays");
                    return Image {
                        header,
                        payload,
                        verdict,
                    };
                }
            }
        }
        assert_eq!(reader.payload_position(), payload.len() as u64);
    }
    Image {
        header,
        payload,
        verdict: reader.finish(),
    }
}

/// What came out of a payload: its parts with their values, and whether they ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Payload {
    pub(crate) parts: Vec<(u32, Vec<u8>, bool)>,
    pub(crate) verdict: Result<nxp::Summary, PayloadError>,
}

/// Reads a payload of this size that comes in these pieces.
pub(crate) fn payload<'a>(
    size: usize,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    rules: nxp::Rules,
) -> Payload {
    let mut reader = PayloadReader::<32>::new(size as u64, rules);
    let mut parts: Vec<(u32, Vec<u8>, bool)> = Vec::new();
    for mut piece in pieces {
        loop {
            match reader.read(&mut piece) {
                Ok(Some(nxp::Event::Begin(tlv))) => {
                    assert!(
                        parts.last().is_none_or(|part| part.2),
                        "the last one has not ended"
                    );
                    assert_eq!(reader.current(), Some(tlv));
                    assert_eq!(reader.position(), tlv.value_offset());
                    parts.push((tlv.tag, Vec::new(), false));
                }
                Ok(Some(nxp::Event::Value { tlv, bytes })) => {
                    let part = parts.last_mut().unwrap();
                    assert!(!bytes.is_empty() && !part.2 && part.0 == tlv.tag);
                    part.1.extend_from_slice(bytes);
                }
                Ok(Some(nxp::Event::End(tlv))) => {
                    let part = parts.last_mut().unwrap();
                    assert!(part.0 == tlv.tag && part.1.len() == tlv.length as usize && !part.2);
                    part.2 = true;
                }
                Ok(None) => break assert!(piece.is_empty()),
                Err(error) => {
                    assert_eq!(reader.read(&mut &b"more"[..]), Err(error), "an error stays");
                    let verdict = reader.finish();
                    assert_eq!(verdict, Err(error), "an error stays");
                    return Payload { parts, verdict };
                }
            }
        }
    }
    Payload {
        parts,
        verdict: reader.finish(),
    }
}

/// The strict verdict on a file as a whole.
pub(crate) fn strict(file: &[u8]) -> Image {
    image([file], Rules::strict())
}

/// The parts of a good file.
pub(crate) fn parts(file: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let image = strict(file);
    assert_eq!(image.verdict.map(|_| ()), Ok(()));
    let payload = payload(
        image.payload.len(),
        [&image.payload[..]],
        nxp::Rules::strict(),
    );
    assert_eq!(payload.verdict.map(|_| ()), Ok(()));
    payload
        .parts
        .into_iter()
        .map(|(tag, value, ended)| {
            assert!(ended);
            (tag, value)
        })
        .collect()
}
