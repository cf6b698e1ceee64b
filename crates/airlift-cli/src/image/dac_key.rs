//! The private key of a device attestation certificate, from the files that it comes in.

use anyhow::{bail, ensure};

/// Bytes of a key of the curve P-256, the one of Matter.
const KEY_LEN: usize = 32;

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// The 32 bytes of the key: as they are, or from DER (SEC 1 `ECPrivateKey` as the official tool takes it, or PKCS #8).
pub(super) fn read(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    if bytes.len() == KEY_LEN {
        return Ok(bytes.to_vec());
    }
    if bytes.starts_with(b"-----BEGIN") {
        bail!("a key in PEM: convert it with `openssl ec -in FILE -outform DER -out key.der`");
    }
    let key = from_der(bytes).filter(|key| key.len() == KEY_LEN);
    ensure!(
        key.is_some(),
        "not a private key of the curve P-256: 32 bytes, or DER (SEC 1 or PKCS #8), are needed"
    );
    Ok(key.unwrap_or_default().to_vec())
}

/// `SEQUENCE { INTEGER 1, OCTET STRING key, ... }` or `SEQUENCE { INTEGER 0, SEQUENCE algorithm, OCTET STRING { the former } }`.
fn from_der(bytes: &[u8]) -> Option<&[u8]> {
    let (content, []) = element(bytes, SEQUENCE)? else {
        return None;
    };
    let (version, rest) = element(content, INTEGER)?;
    match version {
        [1] => Some(element(rest, OCTET_STRING)?.0),
        [0] => {
            let (_, rest) = element(rest, SEQUENCE)?;
            let (inner, _) = element(rest, OCTET_STRING)?;
            let (content, _) = element(inner, SEQUENCE)?;
            let (_, rest) = element(content, INTEGER)?;
            Some(element(rest, OCTET_STRING)?.0)
        }
        _ => None,
    }
}

/// The content of an element of this type, and what follows it.
fn element(bytes: &[u8], kind: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        ..=0x7F => (usize::from(first), rest),
        0x81 => {
            let (&length, rest) = rest.split_first()?;
            (usize::from(length), rest)
        }
        0x82 => {
            let (length, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    (found == kind).then_some(())?;
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_in_each_of_its_encodings() {
        let key = [7; 32];
        let sec1 = [&[0x30, 0x27, 2, 1, 1, 4, 32][..], &key, &[0xA0, 0]].concat();
        let sec1 = [&[0x30, sec1.len() as u8 - 2][..], &sec1[2..]].concat();
        let inner = [&[4, sec1.len() as u8][..], &sec1].concat();
        let pkcs8 = [&[2, 1, 0, 0x30, 2, 5, 0][..], &inner].concat();
        let pkcs8 = [&[0x30, 0x81, pkcs8.len() as u8][..], &pkcs8].concat();
        for bytes in [&key[..], &sec1, &pkcs8] {
            assert_eq!(read(bytes).unwrap(), key);
        }
        for end in 0..sec1.len() {
            assert!(read(&sec1[..end]).is_err() || end == 32, "cut at {end}");
        }
        let error = read(b"-----BEGIN EC PRIVATE KEY-----").unwrap_err();
        assert!(error.to_string().contains("outform DER"));
    }
}
