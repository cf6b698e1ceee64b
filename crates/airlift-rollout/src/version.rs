//! The order of versions, as the people mean it who wrote them.
//!
//! Versions are texts that others choose. Where one is a semantic version, or nearly one, it has a place in an order; where it
//! is not, nothing is claimed about it.

use std::fmt;

/// Longest text that is looked at, in bytes.
const MAX_VERSION: usize = 64;

/// A version that has a place in an order.
///
/// Read are semantic versions (<https://semver.org>), leniently: a `v` in front, one or two numbers for three (`2`, `2.0`), zeros
/// in front of a number (`2026.01.05`). Build metadata (`+...`) counts for nothing, as the standard has it.
///
/// What `git describe` makes of a commit behind a tag (`v1.2.0-5-g1a2b3c4`, with `-dirty` behind it or not) comes *after* that tag.
/// By the letter of the standard it would be a pre-release and come before it; but it is the version that ESP-IDF gives to an app
/// by itself, and such a build is newer than the release.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    release: semver::Version,
    /// Commits since then.
    commits: u64,
    /// Built with changes that were not committed.
    dirty: bool,
}

impl Version {
    /// Reads a version. `None`: it has no place in the order.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_VERSION {
            return None;
        }
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let (text, dirty) = match text.strip_suffix("-dirty") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let (text, commits) = described(text).unwrap_or((text, 0));
        let text = text.split_once('+').map_or(text, |(text, _)| text);
        let (numbers, pre) = match text.split_once('-') {
            // The library takes an empty one for none.
            Some((_, "")) => return None,
            Some((numbers, pre)) => (numbers, semver::Prerelease::new(pre).ok()?),
            None => (text, semver::Prerelease::EMPTY),
        };
        let mut parts = [0; 3];
        let mut places = parts.iter_mut();
        for number in numbers.split('.') {
            let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
            *places.next()? = number.parse().ok().filter(|_| is_number)?;
        }
        let [major, minor, patch] = parts;
        Some(Self {
            release: semver::Version {
                major,
                minor,
                patch,
                pre,
                build: semver::BuildMetadata::EMPTY,
            },
            commits,
            dirty,
        })
    }
}

/// Takes `-N-gHASH` off, if that is how the text ends.
fn described(text: &str) -> Option<(&str, u64)> {
    let (text, hash) = text.rsplit_once("-g")?;
    let is_hash = (4..=40).contains(&hash.len()) && hash.bytes().all(|b| b.is_ascii_hexdigit());
    let (text, commits) = text.rsplit_once('-').filter(|_| is_hash)?;
    let is_number = !commits.is_empty() && commits.bytes().all(|b| b.is_ascii_digit());
    Some((text, commits.parse().ok().filter(|_| is_number)?))
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.release.fmt(f)?;
        if self.commits > 0 {
            write!(f, " and {} commits", self.commits)?;
        }
        if self.dirty {
            f.write_str(" and changes")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn versions_stand_in_the_order_that_people_mean() {
        let rising = [
            "0.0.0",
            "v0.9",
            "1.0.0-alpha",
            "1.0.0-alpha.2",
            "1.0.0-alpha.10",
            "1.0.0-rc1",
            "1.0.0-rc1-3-gabcdef0",
            "1",
            "1.0.0-dirty",
            "v1.0.0-5-g1a2b3c4",
            "v1.0.0-5-g1a2b3c4-dirty",
            "v1.0.0-12-g1a2b3c4",
            "1.0.1",
            "1.2",
            "1.10",
            "V2.0.0",
            "2026.01.05",
            "2026.1.12",
        ];
        for pair in rising.windows(2) {
            let parsed = pair.iter().map(|text| Version::parse(text).expect(text));
            let parsed: Vec<_> = parsed.collect();
            assert!(parsed[0] < parsed[1], "{pair:?}");
        }
    }

    #[test]
    fn the_same_version_can_be_written_in_several_ways() {
        for (one, other) in [
            ("2", "2.0.0"),
            ("v2.0", "2.0.0+build.7"),
            ("1.02.003", "1.2.3"),
            ("1.0.0-0-gabcd", "1.0.0"),
        ] {
            assert_eq!(Version::parse(one), Version::parse(other), "{one} {other}");
        }
    }

    #[test]
    fn what_is_no_version_has_no_place() {
        for text in [
            "",
            "v",
            "vv1",
            "latest",
            "1.2.3.4",
            "1..2",
            ".1",
            "1.",
            "1.2.x",
            "1.2rc1",
            "-1",
            "+1",
            "1.+2",
            "1.2.3-",
            "1.2.3-a..b",
            "8e12f3a",
            "1 .2",
            "١.٢",
            "99999999999999999999",
        ] {
            assert_eq!(Version::parse(text), None, "{text:?}");
        }
        assert_eq!(Version::parse(&format!("1.0.0-{}", "a".repeat(64))), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}|[v0-9.+a-g-]{0,30}") {
            let _ = Version::parse(&text);
        }

        #[test]
        fn numbers_are_compared_as_numbers(one: [u32; 3], other: [u32; 3]) {
            let text = |[a, b, c]: [u32; 3]| format!("{a}.{b}.{c}");
            let order = Version::parse(&text(one)).cmp(&Version::parse(&text(other)));
            prop_assert_eq!(order, one.cmp(&other));
        }
    }
}
