//! The order of places as a table, and what must hold of every decision.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::catalog::release::{Family, Release};
use crate::catalog::snapshot::Organization;
use crate::config::Resolution::{self, Current, Documented};
use crate::digest::{Md5, Sha256};
use crate::fleet::report::ResultState;
use crate::store::catalog::ReleaseRow;

fn release(id: u8, project: &str, target_kind: &str, target: &str) -> ReleaseRow {
    ReleaseRow {
        id: i64::from(id),
        organization_id: 1,
        project: project.to_owned(),
        target_kind: target_kind.to_owned(),
        target: target.to_owned(),
        kind: "app".to_owned(),
        version: format!("{id}.0.0"),
        size: 1000,
        md5: format!("{id:032x}"),
        sha256: format!("{id:064x}"),
        running_md5: format!("{id:032x}"),
        running_sha256: None,
        family: "esp32".to_owned(),
        chip_id: Some(0),
        encoding: "plain".to_owned(),
        image_version: None,
        image_project: None,
        published_at: 0,
        published_by: None,
        withdrawn_at: None,
    }
}

/// `places`: of the four, those that hold a release; `1` is `lotus/NODE` and so on in the order of the reference.
fn organization(places: &[u8]) -> Organization {
    let mut organization = Organization::default();
    organization
        .projects
        .insert("lotus".into(), Default::default());
    organization
        .projects
        .insert("empty".into(), Default::default());
    for place in places {
        let row = match place {
            1 => release(1, "lotus", "node", "esp32-1"),
            2 => release(2, "+", "node", "esp32-1"),
            3 => release(3, "lotus", "key", "sht30"),
            _ => release(4, "+", "key", "sht30"),
        };
        organization.add(Arc::new(Release::try_from(row).unwrap()));
    }
    organization
}

/// Order, places with a release, project, node, key: which release is found.
type Row<'a> = (Resolution, &'a [u8], &'a str, &'a str, &'a str, Option<i64>);

#[test]
fn the_most_specific_place_that_has_a_release_counts() {
    let all = &[1, 2, 3, 4][..];
    let table: &[Row<'_>] = &[
        (Current, all, "lotus", "esp32-1", "sht30", Some(1)),
        (Current, &[2, 3, 4], "lotus", "esp32-1", "sht30", Some(2)),
        (Current, &[3, 4], "lotus", "esp32-1", "sht30", Some(3)),
        (Current, &[4], "lotus", "esp32-1", "sht30", Some(4)),
        (Current, &[], "lotus", "esp32-1", "sht30", None),
        // Another node gets what its key gets.
        (Current, all, "lotus", "esp32-2", "sht30", Some(3)),
        (Current, all, "empty", "esp32-2", "sht30", Some(4)),
        (Current, all, "empty", "esp32-1", "sht30", Some(2)),
        // A project need not exist for the places of all projects.
        (
            Current,
            all,
            "nobody-made-this",
            "esp32-1",
            "sht30",
            Some(2),
        ),
        (
            Current,
            all,
            "nobody-made-this",
            "esp32-2",
            "sht30",
            Some(4),
        ),
        // A literal + is the place of all projects.
        (Current, all, "+", "esp32-1", "sht30", Some(2)),
        (Current, all, "+", "esp32-2", "sht30", Some(4)),
        (Current, &[1, 3], "+", "esp32-1", "sht30", None),
        // Nodes and keys are different things, even if they are called the same.
        (Current, all, "lotus", "sht30", "esp32-1", None),
        (Current, all, "lotus", "esp32-2", "other", None),
        (Documented, all, "lotus", "esp32-1", "sht30", Some(1)),
        (Documented, &[2, 3, 4], "lotus", "esp32-1", "sht30", Some(3)),
        (Documented, &[2, 4], "lotus", "esp32-1", "sht30", Some(4)),
        (Documented, &[2], "lotus", "esp32-1", "sht30", None),
    ];
    for (order, places, project, node, key, expected) in table {
        let organization = organization(places);
        let found = resolve(*order, &organization, project, node, key).map(|release| release.id);
        assert_eq!(
            found, *expected,
            "{order:?} {places:?} {project}/{node}/{key}"
        );
    }
}

#[test]
fn the_newest_release_of_a_place_counts_until_it_is_withdrawn() {
    let mut organization = organization(&[3]);
    organization.add(Arc::new(
        Release::try_from(release(7, "lotus", "key", "sht30")).unwrap(),
    ));
    let mut withdrawn = release(8, "lotus", "key", "sht30");
    withdrawn.withdrawn_at = Some(1);
    organization.add(Arc::new(Release::try_from(withdrawn).unwrap()));
    assert_eq!(
        resolve(Current, &organization, "lotus", "n", "sht30")
            .unwrap()
            .id,
        7
    );
}

