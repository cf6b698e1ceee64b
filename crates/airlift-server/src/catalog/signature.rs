//! Signatures of images: made elsewhere, by who has the key, and only kept and shown here.

use airlift_formats::aws::base64;

/// Longest one, in base64: two numbers of 33 bytes with their heads.
const MAX_BASE64: usize = 96;

/// Why a text is no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "signature: not an ECDSA P-256 signature in DER, in base64 without line breaks; `openssl dgst -sha256 -sign KEY.pem FILE | base64 -w0` makes one"
)]
pub(crate) struct NotASignature;

/// Checks that this is the base64 of an ECDSA P-256 signature in DER. Of what, and by whom, only the device can check.
pub(crate) fn check(text: &str) -> Result<(), NotASignature> {
    // Nothing that would break a line of a job document: the decoder takes blanks.
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    if text.len() > MAX_BASE64 || !is_plain {
        return Err(NotASignature);
    }
    let mut der = [0; MAX_BASE64 / 4 * 3];
    let length = base64::decode_into(text.into(), &mut der).map_err(|_| NotASignature)?;
    let der = der.get(..length).ok_or(NotASignature)?;
    p256::ecdsa::Signature::from_der(der)
        .map(drop)
        .map_err(|_| NotASignature)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of no key in particular: two numbers below the order of the curve.
    fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
        let number = |bytes: &[u8]| [&[2, bytes.len() as u8], bytes].concat();
        let content = [number(r), number(s)].concat();
        [&[0x30, content.len() as u8], &content[..]].concat()
    }

    fn base64(bytes: &[u8]) -> String {
        let mut text = Vec::new();
        base64::encode(bytes.iter().copied(), &mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_signature_is_two_positive_numbers_below_the_order_of_the_curve() {
        assert_eq!(check(&base64(&der(&[1], &[0x7F; 32]))), Ok(()));
        let mut high = vec![0];
        high.extend([0xFF, 0xFF, 0xFF, 0xFE]);
        high.resize(33, 1);
        assert_eq!(check(&base64(&der(&high, &[5]))), Ok(()));
        for bad in [
            der(&[0], &[1]),
            der(&[1], &[0x80]),
            der(&[0, 1], &[1]),
            der(&[0x7F; 33], &[1]),
            der(&[1], &[1])[..7].to_vec(),
            [der(&[1], &[1]), vec![0]].concat(),
            vec![],
            b"signature".to_vec(),
        ] {
            assert_eq!(check(&base64(&bad)), Err(NotASignature), "{bad:x?}");
        }
        let good = base64(&der(&[1; 32], &[2; 32]));
        for bad in [
            format!("{good}\n"),
            format!(" {good}"),
            "MEQ=".to_owned(),
            "é".repeat(40),
            "A".repeat(10_000),
        ] {
            assert_eq!(check(&bad), Err(NotASignature), "{bad:?}");
        }
    }
}
