//! What a device says about its last update, and about the partition that it asks for.

use crate::digest::Sha256;
use crate::name;

/// Longest accepted report, and longest accepted facts of a partition, in bytes.
pub(crate) const MAX_REPORT: usize = 256;

/// Reason of a roll-back that nobody decided: the device was reset before the image on trial had said anything.
pub(crate) const RESET_ON_TRIAL: &str = "not-confirmed";

/// How the device's last update ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResultState {
    /// The new image runs and declared itself good.
    Confirmed,
    /// The new image ran, did not declare itself good, and the old one is back.
    RolledBack,
    /// The image was not acceptable: chip, digest, signature, size, format.
    Refused,
    /// It did not work out for another reason.
    Failed,
    /// A reset or lost connection stopped it; it will be resumed.
    Interrupted,
}

impl ResultState {
    const ALL: [Self; 5] = [
        Self::Confirmed,
        Self::RolledBack,
        Self::Refused,
        Self::Failed,
        Self::Interrupted,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::RolledBack => "rolled-back",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// One report, as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Report<'a> {
    pub(crate) state: ResultState,
    /// The image that it is about.
    pub(crate) sha256: Option<Sha256>,
    pub(crate) version: Option<&'a str>,
    /// A token like `bad-digest`.
    pub(crate) reason: Option<&'a str>,
}

impl<'a> Report<'a> {
    /// Reads `state=S; sha256=HEX; version=V; reason=R`: any order, `state` needed, nothing twice, nothing unknown,
    /// spaces and tabs around `;` only. Anything else is no report.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        if text.len() > MAX_REPORT {
            return None;
        }
        let (mut state, mut sha256, mut version, mut reason) = (None, None, None, None);
        for part in text.split(';') {
            let (name, value) = part.trim_matches([' ', '\t']).split_once('=')?;
            let seen_before = match name {
                "state" => state.replace(ResultState::parse(value)?).is_some(),
                "sha256" => sha256.replace(Sha256::parse(value.as_bytes())?).is_some(),
                "version" => version.replace(token(value)?).is_some(),
                "reason" => reason.replace(token(value)?).is_some(),
                _ => return None,
            };
            if seen_before {
                return None;
            }
        }
        Some(Self {
            state: state?,
            sha256,
            version,
            reason,
        })
    }
}

/// What a device says of a partition, as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartitionFacts<'a> {
    pub(crate) name: &'a str,
    /// What was last installed there. `None`: nothing, or the device does not know.
    pub(crate) sha256: Option<Sha256>,
    pub(crate) version: Option<&'a str>,
}

impl<'a> PartitionFacts<'a> {
    /// Reads `name=N; sha256=HEX; version=V`: any order, `name` needed, else as strict as [`Report::parse`].
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        if text.len() > MAX_REPORT {
            return None;
        }
        let (mut name, mut sha256, mut version) = (None, None, None);
        for part in text.split(';') {
            let (field, value) = part.trim_matches([' ', '\t']).split_once('=')?;
            let seen_before = match field {
                "name" => {
                    let read = name::check_partition(value.as_bytes()).ok()?;
                    name.replace(read).is_some()
                }
                "sha256" => sha256.replace(Sha256::parse(value.as_bytes())?).is_some(),
                "version" => version.replace(token(value)?).is_some(),
                _ => return None,
            };
            if seen_before {
                return None;
            }
        }
        Some(Self {
            name: name?,
            sha256,
            version,
        })
    }
}

