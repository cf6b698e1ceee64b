//! Who the device is.

use md5::{Digest as _, Md5};

/// What a device says of itself at the door of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Whose device it is.
    pub organization: String,
    /// The project within the organization.
    pub project: String,
    /// Its own name, `esp32-85ea2b`.
    pub node: String,
    /// Its kind, `sht30_d1_mini`.
    pub key: String,
    /// Its MAC address as a Wi-Fi station.
    pub mac: [u8; 6],
}

/// Why a name cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the {what} {name:?} cannot be used: a name has 1 to 64 of the characters A-Z a-z 0-9 - _ . + : and is not \".\" or \"..\""
)]
pub struct IdentityError {
    what: &'static str,
    name: String,
}

impl Identity {
    /// A device of this name. The MAC address is made from the name: as with real nodes, a name that ends with six
    /// hexadecimal digits ends like the address.
    pub fn new(
        organization: &str,
        project: &str,
        node: &str,
        key: &str,
    ) -> Result<Self, IdentityError> {
        for (what, name) in [
            ("organization", organization),
            ("project", project),
            ("node", node),
            ("key", key),
        ] {
            let allowed =
                |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'+' | b':');
            if !(1..=64).contains(&name.len())
                || !name.bytes().all(allowed)
                || matches!(name, "." | "..")
            {
                let name = name.to_owned();
                return Err(IdentityError { what, name });
            }
        }
        Ok(Self {
            organization: organization.to_owned(),
            project: project.to_owned(),
            node: node.to_owned(),
            key: key.to_owned(),
            mac: mac_of(node),
        })
    }
}

fn mac_of(node: &str) -> [u8; 6] {
    let end = node
        .len()
        .checked_sub(6)
        .and_then(|start| node.get(start..));
    let end = end
        .filter(|end| end.bytes().all(|b| b.is_ascii_hexdigit()))
        .and_then(|end| u32::from_str_radix(end, 16).ok());
    let [_, a, b, c] = end
        .unwrap_or_else(|| {
            let digest = Md5::digest(node);
            u32::from_be_bytes([0, digest[0], digest[1], digest[2]])
        })
        .to_be_bytes();
    // An address block of Espressif.
    [0x24, 0x0a, 0xc4, a, b, c]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mac_address_ends_as_the_name_does() {
        let mac = |node| Identity::new("o", "p", node, "k").unwrap().mac;
        assert_eq!(mac("esp32-85ea2b"), [0x24, 0x0a, 0xc4, 0x85, 0xea, 0x2b]);
        assert_ne!(mac("kitchen"), mac("cellar"));
        assert_ne!(mac("+abcde"), [0x24, 0x0a, 0xc4, 0x0a, 0xbc, 0xde]);
    }

    #[test]
    fn names_that_no_server_takes_are_refused() {
        for name in ["", ".", "..", "a/b", "a b", "é", &"x".repeat(65)] {
            let error = Identity::new("o", "p", "n", name).unwrap_err();
            assert_eq!((error.what, error.name.as_str()), ("key", name));
        }
    }
}
