//! How many requests that make the server write one client may send.

use std::time::Duration;

use tokio::time::Instant;

/// One in so much time, in the long run. A device needs some ten requests for an update.
const EACH: Duration = Duration::from_millis(50);
/// How far a client may be ahead of that: 100 requests at once.
const AHEAD: Duration = Duration::from_secs(5);

/// A client's allowance: when it would be used up to the last, had it come evenly.
#[derive(Debug)]
pub(super) struct Allowance(Instant);

impl Allowance {
    pub(super) fn new(now: Instant) -> Self {
        Self(now)
    }

    /// Takes one.
    ///
    /// # Errors
    /// When there is none left: when there will be one.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let next = self.0.max(now) + EACH;
        if next > now + AHEAD {
            return Err(next - AHEAD);
        }
        self.0 = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_at_once_then_twenty_a_second() {
        let mut now = Instant::now();
        let mut allowance = Allowance::new(now);
        for _ in 0..100 {
            assert_eq!(allowance.take(now), Ok(()));
        }
        let mut taken = 0;
        let end = now + Duration::from_secs(10);
        while now <= end {
            match allowance.take(now) {
                Ok(()) => taken += 1,
                Err(until) => {
                    assert!(until > now && until <= now + EACH);
                    now = until;
                }
            }
        }
        assert_eq!(taken, 200);
        // What is not used adds up, but not beyond the start.
        now += Duration::from_secs(3600);
        let at_once = (0..).take_while(|_| allowance.take(now).is_ok()).count();
        assert_eq!(at_once, 100);
    }
}
