//! Points in time, as they come from whoever has a clock.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z. Shown as RFC 3339 in UTC; read from RFC 3339 with any offset.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(into = "String", try_from = "String")]
pub struct Millis(pub i64);

impl Millis {
    /// So many minutes later.
    #[must_use]
    pub fn after_minutes(self, minutes: u32) -> Self {
        Self(self.0.saturating_add(i64::from(minutes) * 60_000))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(f, "{time:.3}"),
            // Years beyond 9999 and before -9999.
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl From<Millis> for String {
    fn from(time: Millis) -> Self {
        time.to_string()
    }
}

/// Why a text is not a point in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a time: write it as 2026-12-01T22:00:00Z, or with an offset as 2026-12-01T22:00:00+01:00"
)]
pub struct NotATime(String);

impl FromStr for Millis {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        let time: jiff::Timestamp = text.parse().map_err(|_| NotATime(text.to_owned()))?;
        Ok(Self(time.as_millisecond()))
    }
}

impl TryFrom<String> for Millis {
    type Error = NotATime;

    fn try_from(text: String) -> Result<Self, NotATime> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::Millis;

    #[test]
    fn times_are_read_as_they_are_written() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_795_205_309_042, "2026-11-20T20:08:29.042Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Millis(ms).to_string(), text);
            assert_eq!(text.parse(), Ok(Millis(ms)));
        }
        let offset = "2026-11-20T21:08:29.042+01:00";
        assert_eq!(offset.parse(), Ok(Millis(1_795_205_309_042)));
        assert!("tomorrow".parse::<Millis>().is_err());
        assert!("2026-11-20T20:08:29".parse::<Millis>().is_err());
        assert_eq!(Millis(i64::MAX).to_string(), format!("{} ms", i64::MAX));
    }
}
