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
}
