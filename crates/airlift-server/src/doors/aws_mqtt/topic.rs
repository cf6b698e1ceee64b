//! Where a thing may publish and subscribe: below `$aws/things/<its own name>/`, and nowhere else.
//!
//! What comes behind that is the business of the service, which knows its operations. Here it is only made sure that it is the
//! thing's own, and text that a log can show.

use super::codec::{Qos, Reason};

const THINGS: &str = "$aws/things/";

/// Longest topic or filter, in bytes. The longest that the protocols have is 247: a `rejected` below a stream.
const MAX_TOPIC: usize = 512;

/// Most subscriptions of one client; AWS allows 50. The protocols have some twenty topics.
pub(super) const MAX_SUBSCRIPTIONS: usize = 32;

/// What stands behind the thing's own prefix. `None`: the thing has no business there.
pub(super) fn own<'t>(topic: &'t str, thing: &str) -> Option<&'t str> {
    let rest = topic
        .strip_prefix(THINGS)?
        .strip_prefix(thing)?
        .strip_prefix('/')?;
    let is_plain = |c: char| !c.is_control() && !matches!(c, '+' | '#');
    (topic.len() <= MAX_TOPIC && !rest.is_empty() && rest.chars().all(is_plain)).then_some(rest)
}

/// The whole topic of something below the thing's prefix.
pub(super) fn full(thing: &str, rest: &str) -> String {
    format!("{THINGS}{thing}/{rest}")
}

/// What a thing has subscribed to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Subscriptions(Vec<(Box<str>, Qos)>);

impl Subscriptions {
    /// Adds a subscription, or changes the QoS of the one with this filter.
    ///
    /// # Errors
    /// The reason for SUBACK when the filter is not the thing's own or not a filter, or when there are too many.
    pub(super) fn add(&mut self, filter: &str, thing: &str, qos: Qos) -> Result<Qos, Reason> {
        if filter.starts_with("$share/") {
            return Err(Reason::SharedSubscriptionsNotSupported);
        }
        if !is_well_formed(filter) {
            return Err(Reason::TopicFilterInvalid);
        }
        let rest = own_filter(filter, thing).ok_or(Reason::NotAuthorized)?;
        if let Some((_, granted)) = self.0.iter_mut().find(|(known, _)| **known == *rest) {
            *granted = qos;
            return Ok(qos);
        }
        if self.0.len() >= MAX_SUBSCRIPTIONS {
            return Err(Reason::QuotaExceeded);
        }
        self.0.push((rest.into(), qos));
        Ok(qos)
    }

    /// Whether there was such a subscription.
    pub(super) fn remove(&mut self, filter: &str, thing: &str) -> bool {
        let before = self.0.len();
        if let Some(rest) = own_filter(filter, thing) {
            self.0.retain(|(known, _)| **known != *rest);
        }
        self.0.len() < before
    }

    /// The QoS for a message: the highest of all subscriptions that it matches. `None`: there is none.
    pub(super) fn qos(&self, rest: &str) -> Option<Qos> {
        let matching = self.0.iter().filter(|(filter, _)| matches(filter, rest));
        matching.map(|(_, qos)| *qos).max()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes that they cost, about.
    pub(super) fn cost(&self) -> usize {
        let filters = self.0.iter().map(|(filter, _)| filter.len());
        size_of_val(self.0.as_slice()) + filters.sum::<usize>()
    }
}

fn own_filter<'t>(filter: &'t str, thing: &str) -> Option<&'t str> {
    let rest = filter
        .strip_prefix(THINGS)?
        .strip_prefix(thing)?
        .strip_prefix('/')?;
    (!rest.is_empty()).then_some(rest)
}

/// MQTT 5, section 4.7.1: a wildcard fills its level, and `#` is the last.
fn is_well_formed(filter: &str) -> bool {
    let mut levels = filter.split('/').peekable();
    let mut is_fine = !filter.is_empty() && filter.len() <= MAX_TOPIC;
    while let Some(level) = levels.next() {
        is_fine &= match level {
            "+" => true,
            "#" => levels.peek().is_none(),
            _ => !level
                .chars()
                .any(|c| c.is_control() || matches!(c, '+' | '#')),
        };
    }
    is_fine
}

