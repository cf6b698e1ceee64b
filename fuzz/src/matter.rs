//! Matter OTA images, what may be in their payload, and the encoding of their headers.

use airlift_formats::{
    matter::{
        image::{
            Event, FILE_IDENTIFIER, FixedHeader, Header, ImageBuilder, ImageReader, MAX_HEADER_LEN,
            OtaImageError, Rules, Summary,
        },
        tlv::{Reader, Tag, Value, Writer},
    },
    nxp::{self, FactoryData, Manifest, PayloadError, PayloadReader, tag},
};

use crate::pieces;

/// What is said of an image does not depend on the pieces in which it comes; what the strict rules accept is whole, the lenient ones
/// accept it as well, and an image that is made from its header and payload is read as the same.
///
/// The input: the image, then a byte that decides on the pieces.
pub fn matter_image(data: &[u8]) {
    let Some((&seed, file)) = data.split_last() else {
        return;
    };
    let strict = read_image([file], Rules::strict());
    let lenient = read_image([file], Rules::lenient());
    for (whole, rules) in [(&strict, Rules::strict()), (&lenient, Rules::lenient())] {
        let found = read_image(pieces(file, seed), rules);
        assert_eq!(found, *whole, "pieces of another length, another result");
    }
    let Ok(summary) = strict.verdict else {
        return;
    };
    assert_eq!(lenient.verdict, strict.verdict);
    assert!(summary.digest_checked && summary.trailing == 0);
    assert!(file.ends_with(&strict.payload) && summary.payload_size == strict.payload.len() as u64);
    rebuild(file, &strict.payload);
}

#[derive(Debug, PartialEq, Eq)]
struct Image {
    header: Option<String>,
    payload: Vec<u8>,
    verdict: Result<Summary, OtaImageError>,
}

fn read_image<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, rules: Rules) -> Image {
    let mut buffer = [0; MAX_HEADER_LEN];
    let mut reader = ImageReader::new(&mut buffer, rules);
    let mut header = None;
    let mut payload = Vec::new();
    'pieces: for mut piece in pieces {
        loop {
            match reader.read(&mut piece) {
                Ok(Some(Event::Header(found))) => header = Some(format!("{found:?}")),
                Ok(Some(Event::Payload(bytes))) => payload.extend_from_slice(bytes),
                Ok(None) => break,
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    break 'pieces;
                }
            }
        }
    }
    Image {
        header,
        payload,
        verdict: reader.finish(),
    }
}

/// The builder refuses more than the parser. What it makes says the same; in as many bytes, it is the same.
fn rebuild(file: &[u8], payload: &[u8]) {
    let header = &file[16..file.len() - payload.len()];
    let header = Header::parse(header, &Rules::strict()).expect("it has just been accepted");
    let text = header
        .software_version_string
        .as_str()
        .expect("the strict rules want UTF-8");
    let mut builder = ImageBuilder::new(
        header.vendor_id,
        header.product_id,
        header.software_version,
        text,
    )
    .digest(header.digest_algorithm().expect("a known digest"));
    if let Some(min) = header.min_applicable_software_version {
        builder = builder.min_version(min);
    }
    if let Some(max) = header.max_applicable_software_version {
        builder = builder.max_version(max);
    }
    if let Some(url) = header.release_notes_url.and_then(|url| url.as_str()) {
        builder = builder.release_notes_url(url);
    }
    let Ok(made) = builder.build(payload) else {
        return;
    };
    let made_header = &made[16..made.len() - payload.len()];
    let mut expected = header;
    expected.bytes_behind = 0;
    assert_eq!(
        Header::parse(made_header, &Rules::strict()),
        Ok(expected),
        "another header"
    );
    assert!(made.len() <= file.len(), "the shortest form is longer");
    if made.len() == file.len() {
        assert_eq!(made, file);
    }
}

/// What follows the header, if the input is an image: the golden vectors are.
fn payload_of(data: &[u8]) -> &[u8] {
    let fixed = data.first_chunk().map(FixedHeader::parse);
    fixed
        .filter(|fixed| fixed.identifier == FILE_IDENTIFIER)
        .and_then(|fixed| data.get(16 + fixed.header_size as usize..))
        .unwrap_or(data)
}

/// What is said of a payload does not depend on the pieces in which it comes; the parts of one that is accepted are, one behind
/// the other, the payload; factory data that are accepted are written back as they were, or shorter.
///
/// The input: the payload, perhaps behind a header, then a byte that decides on the pieces.
pub fn nxp_payload(data: &[u8]) {
    let Some((&seed, data)) = data.split_last() else {
        return;
    };
    let payload = payload_of(data);
    let strict = read_payload(payload.len(), [payload], nxp::Rules::strict());
    let lenient = read_payload(payload.len(), [payload], nxp::Rules::lenient());
    for (whole, rules) in [
        (&strict, nxp::Rules::strict()),
        (&lenient, nxp::Rules::lenient()),
    ] {
        let found = read_payload(payload.len(), pieces(payload, seed), rules);
        assert_eq!(found, *whole, "pieces of another length, another result");
        // Neither more nor less than the size that was announced.
        for size in [payload.len() / 2, payload.len() + 1] {
            let found = read_payload(size, [payload], rules);
            let is_empty = payload.is_empty() && size == 0;
            assert!(found.verdict.is_err() || is_empty);
        }
    }
    if strict.verdict.is_ok() {
        assert_eq!(strict, lenient);
    }
    if lenient.verdict.is_ok() {
        let mut again = Vec::new();
        for (tag, value) in &lenient.parts {
            again.extend(tag.to_le_bytes());
            again.extend((value.len() as u32).to_le_bytes());
            again.extend(value);
        }
        assert_eq!(again, payload);
    }
    for (_, value) in lenient
        .parts
        .iter()
        .filter(|(tag, _)| *tag == tag::FACTORY_DATA)
    {
        factory_data(value);
    }
}