fn families() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::Esp8266), Just(Family::Esp32)]
}

/// Few different values, so that they meet.
fn digests() -> impl Strategy<Value = (Option<Md5>, Option<Sha256>)> {
    let md5 = |id: u8| Md5::parse(format!("{id:032x}").as_bytes());
    let sha256 = |id: u8| Sha256::parse(format!("{id:064x}").as_bytes());
    (
        prop_oneof![Just(None), (0_u8..4).prop_map(md5)],
        prop_oneof![Just(None), (0_u8..6).prop_map(sha256)],
    )
}

fn releases() -> impl Strategy<Value = Arc<Release>> {
    let size = prop_oneof![Just(999_i64), Just(1000), Just(1001)];
    let family = prop_oneof![
        Just(("esp8266", None)),
        Just(("esp32", Some(0))),
        Just(("esp32", Some(5)))
    ];
    (1_u8..4, size, family, proptest::option::of(4_u8..6)).prop_map(
        |(id, size, (family, chip_id), appended)| {
            let mut row = release(id, "lotus", "key", "sht30");
            row.size = size;
            row.family = family.to_owned();
            row.chip_id = chip_id;
            row.running_sha256 = appended.map(|digest| format!("{digest:064x}"));
            Arc::new(Release::try_from(row).unwrap())
        },
    )
}

fn facts() -> impl Strategy<Value = Facts<'static>> {
    let ask = prop_oneof![4 => Just(Ask::App), 1 => Just(Ask::FileSystem), 1 => Just(Ask::Version)];
    let chip = prop_oneof![Just(None), Just(Some(0_u16)), Just(Some(5))];
    let version = prop_oneof![Just(None), Just(Some("1.0.0")), Just(Some("2.0.0"))];
    let space = prop_oneof![Just(None), (998_u64..1003).prop_map(Some)];
    (
        ask,
        proptest::option::of(families()),
        chip,
        digests(),
        version,
        space,
        any::<bool>(),
    )
        .prop_map(
            |(
                ask,
                family,
                running_chip,
                (running_md5, running_sha256),
                running_version,
                free_space,
                resuming,
            )| Facts {
                ask,
                family,
                running_chip,
                running_md5,
                running_sha256,
                running_version,
                free_space,
                resuming,
            },
        )
}

