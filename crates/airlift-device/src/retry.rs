//! When to ask again, and when to give up.

/// How long to wait for an answer. The wait doubles with each repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The first wait, in milliseconds; never 0.
    pub first: u32,
    /// The longest wait, in milliseconds; less than 24 days.
    pub longest: u32,
    /// How often the question is put, all in all.
    pub limit: u8,
}

impl Default for Retry {
    /// 5 seconds, 10, 20, 40 and then 60: some five minutes, all in all.
    fn default() -> Self {
        Self {
            first: 5_000,
            longest: 60_000,
            limit: 8,
        }
    }
}

/// The wait for one answer. Times are milliseconds of a clock that wraps around.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timer {
    retry: Retry,
    wait: u32,
    asked: u8,
    due: u32,
}

impl Timer {
    /// The question is put for the first time.
    pub(crate) const fn start(retry: Retry, now: u32) -> Self {
        Self {
            retry,
            wait: retry.first,
            asked: 1,
            due: now.wrapping_add(retry.first),
        }
    }

    /// When the wait ends.
    pub(crate) const fn due(&self) -> u32 {
        self.due
    }

    pub(crate) const fn is_due(&self, now: u32) -> bool {
        is_due(self.due, now)
    }

    /// The question is put again; `false`: often enough.
    pub(crate) fn again(&mut self, now: u32) -> bool {
        if self.asked >= self.retry.limit {
            return false;
        }
        self.asked += 1;
        self.wait = self.wait.saturating_mul(2).min(self.retry.longest);
        self.due = now.wrapping_add(self.wait);
        true
    }

    /// The wait ends now.
    pub(crate) const fn expire(&mut self, now: u32) {
        self.due = now;
    }
}

/// Whether `now` is not before `due`.
pub(crate) const fn is_due(due: u32, now: u32) -> bool {
    now.wrapping_sub(due).cast_signed() >= 0
}

/// The earlier one.
pub(crate) fn earlier(one: Option<u32>, other: Option<u32>) -> Option<u32> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if is_due(one, other) { one } else { other }),
        _ => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_end_with_the_limit() {
        let retry = Retry {
            first: 100,
            longest: 300,
            limit: 4,
        };
        // Across the end of the clock.
        let mut now = u32::MAX - 150;
        let mut timer = Timer::start(retry, now);
        for wait in [100, 200, 300] {
            assert!(!timer.is_due(now.wrapping_add(wait - 1)));
            now = now.wrapping_add(wait);
            assert!(timer.is_due(now));
            assert!(timer.again(now));
        }
        assert!(!timer.again(now));
    }

    #[test]
    fn the_earlier_time_is_found_across_the_end_of_the_clock() {
        assert_eq!(earlier(Some(u32::MAX), Some(3)), Some(u32::MAX));
        assert_eq!(earlier(Some(3), Some(u32::MAX)), Some(u32::MAX));
        assert_eq!(earlier(None, Some(3)), Some(3));
        assert_eq!(earlier(None, None), None);
    }
}