fn factory_data(value: &[u8]) {
    let Ok(data) = FactoryData::parse(value) else {
        return;
    };
    let emitted = data.emit();
    assert_eq!(FactoryData::parse(&emitted), Ok(data));
    assert!(emitted.len() <= value.len());
    if emitted.len() == value.len() {
        assert_eq!(emitted, value);
    }
}

/// A manifest that is accepted is written back to the same bytes, and all of its parts can be applied, each behind those that it requires.
pub fn manifest(data: &[u8]) {
    let manifest = match Manifest::parse(data) {
        Ok(manifest) => manifest,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert_eq!(manifest, Manifest::view(data));
    let parts: Vec<_> = manifest.parts().collect();
    assert_eq!(Manifest::emit(&parts).as_deref(), Ok(data));
    let mut done = 0;
    let mut last = None;
    for _ in 0..parts.len() {
        let next = manifest.next(done).expect("all of them can be applied");
        assert_eq!(done & Manifest::bit(next), 0, "once");
        assert_eq!(parts[next].requires & !done, 0);
        // Of those that nothing stands in the way of.
        let is_free =
            |index: usize| done & Manifest::bit(index) == 0 && parts[index].requires & !done == 0;
        let least = (0..parts.len())
            .filter(|index| is_free(*index))
            .min_by_key(|index| parts[*index].order);
        assert_eq!(least, Some(next));
        done |= Manifest::bit(next);
        last = Some(next);
    }
    assert_eq!(manifest.next(done), None);
    assert!(last.is_some());
}

#[derive(Debug, PartialEq, Eq)]
struct Payload {
    parts: Vec<(u32, Vec<u8>)>,
    verdict: Result<nxp::Summary, PayloadError>,
}

fn read_payload<'a>(
    size: usize,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    rules: nxp::Rules,
) -> Payload {
    let mut reader = PayloadReader::<32>::new(size as u64, rules);
    let mut parts: Vec<(u32, Vec<u8>)> = Vec::new();
    'pieces: for mut piece in pieces {
        loop {
            match reader.read(&mut piece) {
                Ok(Some(nxp::Event::Begin(tlv))) => {
                    assert!(tlv.value_offset() + u64::from(tlv.length) <= size as u64);
                    parts.push((tlv.tag, Vec::new()));
                }
                Ok(Some(nxp::Event::Value { bytes, .. })) => {
                    assert!(!bytes.is_empty());
                    parts
                        .last_mut()
                        .expect("a part has begun")
                        .1
                        .extend_from_slice(bytes);
                }
                Ok(Some(nxp::Event::End(tlv))) => {
                    let part = parts.last().expect("a part has begun");
                    assert!(part.0 == tlv.tag && part.1.len() == tlv.length as usize);
                }
                Ok(None) => break,
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    break 'pieces;
                }
            }
        }
    }
    Payload {
        parts,
        verdict: reader.finish(),
    }
}

/// Elements that are read are written in a form that is not longer and reads as the same; that form is written back to
/// the same bytes.
///
/// The input: an encoding, perhaps behind the fixed part of an image.
pub fn matter_tlv(data: &[u8]) {
    let is_image = data
        .first_chunk()
        .map(FixedHeader::parse)
        .is_some_and(|fixed| fixed.identifier == FILE_IDENTIFIER);
    let data = if is_image { &data[16..] } else { data };
    let (elements, end) = read_elements(data);
    let write = |elements: &[(Tag, Value<'_>)]| {
        let mut writer = Writer::default();
        for (tag, value) in elements {
            writer.put(*tag, *value);
        }
        writer.into_bytes()
    };
    let written = write(&elements);
    assert!(written.len() <= end, "the shortest form is longer");
    let (again, _) = read_elements(&written);
    assert_eq!(again, elements);
    assert_eq!(write(&again), written);
}

/// The elements up to the first fault, and where they end.
fn read_elements(bytes: &[u8]) -> (Vec<(Tag, Value<'_>)>, usize) {
    let mut reader = Reader::new(bytes);
    let mut elements = Vec::new();
    let mut end = 0;
    while let Ok(Some(element)) = reader.read() {
        assert!(element.offset as usize == end && reader.position() > end);
        end = reader.position();
        elements.push((element.tag, element.value));
    }
    (elements, end)
}