fn histories() -> impl Strategy<Value = History> {
    let digest = |id: u8| Sha256::parse(format!("{id:064x}").as_bytes()).unwrap();
    let state = prop_oneof![
        Just(ResultState::Confirmed),
        Just(ResultState::RolledBack),
        Just(ResultState::Refused),
        Just(ResultState::Failed),
        Just(ResultState::Interrupted)
    ];
    let offers =
        ((1_u8..4).prop_map(digest), 0_u32..6, 0_u32..6).prop_map(|(sha256, count, blindly)| {
            Offers {
                sha256,
                count,
                blindly,
            }
        });
    let offers = proptest::option::of(offers);
    let result = proptest::option::of((state, proptest::option::of((1_u8..4).prop_map(digest))));
    (offers, result, any::<bool>()).prop_map(|(offers, result, reset_on_trial)| History {
        offers,
        result,
        reset_on_trial,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn an_offer_fits_the_device_and_is_news_to_it(facts in facts(), release in releases(), history in histories()) {
        if let Decision::Offer(offer) = decide(&facts, Some(&release), &history) {
            prop_assert_eq!(offer.id, release.id, "nothing but the release of the place");
            prop_assert_eq!(facts.ask, Ask::App);
            prop_assert!(facts.family.is_none_or(|family| family == release.family));
            prop_assert!(facts.running_chip.is_none() || release.chip_id.is_none() || facts.running_chip == release.chip_id);
            prop_assert!(facts.free_space.is_none_or(|free| free >= release.size));
            prop_assert!(!release.is_running(facts.running_md5, facts.running_sha256));
            let gave_it_up = history.result == Some((ResultState::RolledBack, Some(release.sha256)));
            prop_assert!(!gave_it_up || history.reset_on_trial);
        }
    }

    #[test]
    fn a_device_that_says_so_little_is_not_sent_an_image_for_ever(facts in facts(), family in families(), release in releases()) {
        let facts = Facts { running_md5: None, running_sha256: None, resuming: false, ask: Ask::App, family: Some(family), ..facts };
        let mut history = History::default();
        let mut offers = 0;
        for _ in 0..50 {
            if let Decision::Offer(_) = decide(&facts, Some(&release), &history) {
                offers += 1;
                history.offers = Some(Offers { sha256: release.sha256, count: offers, blindly: offers });
            }
        }
        prop_assert!(offers <= 3);
    }

    #[test]
    fn a_device_that_refuses_is_not_asked_for_ever(facts in facts(), release in releases()) {
        let facts = Facts { resuming: false, ..facts };
        let mut history = History { result: Some((ResultState::Refused, Some(release.sha256))), ..History::default() };
        let mut offers = 0;
        for _ in 0..50 {
            if let Decision::Offer(_) = decide(&facts, Some(&release), &history) {
                offers += 1;
                history.offers = Some(Offers { sha256: release.sha256, count: offers, blindly: offers });
            }
        }
        prop_assert!(offers <= 3);
    }

    #[test]
    fn a_device_that_resets_on_trial_gets_the_image_again_but_not_for_ever(release in releases(), md5 in 100_u8..) {
        let facts = Facts { family: Some(release.family), running_md5: Md5::parse(format!("{md5:032x}").as_bytes()), ..Facts::default() };
        let result = Some((ResultState::RolledBack, Some(release.sha256)));
        let mut history = History { result, reset_on_trial: true, offers: None };
        let mut offers = 0;
        while let Decision::Offer(_) = decide(&facts, Some(&release), &history) {
            offers += 1;
            history.offers = Some(Offers { sha256: release.sha256, count: offers, blindly: 0 });
        }
        prop_assert_eq!(offers, 3);
        // What the image said of itself is final.
        let history = History { result, ..History::default() };
        prop_assert!(matches!(decide(&facts, Some(&release), &history), Decision::NoUpdate(reason) if reason.as_str() == "rolled-back"));
    }

    #[test]
    fn a_device_that_fits_and_runs_something_else_gets_the_release_however_often_it_failed(
        release in releases(), tries in 0_u32..1000, md5 in 100_u8..,
        state in prop_oneof![Just(ResultState::Failed), Just(ResultState::Interrupted), Just(ResultState::Confirmed)],
    ) {
        let facts = Facts {
            family: Some(release.family),
            running_md5: Md5::parse(format!("{md5:032x}").as_bytes()),
            free_space: Some(release.size),
            ..Facts::default()
        };
        let history = History { offers: Some(Offers { sha256: release.sha256, count: tries, blindly: tries }), result: Some((state, Some(release.sha256))), ..History::default() };
        prop_assert!(matches!(decide(&facts, Some(&release), &history), Decision::Offer(_)));
    }

    #[test]
    fn without_a_release_there_is_nothing_to_decide(facts in facts(), history in histories()) {
        prop_assert!(matches!(decide(&facts, None, &history), Decision::NoUpdate(reason) if reason.as_str() == "no-release"));
    }

    #[test]
    fn a_question_for_the_version_is_answered_with_it_or_not_at_all(facts in facts(), release in releases(), history in histories()) {
        let facts = Facts { ask: Ask::Version, ..facts };
        match decide(&facts, Some(&release), &history) {
            Decision::Tell(told) => prop_assert_eq!(told.id, release.id),
            Decision::NoUpdate(reason) => prop_assert_eq!(reason.as_str(), "other-chip"),
            Decision::Offer(_) => prop_assert!(false, "an image instead of a version"),
        }
    }
}

#[test]
fn only_what_was_sent_to_a_blind_device_counts_against_it() {
    let release = Arc::new(Release::try_from(release(1, "lotus", "key", "sht30")).unwrap());
    let facts = Facts {
        family: Some(Family::Esp32),
        ..Facts::default()
    };
    let sent = |blindly| History {
        offers: Some(Offers {
            sha256: release.sha256,
            count: 100,
            blindly,
        }),
        result: None,
        reset_on_trial: false,
    };
    assert!(matches!(
        decide(&facts, Some(&release), &sent(2)),
        Decision::Offer(_)
    ));
    assert!(matches!(
        decide(&facts, Some(&release), &sent(3)),
        Decision::NoUpdate(_)
    ));
}

#[test]
fn stored_names_of_decisions_are_read_back() {
    for name in [
        "offered",
        "version-told",
        "up-to-date",
        "no-space",
        "already-offered",
        "rolled-back",
    ] {
        assert_eq!(name_of(name), name);
    }
    assert_eq!(name_of("anything else"), "none");
}
