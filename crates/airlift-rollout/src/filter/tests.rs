//! What the language means, what is wrong with what is not in it, and that it is read as it is written.

mod print;

use proptest::prelude::*;

use super::*;
use crate::Millis;

const DAY: i64 = 86_400_000;

fn device<'a>(tags: &'a [Box<str>]) -> Facts<'a> {
    Facts {
        node: "esp32-6c5e0e",
        project: "lotus",
        key: "sht30_d1_mini",
        group: None,
        tags,
        version: Some("v1.9.3"),
        family: Some("esp8266"),
        sdk: None,
        decision: "up-to-date",
        result: Some("failed"),
        first_seen: Millis(0),
        last_seen: Millis(90 * DAY),
    }
}

#[test]
fn a_filter_chooses_what_it_says() {
    let tags = ["lab".into(), "roof".into()];
    let device = device(&tags);
    let now = Millis(100 * DAY);
    let is_chosen = |text: &str| text.parse::<Filter>().expect(text).matches(&device, now);
    for text in [
        "version<\"2.0\" and key=sht30_d1_mini and tag=lab and not group=beta and last_seen>7d",
        "node=esp32-*",
        "node = \"esp32-6c5e0e\"",
        "tag=roof AND Not tag=cellar",
        "tag!=cellar",
        "group!=beta",
        "sdk!=x",
        "key=other or project=lotus",
        "not not key=sht30*",
        "key=other and key=other or key=sht30*",
        "key=sht30* or key=other and key=other",
        "version=1.9.3",
        "version=v1.9.3+build",
        "version!=2",
        "version>=1.9.3 and version<=1.9.3",
        "version>1.9.3-rc1",
        "last_seen>=10d and last_seen<=10d",
        "last_seen<2w",
        "first_seen>2399h",
        "decision=up-to-date and result=failed",
        "(((key=sht30*)))",
        "  key=sht30*\t\n ",
    ] {
        assert!(is_chosen(text), "{text}");
    }
    for text in [
        "tag=cellar",
        "tag!=lab",
        "group=*",
        "sdk=*",
        "key=sht30",
        "version<1.9.3",
        "version>2",
        "version=latest",
        "last_seen>10d",
        "last_seen<10d",
        "not (key=sht30* or key=other)",
        "(key=sht30* or key=other) and key=other",
    ] {
        assert!(!is_chosen(text), "{text}");
    }
}

#[test]
fn what_is_not_known_fits_nothing_but_a_negation() {
    let now = Millis(0);
    let is_chosen = |version, text: &str| {
        let device = Facts {
            version,
            ..Facts::default()
        };
        text.parse::<Filter>().unwrap().matches(&device, now)
    };
    for (version, text, expected) in [
        (None, "version<2", false),
        (None, "version=2", false),
        (None, "version!=2", true),
        (Some("nightly"), "version<2", false),
        (Some("nightly"), "version>2", false),
        (Some("nightly"), "version!=2", true),
        (Some("nightly"), "version=nightly", true),
        (None, "node=*", false),
        (None, "tag=*", false),
        (None, "tag!=*", true),
    ] {
        assert_eq!(is_chosen(version, text), expected, "{version:?} {text}");
    }
}

#[test]
fn an_error_says_where_and_what_would_be_right() {
    let deep = "(".repeat(17);
    let long = format!("key=\"{}\"", "ü".repeat(600));
    for (text, column, expected, message) in [
        ("", 1, Expected::Test, "found the end"),
        ("vers<2", 1, Expected::Test, "found vers"),
        ("key=a and", 10, Expected::Test, "found the end"),
        ("key=a and and", 11, Expected::Test, "found and"),
        ("key", 4, Expected::Equality, "found the end"),
        ("key<a", 4, Expected::Equality, "found '<'"),
        ("version 2", 9, Expected::Comparison, "found 2"),
        ("last_seen=7d", 10, Expected::Order, "found '='"),
        ("key=", 5, Expected::Value, "found the end"),
        ("key=(a)", 5, Expected::Value, "found '('"),
        ("version<latest", 9, Expected::Version, "found latest"),
        ("version<\"a b\"", 9, Expected::Version, "found \"a b\""),
        ("last_seen>7", 11, Expected::Age, "found 7"),
        ("last_seen>d", 11, Expected::Age, "found d"),
        ("last_seen>+7d", 11, Expected::Age, "found +7d"),
        (
            "last_seen>99999999999d",
            11,
            Expected::Age,
            "found 99999999999d",
        ),
        ("key=\"a", 7, Expected::ClosingQuote, "found the end"),
        ("key=\"a\\n\"", 8, Expected::Escape, "found n"),
        ("(key=a", 7, Expected::ClosingParenthesis, "found the end"),
        ("key=a)", 6, Expected::End, "found ')'"),
        ("key=a key=b", 7, Expected::End, "found key"),
        ("key=ü", 5, Expected::Value, "found 'ü'"),
        ("key=\"ü\" ä", 9, Expected::End, "found 'ä'"),
        (&deep, 17, Expected::LessDepth, "found '('"),
        (&long, 515, Expected::ShorterText, "found 'ü'"),
    ] {
        let error = text.parse::<Filter>().unwrap_err();
        assert_eq!(
            (error.column(), error.expected()),
            (column, expected),
            "{text}"
        );
        let says = error.to_string();
        assert!(says.ends_with(message), "{text}: {says}");
        assert!(
            says.starts_with(&format!("at character {column}: expected ")),
            "{says}"
        );
    }
}

