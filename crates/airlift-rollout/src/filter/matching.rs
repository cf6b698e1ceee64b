//! Whether a filter chooses a device.

use super::{AgeField, Filter, Node, Order, Test, TextField};
use crate::{Millis, Version};

/// What is known of a device, as far as a filter can ask for it. `None` and the empty text: not known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'a> {
    /// Its name.
    pub node: &'a str,
    /// The project that it asks in.
    pub project: &'a str,
    /// The device type, which picks its releases.
    pub key: &'a str,
    /// The group that a person put it in.
    pub group: Option<&'a str>,
    /// The tags that people gave it.
    pub tags: &'a [Box<str>],
    /// What it runs: by its digest, if that is a known release, otherwise by its word.
    pub version: Option<&'a str>,
    /// `esp8266` or `esp32`.
    pub family: Option<&'a str>,
    /// The version of its SDK.
    pub sdk: Option<&'a str>,
    /// What it was told last.
    pub decision: &'a str,
    /// How its last update ended.
    pub result: Option<&'a str>,
    /// When it was first heard of.
    pub first_seen: Millis,
    /// When it was last heard of.
    pub last_seen: Millis,
}

impl Filter {
    /// Whether the filter chooses this device at this time.
    #[must_use]
    pub fn matches(&self, device: &Facts<'_>, now: Millis) -> bool {
        self.root.matches(device, now)
    }
}

impl Node {
    pub(super) fn matches(&self, device: &Facts<'_>, now: Millis) -> bool {
        match self {
            Self::Any(nodes) => nodes.iter().any(|node| node.matches(device, now)),
            Self::All(nodes) => nodes.iter().all(|node| node.matches(device, now)),
            Self::Not(node) => !node.matches(device, now),
            Self::Test(test) => test.holds(device, now),
        }
    }
}

impl Test {
    fn holds(&self, device: &Facts<'_>, now: Millis) -> bool {
        match self {
            Self::Text {
                field,
                negated,
                pattern,
            } => {
                let fits = |text: &str| !text.is_empty() && is_like(text, pattern);
                let fits = match field {
                    TextField::Node => fits(device.node),
                    TextField::Project => fits(device.project),
                    TextField::Key => fits(device.key),
                    TextField::Group => device.group.is_some_and(fits),
                    TextField::Tag => device.tags.iter().any(|tag| fits(tag)),
                    TextField::Family => device.family.is_some_and(fits),
                    TextField::Sdk => device.sdk.is_some_and(fits),
                    TextField::Decision => fits(device.decision),
                    TextField::Result => device.result.is_some_and(fits),
                };
                fits != *negated
            }
            Self::Version {
                order,
                text,
                version,
            } => {
                let Some(runs) = device.version else {
                    return *order == Order::IsNot;
                };
                match (Version::parse(runs), version) {
                    (Some(runs), Some(version)) => order.holds(runs.cmp(version)),
                    _ => match order {
                        Order::Is => runs == &**text,
                        Order::IsNot => runs != &**text,
                        _ => false,
                    },
                }
            }
            Self::Age {
                field,
                order,
                seconds,
            } => {
                let since = match field {
                    AgeField::FirstSeen => device.first_seen,
                    AgeField::LastSeen => device.last_seen,
                };
                let age = i128::from(now.0) - i128::from(since.0);
                order.holds(age.cmp(&(i128::from(*seconds) * 1000)))
            }
        }
    }
}

/// Whether the text is what the pattern says, in which `*` stands for any characters. In time that grows with the product of
/// both lengths at worst, and both are bounded.
fn is_like(text: &str, pattern: &str) -> bool {
    let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
    let (mut at, mut in_pattern) = (0, 0);
    // Behind the last `*`, and how far it was taken to reach.
    let mut back: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(in_pattern) {
            Some(b'*') => {
                in_pattern += 1;
                back = Some((in_pattern, at));
            }
            Some(byte) if text.get(at) == Some(byte) => {
                at += 1;
                in_pattern += 1;
            }
            _ => {
                let Some((behind, reached)) = back else {
                    return false;
                };
                back = Some((behind, reached + 1));
                (at, in_pattern) = (reached + 1, behind);
            }
        }
    }
    pattern
        .get(in_pattern..)
        .is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::is_like;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (text, pattern) in [
            ("abc", "abc"),
            ("abc", "*"),
            ("abc", "a*"),
            ("abc", "*c"),
            ("abc", "a*c"),
            ("abc", "a**b*c"),
            ("abcbc", "a*bc"),
            ("", "*"),
            ("aab", "*ab"),
        ] {
            assert!(is_like(text, pattern), "{text} {pattern}");
        }
        for (text, pattern) in [
            ("abc", ""),
            ("abc", "ab"),
            ("abc", "bc"),
            ("abc", "a*d"),
            ("ab", "a*b*c"),
            ("abc", "A*"),
        ] {
            assert!(!is_like(text, pattern), "{text} {pattern}");
        }
    }
}
