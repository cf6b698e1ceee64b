//! What a request to update says: parsed as if an attacker had written it.

use airlift_sim::client::{Order, UpdateUrl};
use serde::Deserialize;

/// The fields of a request, before anything is believed of them.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(super) struct Fields {
    pub(super) url: Option<String>,
    pub(super) partition: Option<String>,
    pub(super) sha256: Option<String>,
    /// Of the page's form only.
    #[serde(skip)]
    pub(super) token: Option<String>,
}

/// Why a request says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) String);

impl Fields {
    pub(super) fn from_json(body: &[u8]) -> Result<Self, Malformed> {
        serde_json::from_slice(body).map_err(|error| {
            Malformed(format!(
                "the body is not {{\"url\": …, \"partition\": …, \"sha256\": …}}: {error}"
            ))
        })
    }

    /// `application/x-www-form-urlencoded`, also that of a query.
    pub(super) fn from_form(body: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Self::default();
        for pair in body
            .split(|byte| *byte == b'&')
            .filter(|pair| !pair.is_empty())
        {
            let end = pair.iter().position(|byte| *byte == b'=');
            let (name, value) = pair.split_at(end.unwrap_or(pair.len()));
            let value = decoded(value.strip_prefix(b"=").unwrap_or(value))?;
            let field = match name {
                b"url" => &mut fields.url,
                b"partition" => &mut fields.partition,
                b"sha256" => &mut fields.sha256,
                b"token" => &mut fields.token,
                _ => return Err(Malformed("there is a field that is not known".to_owned())),
            };
            if field.replace(value).is_some() {
                return Err(Malformed("a field is there twice".to_owned()));
            }
        }
        Ok(fields)
    }

    /// The order. Empty fields count as missing, as forms send them.
    pub(super) fn order(self) -> Result<Order, Malformed> {
        let some = |field: Option<String>| field.filter(|text| !text.is_empty());
        let url = some(self.url).ok_or_else(|| {
            Malformed("there is no url: say where the image is, http://HOST[:PORT]/PATH".to_owned())
        })?;
        let url: UpdateUrl = url
            .parse()
            .map_err(|error| Malformed(format!("url: {error}")))?;
        let sha256 = some(self.sha256)
            .map(|text| {
                digest(&text)
                    .ok_or_else(|| Malformed("sha256: not 64 hexadecimal digits".to_owned()))
            })
            .transpose()?;
        Ok(Order {
            url,
            partition: some(self.partition),
            sha256,
        })
    }
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let mut digest = [0; 32];
    if pairs.len() != digest.len() || !rest.is_empty() {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(pairs) {
        *byte = hexadecimal(*pair)?;
    }
    Some(digest)
}

fn hexadecimal([high, low]: [u8; 2]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

fn decoded(text: &[u8]) -> Result<String, Malformed> {
    let wrong = || Malformed("a field is not percent-encoded text".to_owned());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        bytes.push(match first {
            b'+' => b' ',
            b'%' => {
                let (pair, after) = rest.split_first_chunk::<2>().ok_or_else(wrong)?;
                rest = after;
                hexadecimal(*pair).ok_or_else(wrong)?
            }
            other => *other,
        });
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_json_say_the_same() {
        let digest = "ab".repeat(32);
        let form = format!(
            "url=http%3A%2F%2Fa%3A80%2Fb%3Fc%3D1%26d&partition=storage&sha256={digest}&token=x%2By"
        );
        let json =
            format!(r#"{{"url":"http://a:80/b?c=1&d","partition":"storage","sha256":"{digest}"}}"#);
        let form = Fields::from_form(form.as_bytes()).unwrap();
        assert_eq!(form.token.as_deref(), Some("x+y"));
        let order = form.order().unwrap();
        assert_eq!(order.sha256, Some([0xab; 32]));
        assert_eq!(order.url.to_string(), "http://a/b?c=1&d");
        assert_eq!(
            Fields::from_json(json.as_bytes()).unwrap().order().unwrap(),
            order
        );
        let app = Fields::from_form(b"url=http://a/&partition=&sha256=").unwrap();
        let app = app.order().unwrap();
        assert_eq!((app.partition, app.sha256), (None, None));
    }

    #[test]
    fn what_says_nothing_is_refused() {
        for form in [
            &b"url=%"[..],
            b"url=%4",
            b"url=%zz",
            b"url=%+1",
            b"url=%ff",
            b"\xff",
            b"other=1",
            b"url=a&url=b",
            b"=",
        ] {
            assert!(Fields::from_form(form).is_err(), "{form:?}");
        }
        for form in [
            &b""[..],
            b"url=",
            b"url",
            b"url=https://a/b",
            b"url=ftp://a/b",
            b"url=http://",
            b"url=http://a%0d%0a/",
            b"url=http://a/&sha256=12",
            b"url=http://a/&sha256=zz",
        ] {
            let fields = Fields::from_form(form).unwrap();
            assert!(fields.order().is_err(), "{form:?}");
        }
        for json in [
            &b""[..],
            b"{",
            b"[]",
            b"{\"url\":1}",
            b"{\"url\":\"http://a/\",\"token\":\"x\"}",
            b"\xff",
        ] {
            assert!(Fields::from_json(json).is_err(), "{json:?}");
        }
        assert!(Fields::from_json(b"{}").unwrap().order().is_err());
    }
}
