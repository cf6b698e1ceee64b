//! What a person orders.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Filter, Millis, Window};

/// Most stages of a rollout, beside the one of named devices and the last one.
pub const MAX_STAGES: usize = 20;
/// Most devices that are named to come first.
pub const MAX_CANARIES: usize = 1000;
/// Highest rate, in devices a minute.
pub const MAX_RATE: u32 = 100_000;
/// Longest time that a device is waited for: 90 days.
pub const MAX_ANSWER_MINUTES: u32 = 90 * 24 * 60;

/// A rollout as it was ordered. It never changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Which release.
    pub release: i64,
    /// Which devices, of those that the release is for. `None`: all of them.
    #[serde(default)]
    pub filter: Option<Filter>,
    /// Devices that come first, in a stage of their own, whatever the filter says of them.
    #[serde(default)]
    pub canaries: Vec<Box<str>>,
    /// How many devices there are up to the end of each stage. Behind the last one comes a stage of all others.
    #[serde(default)]
    pub stages: Vec<Share>,
    /// The next stage opens when so many percent of a stage's devices have confirmed.
    #[serde(default = "default_success")]
    pub success_percent: u8,
    /// It stops by itself when so many percent of a stage's devices have failed ...
    #[serde(default = "default_failure")]
    pub failure_percent: u8,
    /// ... or so many devices in all.
    #[serde(default)]
    pub failure_count: Option<u32>,
    /// Most devices that are offered the release in any 60 seconds.
    #[serde(default)]
    pub per_minute: Option<u32>,
    /// It starts then, and not before.
    #[serde(default)]
    pub start_at: Option<Millis>,
    /// Updates begin only while it is open.
    #[serde(default)]
    pub window: Option<Window>,
    /// Devices that come after the start are taken in, into the last stage.
    #[serde(default = "yes")]
    pub enrol: bool,
    /// It starts only after somebody else than who made it has approved.
    #[serde(default)]
    pub approval: bool,
    /// Devices get the release also if they run a newer version.
    #[serde(default)]
    pub allow_downgrade: bool,
    /// A device that says nothing for so long after it was offered the release counts as failed, until it comes again.
    #[serde(default = "default_answer")]
    pub answer_minutes: u32,
}

fn default_success() -> u8 {
    90
}

fn default_failure() -> u8 {
    20
}

fn default_answer() -> u32 {
    24 * 60
}

fn yes() -> bool {
    true
}

impl Plan {
    /// A release for all devices that it is for, at once: the default of everything.
    #[must_use]
    pub fn of(release: i64) -> Self {
        Self {
            release,
            filter: None,
            canaries: Vec::new(),
            stages: Vec::new(),
            success_percent: default_success(),
            failure_percent: default_failure(),
            failure_count: None,
            per_minute: None,
            start_at: None,
            window: None,
            enrol: true,
            approval: false,
            allow_downgrade: false,
            answer_minutes: default_answer(),
        }
    }

    /// Whether the plan makes sense.
    ///
    /// # Errors
    /// What does not, and what to do.
    pub fn check(&self) -> Result<(), BadPlan> {
        let percents = [
            ("success_percent", self.success_percent),
            ("failure_percent", self.failure_percent),
        ];
        for (field, percent) in percents {
            if !(1..=100).contains(&percent) {
                let (least, most) = (1, 100);
                return Err(BadPlan::OutOfRange { field, least, most });
            }
        }
        let numbers = [
            ("failure_count", self.failure_count, u32::MAX),
            ("per_minute", self.per_minute, MAX_RATE),
            (
                "answer_minutes",
                Some(self.answer_minutes),
                MAX_ANSWER_MINUTES,
            ),
        ];
        for (field, number, most) in numbers {
            if number.is_some_and(|number| !(1..=most).contains(&number)) {
                let least = 1;
                return Err(BadPlan::OutOfRange { field, least, most });
            }
        }
        if self.stages.len() > MAX_STAGES {
            let (what, most) = ("stages", MAX_STAGES);
            return Err(BadPlan::TooMany { what, most });
        }
        if self.canaries.len() > MAX_CANARIES {
            let (what, most) = ("canaries", MAX_CANARIES);
            return Err(BadPlan::TooMany { what, most });
        }
        let mut names: Vec<_> = self.canaries.iter().collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(BadPlan::NamedTwice(pair[0].to_string()));
        }
        let (mut count, mut percent) = (0, 0);
        for stage in &self.stages {
            let (last, now) = match stage {
                Share::Count(now) => (&mut count, *now),
                Share::Percent(now) => (&mut percent, u32::from(*now)),
            };
            if now <= *last {
                return Err(BadPlan::NotRising(stage.to_string()));
            }
            *last = now;
        }
        Ok(())
    }
}