/// Whether a well-formed filter matches a topic, level by level. `a/#` matches `a` too.
fn matches(filter: &str, topic: &str) -> bool {
    let mut topic = topic.split('/');
    for wanted in filter.split('/') {
        if wanted == "#" {
            return true;
        }
        match topic.next() {
            Some(level) if wanted == "+" || wanted == level => {}
            // "a/#" and "a"
            None => return wanted == "#",
            Some(_) => return false,
        }
    }
    topic.next().is_none()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_is_below_the_own_name_is_own() {
        for (topic, rest) in [
            ("$aws/things/dev-1/jobs/get", Some("jobs/get")),
            ("$aws/things/dev-1/jobs/$next/get", Some("jobs/$next/get")),
            ("$aws/things/dev-1/é", Some("é")),
            ("$aws/things/dev-1/", None),
            ("$aws/things/dev-1", None),
            ("$aws/things/dev-10/jobs/get", None),
            ("$aws/things/dev-/jobs/get", None),
            ("$aws/things/dev-2/jobs/get", None),
            ("$aws/things/dev-1/jobs/+/get", None),
            ("$aws/things/dev-1/#", None),
            ("$aws/things/+/jobs/get", None),
            ("$aws/things//jobs/get", None),
            ("$AWS/things/dev-1/jobs/get", None),
            ("/$aws/things/dev-1/jobs/get", None),
            ("$aws/things/dev-1/jobs\0/get", None),
            ("$aws/things/dev-1/jobs\n/get", None),
            ("$aws/events/job/x", None),
            ("$SYS/broker", None),
            ("jobs/get", None),
            ("", None),
        ] {
            assert_eq!(own(topic, "dev-1"), rest, "{topic:?}");
        }
        assert_eq!(own(&full("dev-1", &"x".repeat(600)), "dev-1"), None);
        assert_eq!(own(&full("dev-1", "jobs/get"), "dev-1"), Some("jobs/get"));
    }

    #[test]
    fn filters_are_granted_below_the_own_name() {
        let granted = Ok(Qos::AtLeastOnce);
        for (filter, verdict) in [
            ("$aws/things/dev-1/#", granted),
            ("$aws/things/dev-1/+/notify", granted),
            ("$aws/things/dev-1/jobs/+/update/accepted", granted),
            ("$aws/things/dev-1/jobs/notify-next", granted),
            ("$aws/things/dev-2/#", Err(Reason::NotAuthorized)),
            ("$aws/things/+/jobs/notify", Err(Reason::NotAuthorized)),
            ("$aws/things/dev-1", Err(Reason::NotAuthorized)),
            ("$aws/things/#", Err(Reason::NotAuthorized)),
            ("$aws/#", Err(Reason::NotAuthorized)),
            ("#", Err(Reason::NotAuthorized)),
            ("+/things/dev-1/#", Err(Reason::NotAuthorized)),
            ("$SYS/#", Err(Reason::NotAuthorized)),
            ("$aws/things/dev-1/#/x", Err(Reason::TopicFilterInvalid)),
            ("$aws/things/dev-1/x#", Err(Reason::TopicFilterInvalid)),
            ("$aws/things/dev-1/+x", Err(Reason::TopicFilterInvalid)),
            ("", Err(Reason::TopicFilterInvalid)),
            (
                "$share/g/$aws/things/dev-1/#",
                Err(Reason::SharedSubscriptionsNotSupported),
            ),
        ] {
            let verdict_now = Subscriptions::default().add(filter, "dev-1", Qos::AtLeastOnce);
            assert_eq!(verdict_now, verdict, "{filter:?}");
        }
    }

    #[test]
    fn filters_match_as_the_standard_says() {
        for (filter, topic, is_match) in [
            ("#", "jobs/notify", true),
            ("jobs/#", "jobs", true),
            ("jobs/#", "jobs/a/b", true),
            ("jobs/+", "jobs/notify", true),
            ("jobs/+", "jobs", false),
            ("jobs/+", "jobs/a/b", false),
            ("jobs/+/update/accepted", "jobs/j1/update/accepted", true),
            ("jobs/+/update/accepted", "jobs/j1/update/rejected", false),
            ("+/+", "jobs/notify", true),
            ("jobs/notify", "jobs/notify-next", false),
            ("jobs/notify-next", "jobs/notify", false),
            ("+", "", true),
        ] {
            assert_eq!(matches(filter, topic), is_match, "{filter} {topic}");
        }
    }

    #[test]
    fn subscriptions_are_counted_once_and_have_a_limit() {
        let mut all = Subscriptions::default();
        for number in 0..MAX_SUBSCRIPTIONS {
            let filter = format!("$aws/things/t/{number}");
            assert_eq!(all.add(&filter, "t", Qos::AtMostOnce), Ok(Qos::AtMostOnce));
        }
        let one_more = all.add("$aws/things/t/x", "t", Qos::AtMostOnce);
        assert_eq!(one_more, Err(Reason::QuotaExceeded));
        let again = all.add("$aws/things/t/0", "t", Qos::AtLeastOnce);
        assert_eq!(again, Ok(Qos::AtLeastOnce));
        assert_eq!(all.qos("0"), Some(Qos::AtLeastOnce));
        assert!(all.remove("$aws/things/t/0", "t"));
        assert!(!all.remove("$aws/things/t/0", "t"));
        assert_eq!(all.qos("0"), None);
        all.add("$aws/things/t/#", "t", Qos::AtLeastOnce).unwrap();
        assert_eq!(all.qos("1"), Some(Qos::AtLeastOnce), "the higher of two");
    }

    /// Levels of topics and filters, and names, that are likely to be mistaken for one another.
    fn text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("$aws"),
            Just("things"),
            Just("dev-1"),
            Just("dev"),
            Just("+"),
            Just("#"),
            Just("/"),
            Just("/"),
            Just("/"),
            Just("jobs"),
            Just("\0"),
            Just("é"),
            Just("$share"),
            Just("-1"),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        /// Whatever is granted matches nothing but the thing's own topics.
        #[test]
        fn no_filter_reaches_beyond_the_own_name(filter in text(), topic in text(), prefixed in any::<bool>()) {
            let filter = if prefixed { full("dev-1", &filter) } else { filter };
            let mut subscriptions = Subscriptions::default();
            let granted = subscriptions.add(&filter, "dev-1", Qos::AtMostOnce).is_ok();
            if granted {
                prop_assert!(filter.starts_with("$aws/things/dev-1/"));
                prop_assert!(subscriptions.remove(&filter, "dev-1"));
            }
            if let Some(rest) = own(&topic, "dev-1") {
                prop_assert_eq!(full("dev-1", rest), topic);
            }
        }

        /// A filter without wildcards is matched by its own text alone.
        #[test]
        fn a_plain_filter_is_a_topic(a in "[a-c/]{0,6}", b in "[a-c/]{0,6}") {
            prop_assert_eq!(matches(&a, &b), a == b);
        }
    }
}
