//! Maintenance windows: when in the week devices may be updated, by the clocks of a place.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};

use crate::Millis;

/// A time of day, on some days of the week, in a time zone: `mon-fri 22:00-05:00 Europe/Berlin`.
///
/// Without days it is every day. A window over midnight belongs to the day on which it opens. From a time to the same time it is
/// open for a whole day. What counts is what the clocks there show: in the night when they are put forward a window from 02:00 to
/// 03:00 does not open, and when they are put back it is open for two hours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Window {
    /// One bit a day, Monday first.
    days: u8,
    /// Minutes after midnight.
    opens: u16,
    closes: u16,
    zone: TimeZone,
    zone_name: Box<str>,
}

/// Why a text is not a window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAWindow {
    /// Not two or three words.
    #[error(
        "a window has a time and a time zone, and days if need be: mon-fri 22:00-05:00 Europe/Berlin"
    )]
    Words,
    /// The days cannot be read.
    #[error("{0:?} are no days: write mon-fri, or sat,sun, with mon tue wed thu fri sat sun")]
    Days(String),
    /// The time cannot be read.
    #[error("{0:?} is no time: write 22:00-05:00, from 00:00 to 23:59")]
    Time(String),
    /// There is no such time zone.
    #[error(
        "{0:?} is no time zone that is known here: write UTC, or a name like Europe/Berlin or America/New_York"
    )]
    Zone(String),
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const EVERY_DAY: u8 = 0x7F;

impl Window {
    /// Whether it is open at this time.
    #[must_use]
    pub fn is_open(&self, at: Millis) -> bool {
        let Ok(at) = Timestamp::from_millisecond(at.0) else {
            return false;
        };
        let there = self.zone.to_datetime(at);
        let minute = minute_of_day(there);
        let (today, yesterday) = (
            self.has(there.weekday()),
            self.has(there.weekday().previous()),
        );
        if self.opens < self.closes {
            today && (self.opens..self.closes).contains(&minute)
        } else {
            (today && minute >= self.opens) || (yesterday && minute < self.closes)
        }
    }

    /// When it opens next, after this time. `None`: it does not within a fortnight, or the time is out of all reason.
    #[must_use]
    pub fn next_opening(&self, after: Millis) -> Option<Millis> {
        let there = self
            .zone
            .to_datetime(Timestamp::from_millisecond(after.0).ok()?);
        let (hour, minute) = (self.opens / 60, self.opens % 60);
        let opens = Time::new(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, 0, 0).ok()?;
        (0..=14).find_map(|days| {
            let date = there.date().checked_add(days.days()).ok()?;
            let opening = self.zone.to_timestamp(date.to_datetime(opens)).ok()?;
            let opening = Millis(opening.as_millisecond());
            (self.has(date.weekday()) && opening > after && self.is_open(opening))
                .then_some(opening)
        })
    }

    fn has(&self, day: Weekday) -> bool {
        self.days & (1 << day.to_monday_zero_offset()) != 0
    }
}

fn minute_of_day(time: DateTime) -> u16 {
    u16::from(time.hour().unsigned_abs()) * 60 + u16::from(time.minute().unsigned_abs())
}

impl FromStr for Window {
    type Err = NotAWindow;

    fn from_str(text: &str) -> Result<Self, NotAWindow> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let (days, time, zone) = match *words {
            [days, time, zone] => (Some(days), time, zone),
            [time, zone] => (None, time, zone),
            _ => return Err(NotAWindow::Words),
        };
        let days = days.map_or(Ok(EVERY_DAY), |text| {
            days_of(text).ok_or_else(|| NotAWindow::Days(text.to_owned()))
        })?;
        let (opens, closes) = time
            .split_once('-')
            .and_then(|(opens, closes)| Some((minutes(opens)?, minutes(closes)?)))
            .ok_or_else(|| NotAWindow::Time(time.to_owned()))?;
        // As a name only: what looks like a path is none.
        let is_name = zone
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"/_+-".contains(&b));
        let found = is_name.then(|| TimeZone::get(zone).ok()).flatten();
        let found = found.ok_or_else(|| NotAWindow::Zone(zone.to_owned()))?;
        Ok(Self {
            days,
            opens,
            closes,
            zone_name: found.iana_name().unwrap_or(zone).into(),
            zone: found,
        })
    }
}