/// Why a plan makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadPlan {
    /// A number is too small or too large.
    #[error("{field} is a number from {least} to {most}")]
    OutOfRange {
        /// Which one.
        field: &'static str,
        /// The smallest that it may be.
        least: u32,
        /// The largest.
        most: u32,
    },
    /// There are too many of something.
    #[error("a rollout has at most {most} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        most: usize,
    },
    /// A device comes first two times.
    #[error("device {0} is named twice among the canaries")]
    NamedTwice(String),
    /// A stage does not go beyond the one before it.
    #[error(
        "stage {0} does not go beyond the one before it: each says how many devices there are up to its end, as in 1%,10%,50%"
    )]
    NotRising(String),
}

/// So many devices: `10%` or `25`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Share {
    /// 1 to 100 of a hundred. Of a device that would be cut in two there is the whole.
    Percent(u8),
    /// This many, or all if there are fewer.
    Count(u32),
}

impl Share {
    /// How many of `all` that is.
    #[must_use]
    pub fn of(self, all: usize) -> usize {
        match self {
            Self::Percent(percent) => (all * usize::from(percent)).div_ceil(100),
            Self::Count(count) => all.min(usize::try_from(count).unwrap_or(usize::MAX)),
        }
    }
}

/// Why a text is not a share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a number of devices: write 1% to 100%, or a number from 1 on like 25")]
pub struct NotAShare(String);

impl FromStr for Share {
    type Err = NotAShare;

    fn from_str(text: &str) -> Result<Self, NotAShare> {
        let (number, is_percent) = match text.strip_suffix('%') {
            Some(number) => (number, true),
            None => (text, false),
        };
        let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        let number: Option<u32> = number
            .parse()
            .ok()
            .filter(|number| is_number && *number > 0);
        let share = match number {
            Some(number) if is_percent => u8::try_from(number)
                .ok()
                .filter(|percent| *percent <= 100)
                .map(Self::Percent),
            Some(number) => Some(Self::Count(number)),
            None => None,
        };
        share.ok_or_else(|| NotAShare(text.to_owned()))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Count(count) => write!(f, "{count}"),
        }
    }
}

impl TryFrom<String> for Share {
    type Error = NotAShare;

    fn try_from(text: String) -> Result<Self, NotAShare> {
        text.parse()
    }
}

impl From<Share> for String {
    fn from(share: Share) -> Self {
        share.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_never_less_than_what_it_says() {
        for (share, all, expected) in [
            (Share::Percent(1), 0, 0),
            (Share::Percent(1), 1, 1),
            (Share::Percent(1), 100, 1),
            (Share::Percent(1), 101, 2),
            (Share::Percent(10), 20, 2),
            (Share::Percent(100), 7, 7),
            (Share::Count(5), 4, 4),
            (Share::Count(5), 6, 5),
        ] {
            assert_eq!(share.of(all), expected, "{share} of {all}");
        }
    }

    #[test]
    fn shares_are_read_as_they_are_written() {
        for share in [
            Share::Percent(1),
            Share::Percent(100),
            Share::Count(1),
            Share::Count(u32::MAX),
        ] {
            assert_eq!(share.to_string().parse(), Ok(share));
        }
        for text in [
            "",
            "%",
            "0",
            "0%",
            "101%",
            "300%",
            "-1",
            "+1",
            "1.5%",
            "4294967296",
            "1 %",
        ] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_plan_is_stored_and_read_back_and_needs_only_a_release() {
        let shortest: Plan = serde_json::from_str(r#"{"release":7}"#).unwrap();
        assert_eq!(shortest, Plan::of(7));
        assert_eq!(shortest.check(), Ok(()));
        let whole = Plan {
            filter: Some("tag=lab".parse().unwrap()),
            canaries: vec!["a".into()],
            stages: vec![Share::Percent(10), Share::Count(500)],
            failure_count: Some(3),
            per_minute: Some(60),
            start_at: Some(Millis(1_795_205_309_042)),
            window: Some("22:00-05:00 Europe/Berlin".parse().unwrap()),
            ..Plan::of(7)
        };
        let text = serde_json::to_string(&whole).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), whole);
        assert!(serde_json::from_str::<Plan>(r#"{"release":7,"stage":"10%"}"#).is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        let stages = |texts: &[&str]| Plan {
            stages: texts.iter().map(|text| text.parse().unwrap()).collect(),
            ..Plan::of(1)
        };
        let with = |change: fn(&mut Plan)| {
            let mut plan = Plan::of(1);
            change(&mut plan);
            plan
        };
        for plan in [
            with(|plan| plan.success_percent = 0),
            with(|plan| plan.success_percent = 101),
            with(|plan| plan.failure_percent = 0),
            with(|plan| plan.failure_count = Some(0)),
            with(|plan| plan.per_minute = Some(0)),
            with(|plan| plan.per_minute = Some(MAX_RATE + 1)),
            with(|plan| plan.answer_minutes = 0),
            with(|plan| plan.canaries = vec!["b".into(), "a".into(), "b".into()]),
            with(|plan| plan.stages = vec![Share::Count(1); MAX_STAGES + 1]),
            stages(&["10%", "10%"]),
            stages(&["10%", "5", "2"]),
        ] {
            assert!(plan.check().is_err(), "{plan:?}");
        }
        assert_eq!(stages(&["5", "1%", "50", "10%", "100%"]).check(), Ok(()));
    }
}
