//! Where the server is, and who the device is there.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::super::AddressError;

/// The address of an MQTT server: `mqtt://HOST[:PORT]` or `mqtts://HOST[:PORT]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MqttAddress {
    /// Over TLS.
    pub(super) tls: bool,
    /// What is connected to, and what the server's certificate must be for.
    pub(super) host: String,
    pub(super) port: u16,
}

impl MqttAddress {
    /// Whether a connection is encrypted, and the server shows who it is.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }
}

impl FromStr for MqttAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let malformed = || AddressError::MalformedMqtt(text.to_owned());
        let (tls, rest) = match text.split_once("://") {
            Some(("mqtt", rest)) => (false, rest),
            Some(("mqtts", rest)) => (true, rest),
            _ => return Err(malformed()),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match authority.rsplit_once(':') {
            // The colons in brackets are those of an IPv6 address.
            Some((host, port)) if !port.contains(']') => {
                (host, port.parse().map_err(|_| malformed())?)
            }
            _ => (authority, if tls { 8883 } else { 1883 }),
        };
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
        if host.is_empty() || port == 0 || !host.chars().all(allowed) {
            return Err(malformed());
        }
        Ok(Self {
            tls,
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for MqttAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

/// How a device shows the server who it is. The name of the thing is the client identifier in any case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// A certificate and its key, in PEM, over TLS.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// The certificates, in PEM, one of which must have signed the server's.
    pub ca: Option<PathBuf>,
    /// User name and password.
    pub login: Option<(String, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for (text, written) in [
            ("mqtt://127.0.0.1", "mqtt://127.0.0.1:1883"),
            ("mqtts://updates.example", "mqtts://updates.example:8883"),
            (
                "mqtts://updates.example:443/",
                "mqtts://updates.example:443",
            ),
            ("mqtt://[::1]:18830", "mqtt://[::1]:18830"),
            ("mqtt://[::1]", "mqtt://[::1]:1883"),
        ] {
            let address: MqttAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), written);
            assert_eq!(written.parse(), Ok(address));
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "127.0.0.1:1883",
            "http://127.0.0.1",
            "mqtt://",
            "mqtt://:1883",
            "mqtt://host:0",
            "mqtt://host:70000",
            "mqtt://host:port",
            "mqtt://host/path",
            "mqtt://user@host",
        ] {
            let refused = text.parse::<MqttAddress>();
            assert_eq!(refused, Err(AddressError::MalformedMqtt(text.into())));
        }
    }
}
