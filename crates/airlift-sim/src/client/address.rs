//! Where the server is.

use std::fmt;
use std::str::FromStr;

/// The address of an update server: `http://HOST[:PORT][/PREFIX]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// What goes into `Host`: the name, with the port unless it is 80.
    pub(super) authority: String,
    /// What is connected to.
    pub(super) host: String,
    pub(super) port: u16,
    /// The path in front of `/ota_update`, without a `/` at its end.
    pub(super) prefix: String,
}

/// Why a text is not the address of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The virtual device speaks plain HTTP only.
    #[error("{0}: a virtual device speaks plain HTTP; use the http:// address of the server")]
    Https(String),
    /// Not an address at all.
    #[error("{0}: not the address of a server; write for example http://127.0.0.1:8080")]
    Malformed(String),
    /// Not the address of an MQTT server.
    #[error("{0}: not the address of an MQTT server; write for example mqtt://127.0.0.1:1883")]
    MalformedMqtt(String),
}

impl FromStr for ServerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let malformed = || AddressError::Malformed(text.to_owned());
        if text.starts_with("https://") {
            return Err(AddressError::Https(text.to_owned()));
        }
        let rest = text.strip_prefix("http://").ok_or_else(malformed)?;
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        // The colon of a port comes after the bracket of an IPv6 address.
        let port_at = authority
            .rfind(':')
            .filter(|&colon| authority.rfind(']').is_none_or(|bracket| bracket < colon));
        let (host, port) = match port_at {
            Some(colon) => {
                let port = authority[colon + 1..].parse().map_err(|_| malformed())?;
                (&authority[..colon], port)
            }
            None => (authority, 80),
        };
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
        if host.is_empty() || port == 0 || !host.chars().all(allowed) {
            return Err(malformed());
        }
        if path.contains(['?', '#']) || path.contains("//") {
            return Err(malformed());
        }
        let authority = match port_at {
            Some(colon) if port == 80 => &authority[..colon],
            _ => authority,
        };
        Ok(Self {
            authority: authority.to_owned(),
            host: host.to_owned(),
            port,
            prefix: path.trim_end_matches('/').to_owned(),
        })
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.prefix)
    }
}

/// The address of one image: `http://HOST[:PORT]/PATH[?QUERY]`, at most [`UpdateUrl::MAX_LEN`] bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateUrl {
    pub(super) server: ServerAddress,
    /// Path and query, as they go into the request.
    pub(super) target: String,
}

/// Why a text is not the address of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateUrlError {
    /// The virtual device speaks plain HTTP only.
    #[error("https is not spoken by the virtual device; use an http:// address")]
    Https,
    /// Another scheme, or none.
    #[error("the address must begin with http://")]
    Scheme,
    /// No host, or one that cannot be.
    #[error("the address has no usable host: write http://HOST[:PORT]/PATH")]
    Host,
    /// Longer than allowed.
    #[error("the address is longer than {} bytes", UpdateUrl::MAX_LEN)]
    TooLong,
    /// A character that does not belong into a path.
    #[error("the address has a character that must be percent-encoded there, or a fragment (#)")]
    Path,
}

impl UpdateUrl {
    /// Longest address that is taken, in bytes.
    pub const MAX_LEN: usize = 512;
}

impl FromStr for UpdateUrl {
    type Err = UpdateUrlError;

    fn from_str(text: &str) -> Result<Self, UpdateUrlError> {
        if text.len() > Self::MAX_LEN {
            return Err(UpdateUrlError::TooLong);
        }
        let scheme = text.get(..8).unwrap_or(text).to_ascii_lowercase();
        if scheme.starts_with("https://") {
            return Err(UpdateUrlError::Https);
        }
        if !scheme.starts_with("http://") {
            return Err(UpdateUrlError::Scheme);
        }
        let rest = text.get(7..).unwrap_or_default();
        let (authority, target) = match rest.find(['/', '?', '#']) {
            Some(end) => rest.split_at(end),
            None => (rest, ""),
        };
        let server = format!("http://{authority}").parse();
        let target = match target.strip_prefix('/') {
            Some(_) => target.to_owned(),
            None => format!("/{target}"),
        };
        if !target.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
            return Err(UpdateUrlError::Path);
        }
        Ok(Self {
            server: server.map_err(|_| UpdateUrlError::Host)?,
            target,
        })
    }
}

impl fmt::Display for UpdateUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.server, self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_back() {
        for (text, host, port, prefix, again) in [
            (
                "http://127.0.0.1:8080",
                "127.0.0.1",
                8080,
                "",
                "http://127.0.0.1:8080",
            ),
            (
                "http://ota.example/",
                "ota.example",
                80,
                "",
                "http://ota.example",
            ),
            (
                "http://ota.example:80/a/b/",
                "ota.example",
                80,
                "/a/b",
                "http://ota.example/a/b",
            ),
            ("http://[::1]:81", "::1", 81, "", "http://[::1]:81"),
            ("http://[::1]", "::1", 80, "", "http://[::1]"),
        ] {
            let address: ServerAddress = text.parse().unwrap();
            assert_eq!(
                (address.host.as_str(), address.port),
                (host, port),
                "{text}"
            );
            assert_eq!(address.prefix, prefix, "{text}");
            assert_eq!(address.to_string(), again);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "127.0.0.1:8080",
            "ftp://a",
            "http://",
            "http://:80",
            "http://a:b",
            "http://a:0",
            "http://a:70000",
            "http://a b",
            "http://u@h",
            "http://a\r\nb",
            "http://a/?q",
        ] {
            assert_eq!(
                text.parse::<ServerAddress>(),
                Err(AddressError::Malformed(text.to_owned()))
            );
        }
        assert!(matches!(
            "https://a".parse::<ServerAddress>(),
            Err(AddressError::Https(_))
        ));
    }

    #[test]
    fn addresses_of_images_are_read_and_written_back() {
        for text in [
            "http://127.0.0.1:8080/ota_update/dev/lotus/a/b",
            "http://ota.example/a%20b?x=1&y=2",
        ] {
            let url: UpdateUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), text);
        }
        let url: UpdateUrl = "HTTP://host?x".parse().unwrap();
        assert_eq!(url.target, "/?x");
    }

    #[test]
    fn what_is_no_address_of_an_image_is_refused() {
        let long = format!("http://a/{}", "x".repeat(600));
        for (text, error) in [
            ("https://a/b", UpdateUrlError::Https),
            ("HTTPS://a/b", UpdateUrlError::Https),
            ("", UpdateUrlError::Scheme),
            ("file:///etc/passwd", UpdateUrlError::Scheme),
            ("http:/a", UpdateUrlError::Scheme),
            ("http://", UpdateUrlError::Host),
            ("http:///path", UpdateUrlError::Host),
            ("http://:80/", UpdateUrlError::Host),
            ("http://a:0/", UpdateUrlError::Host),
            ("http://user@a/", UpdateUrlError::Host),
            ("http://a\r\nHost: b/", UpdateUrlError::Host),
            ("http://a/b c", UpdateUrlError::Path),
            ("http://a/\r\nX: y", UpdateUrlError::Path),
            ("http://a/#b", UpdateUrlError::Path),
            ("http://a/\u{e9}", UpdateUrlError::Path),
            (&long, UpdateUrlError::TooLong),
        ] {
            assert_eq!(text.parse::<UpdateUrl>(), Err(error), "{text:?}");
        }
    }
}