#[test]
fn depth_is_bounded_and_length_is_not() {
    let nested = |depth| format!("{}key=a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(nested(MAX_DEPTH).parse::<Filter>().is_ok());
    assert!(nested(MAX_DEPTH + 1).parse::<Filter>().is_err());
    assert!(
        format!("{}key=a", "not ".repeat(17))
            .parse::<Filter>()
            .is_err()
    );
    let long = vec!["key=a"; 100].join(" or ");
    assert!(long.parse::<Filter>().is_ok());
}

fn values() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9_.+:*-]{1,6}",
        "\\PC{0,6}",
        "and|or|not|NOT",
        "[\"\\\\ ]{0,4}"
    ]
}

fn orders() -> impl Strategy<Value = Order> {
    proptest::sample::select(Order::ALL.map(|(order, _)| order).to_vec())
}

fn tests() -> impl Strategy<Value = Test> {
    let text =
        (0..TextField::ALL.len(), any::<bool>(), values()).prop_map(|(field, negated, pattern)| {
            Test::Text {
                field: TextField::ALL[field].0,
                negated,
                pattern: pattern.into(),
            }
        });
    let version = (orders(), "[0-9]{1,2}(\\.[0-9]){0,2}").prop_map(|(order, text)| Test::Version {
        order,
        version: Version::parse(&text),
        text: text.into(),
    });
    let any_version = (any::<bool>(), values()).prop_map(|(is, text)| Test::Version {
        order: if is { Order::Is } else { Order::IsNot },
        version: Version::parse(&text),
        text: text.into(),
    });
    let age =
        (0_usize..2, 2_usize..6, 0_u32..100_000).prop_map(|(field, order, number)| Test::Age {
            field: AgeField::ALL[field].0,
            order: [Order::Below, Order::AtMost, Order::Above, Order::AtLeast][order - 2],
            seconds: u64::from(number) * 30,
        });
    prop_oneof![4 => text, 1 => version, 1 => any_version, 1 => age]
}

/// As the parser makes them: what is inside of each other is of different kinds only where parentheses say so.
fn nodes() -> impl Strategy<Value = Node> {
    tests()
        .prop_map(Node::Test)
        .prop_recursive(4, 24, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 2..4).prop_map(Node::Any),
                proptest::collection::vec(inner.clone(), 2..4).prop_map(Node::All),
                inner.prop_map(|node| Node::Not(Box::new(node))),
            ]
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_filter_is_read_as_it_is_written(root in nodes()) {
        let text = root.to_string();
        prop_assume!(text.len() <= MAX_FILTER);
        let read: Filter = text.parse().unwrap();
        prop_assert_eq!(&read.root, &root, "{}", text);
        prop_assert_eq!(read.to_string(), text);
    }

    #[test]
    fn no_text_makes_it_panic_and_errors_lie_inside(
        text in "\\PC{0,60}|((key|version|last_seen|tag|and|or|not|=|!=|<|>|\\(|\\)|\"|7d|2\\.0|x) ?){0,20}",
    ) {
        match text.parse::<Filter>() {
            Ok(filter) => {
                let again = filter.to_string().parse::<Filter>();
                prop_assert_eq!(again, Ok(filter));
            }
            Err(error) => prop_assert!((1..=text.chars().count() + 1).contains(&error.column())),
        }
    }

    #[test]
    fn not_turns_the_choice_around(root in nodes(), version in proptest::option::of("[0-9]\\.[0-9]|[a-z]{2}"), now in 0_i64..1_000_000_000) {
        let device = Facts { version: version.as_deref(), ..device(&[]) };
        let is_chosen = root.matches(&device, Millis(now));
        prop_assert_ne!(is_chosen, Node::Not(Box::new(root)).matches(&device, Millis(now)));
    }
}