/// 1 to 64 visible ASCII characters; `;` cannot occur here and `,` would let a proxy join two headers into one.
fn token(text: &str) -> Option<&str> {
    let fits = (1..=64).contains(&text.len());
    (fits && text.bytes().all(|b| b.is_ascii_graphic() && b != b',')).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "8dffb149e1859bd81a0df868c868f7127257065ed234c8d58247c347d416d758";

    #[test]
    fn a_whole_report_and_the_shortest_are_read() {
        let text =
            format!("state=rolled-back; sha256={DIGEST}; version=1.2.0; reason=not-confirmed");
        let report = Report::parse(&text).unwrap();
        assert_eq!(report.state, ResultState::RolledBack);
        assert_eq!(report.sha256, Sha256::parse(DIGEST.as_bytes()));
        assert_eq!(
            (report.version, report.reason),
            (Some("1.2.0"), Some("not-confirmed"))
        );
        assert_eq!(
            Report::parse("state=confirmed").unwrap().state,
            ResultState::Confirmed
        );
        assert_eq!(
            Report::parse("reason=x;state=failed").unwrap().reason,
            Some("x")
        );
    }

    #[test]
    fn anything_else_is_no_report() {
        for text in [
            "",
            "state",
            "state=",
            "state=Confirmed",
            "state=confirmed;",
            "state=confirmed; state=failed",
            "state=confirmed; colour=red",
            "version=1.0",
            "state=failed; sha256=8dff",
            "state=failed; version=",
            "state=failed; reason=two words",
            "state=failed; reason=a,b",
        ] {
            assert_eq!(Report::parse(text), None, "{text:?}");
        }
        let long = format!("state=failed; reason={}", "r".repeat(65));
        assert_eq!(Report::parse(&long), None);
        let padded = format!("state=failed;{}reason=r", " ".repeat(MAX_REPORT));
        assert_eq!(Report::parse(&padded), None);
    }

    #[test]
    fn a_partition_is_named_and_the_rest_may_be_missing() {
        let whole = format!("name=storage; sha256={DIGEST}; version=1.2.0");
        let turned = format!(
            "version=1.2.0 ;\tsha256={} ;name=storage",
            DIGEST.to_uppercase()
        );
        for text in [&whole, &turned] {
            let facts = PartitionFacts::parse(text).unwrap();
            assert_eq!((facts.name, facts.version), ("storage", Some("1.2.0")));
            assert_eq!(facts.sha256, Sha256::parse(DIGEST.as_bytes()));
        }
        let shortest = PartitionFacts::parse("name=0123456789abcdef").unwrap();
        assert_eq!((shortest.sha256, shortest.version), (None, None));
    }

    #[test]
    fn anything_else_is_no_partition() {
        for text in [
            "",
            "storage",
            "name",
            "name=",
            "name=..",
            "name=a b",
            "name=a/b",
            "name=0123456789abcdefg",
            "name=a; name=b",
            "name=a;",
            "Name=a",
            "version=1.0",
            "name=a; size=1",
            "name=a; sha256=8dff",
            "name=a; version=",
            "name=a; version=1,2",
            "name=a, b",
        ] {
            assert_eq!(PartitionFacts::parse(text), None, "{text:?}");
        }
        let long = format!("name=a; version={}", "v".repeat(65));
        assert_eq!(PartitionFacts::parse(&long), None);
        let padded = format!("name=a;{}version=1", " ".repeat(MAX_REPORT));
        assert_eq!(PartitionFacts::parse(&padded), None);
    }

    proptest::proptest! {
        /// What is read is what stands there, and nothing makes a reader panic.
        #[test]
        fn facts_that_are_read_are_those_that_were_written(
            text in "\\PC{0,40}|((name|sha256|version|state|x)=[a-z0-9.;= ]{0,20}; ?){1,4}",
            name in "[A-Za-z0-9_.+:-]{1,16}", version in "[!-+--:<-~]{1,64}", sha256: [u8; 32], with in 0_u8..4,
        ) {
            let _ = (PartitionFacts::parse(&text), Report::parse(&text));
            proptest::prop_assume!(name != "." && name != "..");
            let facts = PartitionFacts {
                name: &name,
                sha256: (with & 1 != 0).then_some(Sha256(sha256)),
                version: (with & 2 != 0).then_some(&*version),
            };
            let mut text = format!("name={name}");
            if let Some(sha256) = facts.sha256 {
                text += &format!("; sha256={sha256}");
            }
            if let Some(version) = facts.version {
                text += &format!("; version={version}");
            }
            proptest::prop_assert_eq!(PartitionFacts::parse(&text), Some(facts));
        }
    }
}
