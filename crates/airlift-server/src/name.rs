//! Names that come from outside: organizations, projects, nodes, keys.

use std::borrow::Cow;
use std::fmt;

/// Longest name, in bytes.
pub(crate) const MAX_NAME: usize = 64;

/// Longest name of a partition, in bytes: as long as the label in a partition table of ESP-IDF.
pub(crate) const MAX_PARTITION: usize = 16;

/// How "all projects" is written where a project is expected. It cannot be the name of a project.
pub(crate) const ALL_PROJECTS: &str = "+";

/// Why a text is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotAName;

impl fmt::Display for NotAName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a name has 1 to {MAX_NAME} of the characters A-Z a-z 0-9 - _ . + : and is not \".\" or \"..\""
        )
    }
}

/// Checks a name against the allow list. Names never reach the file system, so this is not what keeps a path inside a
/// folder; it keeps look-alikes and control characters out of lists, logs and topics.
pub(crate) fn check(text: &[u8]) -> Result<&str, NotAName> {
    let allowed =
        |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'+' | b':');
    if text.is_empty()
        || text.len() > MAX_NAME
        || !text.iter().all(allowed)
        || text == b"."
        || text == b".."
    {
        return Err(NotAName);
    }
    std::str::from_utf8(text).map_err(|_| NotAName)
}

/// Checks the name of a partition: a name, and not longer than a label.
pub(crate) fn check_partition(text: &[u8]) -> Result<&str, NotAName> {
    if text.len() > MAX_PARTITION {
        return Err(NotAName);
    }
    check(text)
}

/// Undoes percent-encoding of one path segment and checks the result.
pub(crate) fn from_segment(segment: &str) -> Result<Cow<'_, str>, NotAName> {
    if !segment.as_bytes().contains(&b'%') {
        return check(segment.as_bytes()).map(Cow::Borrowed);
    }
    if segment.len() > 3 * MAX_NAME {
        return Err(NotAName);
    }
    let mut decoded = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16)).ok_or(NotAName);
        let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
        decoded.push(u8::try_from(high * 16 + low).map_err(|_| NotAName)?);
    }
    check(&decoded).map(|name| Cow::Owned(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_field_are_accepted() {
        for name in [
            "dev",
            "sht30_d1_mini",
            "ttgo-lora32-v21",
            "esp32-6c5e0e",
            "48:3F:DA:85:EA:2B",
            "+",
            "v1.2+b3",
            "...",
        ] {
            assert_eq!(check(name.as_bytes()), Ok(name));
        }
        assert!(check(&[b'a'; MAX_NAME]).is_ok());
    }

    #[test]
    fn everything_else_is_refused() {
        for name in [
            "", ".", "..", "a/b", "a\\b", "a b", "a\0", "é", "a%b", "~", "a\n",
        ] {
            assert_eq!(check(name.as_bytes()), Err(NotAName), "{name:?}");
        }
        assert!(check(&[b'a'; MAX_NAME + 1]).is_err());
    }

    #[test]
    fn percent_encoding_is_undone_before_the_check() {
        assert_eq!(from_segment("%73ht30").as_deref(), Ok("sht30"));
        assert_eq!(from_segment("%2B").as_deref(), Ok("+"));
        for bad in [
            "%", "%2", "%zz", "%2e%2E", "%2F", "a%00", "%c3%a9", "%5c", "%+1",
        ] {
            assert_eq!(from_segment(bad), Err(NotAName), "{bad}");
        }
    }
}