/// `mon-fri` or `sat,sun` or both mixed; `fri-mon` goes over the weekend.
fn days_of(text: &str) -> Option<u8> {
    let day = |name: &str| DAYS.iter().position(|day| day.eq_ignore_ascii_case(name));
    let mut days = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let count = (last + 7 - first) % 7;
        for day in first..=first + count {
            days |= 1 << (day % 7);
        }
    }
    Some(days)
}

fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let two_digits = |text: &str| {
        let is_number = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u16>().ok().filter(|_| is_number)
    };
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days != EVERY_DAY {
            let mut comma = "";
            for (index, day) in DAYS.iter().enumerate() {
                if self.days & (1 << index) != 0 {
                    write!(f, "{comma}{day}")?;
                    comma = ",";
                }
            }
            f.write_str(" ")?;
        }
        let Self { opens, closes, .. } = self;
        write!(
            f,
            "{:02}:{:02}-{:02}:{:02} {}",
            opens / 60,
            opens % 60,
            closes / 60,
            closes % 60,
            self.zone_name
        )
    }
}

impl TryFrom<String> for Window {
    type Error = NotAWindow;

    fn try_from(text: String) -> Result<Self, NotAWindow> {
        text.parse()
    }
}

impl From<Window> for String {
    fn from(window: Window) -> Self {
        window.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Millis {
        text.parse().expect(text)
    }

    fn window(text: &str) -> Window {
        text.parse().expect(text)
    }

    #[test]
    fn a_window_is_open_by_the_clocks_of_its_place() {
        let night = window("mon-fri 22:00-05:00 Europe/Berlin");
        // 2026-11-27 is a Friday; Berlin is an hour ahead of UTC in winter.
        for (time, is_open) in [
            ("2026-11-27T20:59:59Z", false),
            ("2026-11-27T21:00:00Z", true),
            ("2026-11-28T03:59:59Z", true),
            ("2026-11-28T04:00:00Z", false),
            ("2026-11-28T21:30:00Z", false),
            ("2026-11-29T21:30:00Z", false),
            ("2026-11-30T03:00:00Z", false),
            ("2026-11-30T21:00:00Z", true),
            // And two in summer.
            ("2026-07-03T20:00:00Z", true),
            ("2026-07-04T03:00:00Z", false),
        ] {
            assert_eq!(night.is_open(at(time)), is_open, "{time}");
        }
        let noon = window("sat,sun 12:00-13:00 UTC");
        assert!(noon.is_open(at("2026-11-28T12:00:00Z")));
        assert!(!noon.is_open(at("2026-11-28T13:00:00Z")));
        assert!(!noon.is_open(at("2026-11-27T12:00:00Z")));
        assert!(!noon.is_open(Millis(i64::MAX)));
    }

    #[test]
    fn clocks_that_are_put_forward_and_back() {
        let early = window("02:00-03:00 Europe/Berlin");
        // 2026-03-29: at 01:00 UTC the clocks go from 02:00 to 03:00.
        let minutes = |day: &str| {
            let start = at(&format!("{day}T00:00:00Z")).0 - 3_600_000;
            let open = (0..24 * 60).filter(|minute| early.is_open(Millis(start + minute * 60_000)));
            open.count()
        };
        assert_eq!(minutes("2026-03-28"), 60);
        assert_eq!(minutes("2026-03-29"), 0);
        assert_eq!(minutes("2026-10-25"), 120);
        assert_eq!(
            early.next_opening(at("2026-03-28T12:00:00Z")),
            Some(at("2026-03-30T00:00:00Z"))
        );
    }

    #[test]
    fn the_next_opening_is_told() {
        let night = window("mon-fri 22:00-05:00 Europe/Berlin");
        for (time, opening) in [
            ("2026-11-27T12:00:00Z", "2026-11-27T21:00:00Z"),
            ("2026-11-27T21:00:00Z", "2026-11-30T21:00:00Z"),
            ("2026-11-28T12:00:00Z", "2026-11-30T21:00:00Z"),
        ] {
            assert_eq!(night.next_opening(at(time)), Some(at(opening)), "{time}");
        }
        assert_eq!(night.next_opening(Millis(i64::MAX)), None);
    }

    #[test]
    fn days_are_read_and_written() {
        for (text, written) in [
            (
                "mon-fri 22:00-05:00 Europe/Berlin",
                "mon,tue,wed,thu,fri 22:00-05:00 Europe/Berlin",
            ),
            (
                "FRI-mon  00:00-00:00 utc",
                "mon,fri,sat,sun 00:00-00:00 UTC",
            ),
            (
                "mon-sun 01:00-02:30 America/New_York",
                "01:00-02:30 America/New_York",
            ),
            ("tue,tue 23:59-00:00 UTC", "tue 23:59-00:00 UTC"),
        ] {
            assert_eq!(window(text).to_string(), written);
            assert_eq!(window(written), window(text));
        }
    }

    #[test]
    fn anything_else_is_no_window() {
        let error = |text: &str| text.parse::<Window>().unwrap_err();
        for text in ["", "22:00-05:00", "mon 22:00 - 05:00 UTC x"] {
            assert_eq!(error(text), NotAWindow::Words, "{text}");
        }
        for time in [
            "22:00",
            "22-05",
            "24:00-01:00",
            "22:60-23:00",
            "2:00-03:00",
            "22:00-05:00-06:00",
            "+1:00-02:00",
        ] {
            assert_eq!(
                error(&format!("{time} UTC")),
                NotAWindow::Time(time.to_owned()),
                "{time}"
            );
        }
        for days in ["monday", "mon-", "mon,", "-", "mon-tue-wed"] {
            assert_eq!(
                error(&format!("{days} 01:00-02:00 UTC")),
                NotAWindow::Days(days.to_owned()),
                "{days}"
            );
        }
        for zone in [
            "Berlin",
            "../../etc/passwd",
            "/etc/localtime",
            "Europe/Berlin.",
            "ü",
        ] {
            assert_eq!(
                error(&format!("01:00-02:00 {zone}")),
                NotAWindow::Zone(zone.to_owned()),
                "{zone}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}|[a-z,-]{0,9} [0-9:-]{0,12} (UTC|Europe/Berlin|x)") {
            if let Ok(window) = text.parse::<Window>() {
                prop_assert_eq!(window.to_string().parse(), Ok(window));
            }
        }

        #[test]
        fn a_window_of_a_whole_day_is_open_as_long_as_its_days_last(opens in 0_u16..1440, now in 0_i64..4_000_000_000_000) {
            let text = format!("{:02}:{:02}", opens / 60, opens % 60);
            let always = window(&format!("{text}-{text} Asia/Kathmandu"));
            prop_assert!(always.is_open(Millis(now)));
        }

        #[test]
        fn an_opening_is_the_first_moment_at_which_it_is_open(
            days in 1_u8..128, opens in 0_u16..1440, length in 1_u16..1439, now in 0_i64..4_000_000_000_000,
        ) {
            let zone = TimeZone::get("Asia/Kathmandu").unwrap();
            let closes = (opens + length) % 1440;
            let window = Window { days, opens, closes, zone, zone_name: "Asia/Kathmandu".into() };
            let opening = window.next_opening(Millis(now)).unwrap();
            prop_assert!(opening.0 > now && window.is_open(opening));
            prop_assert!(!window.is_open(Millis(opening.0 - 1)) || length > 1300);
        }
    }
}
