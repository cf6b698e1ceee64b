//! How devices and this server prove who they are: the server's own certificate authority, and passwords of devices.
//!
//! The private key of a device is made where the device's files are made and never comes here: the authority signs a request.
//! A certificate says who its device is, but that is not why it is believed: the server keeps the fingerprint of the one
//! certificate that is valid for a thing, so that a new one or a block voids the old one at once.

pub(crate) mod authority;
pub(crate) mod password;
pub(crate) mod server_certificate;

use sha2::{Digest as _, Sha256};

/// SHA-256 of a certificate's DER, in lower-case hexadecimal: what tools like `openssl x509 -fingerprint -sha256` show.
pub(crate) fn fingerprint(certificate: &[u8]) -> String {
    crate::digest::Sha256(Sha256::digest(certificate).into()).to_string()
}
