//! What must hold of every decision; and, as tables, the order of places in `places` and that of versions in `order`.

mod order;
mod places;

use std::sync::Arc;

use airlift_rollout::Version;
use proptest::prelude::*;

use super::*;
use crate::catalog::release::{Family, Kind, Release};
use crate::digest::{Md5, Sha256};
use crate::fleet::report::ResultState;
use crate::store::catalog::{MatterColumns, ReleaseRow};

fn release(id: u8, project: &str, target_kind: &str, target: &str) -> ReleaseRow {
    ReleaseRow {
        id: i64::from(id),
        organization_id: 1,
        project: project.to_owned(),
        target_kind: target_kind.to_owned(),
        target: target.to_owned(),
        kind: "app".to_owned(),
        partition: None,
        file_system: None,
        version: format!("{id}.0.0"),
        size: 1000,
        md5: format!("{id:032x}"),
        sha256: format!("{id:064x}"),
        running_md5: format!("{id:032x}"),
        running_sha256: None,
        family: Some("esp32".to_owned()),
        chip_id: Some(0),
        encoding: "plain".to_owned(),
        image_version: None,
        image_project: None,
        published_at: 0,
        published_by: None,
        withdrawn_at: None,
        matter: MatterColumns::default(),
        signature: None,
        held: 0,
        allow_downgrade: 0,
        notes: None,
    }
}

/// Data for a partition, in a place like that of an app.
fn data(
    id: u8,
    target_kind: &str,
    target: &str,
    partition: &str,
    file_system: Option<&str>,
) -> ReleaseRow {
    ReleaseRow {
        kind: "data".to_owned(),
        partition: Some(partition.to_owned()),
        file_system: file_system.map(str::to_owned),
        running_md5: String::new(),
        family: None,
        chip_id: None,
        ..release(id, "lotus", target_kind, target)
    }
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

fn apps() -> impl Strategy<Value = Arc<Release>> {
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
            row.family = Some(family.to_owned());
            row.chip_id = chip_id;
            row.running_sha256 = appended.map(|digest| format!("{digest:064x}"));
            Arc::new(Release::try_from(row).unwrap())
        },
    )
}

fn data_releases() -> impl Strategy<Value = Arc<Release>> {
    let file_system = proptest::option::of(prop_oneof![
        Just("spiffs"),
        Just("littlefs"),
        Just("fat"),
        Just("none")
    ]);
    let partition = prop_oneof![Just("storage"), Just("certs")];
    (1_u8..4, partition, file_system).prop_map(|(id, partition, file_system)| {
        let row = data(id, "key", "sht30", partition, file_system);
        Arc::new(Release::try_from(row).unwrap())
    })
}

/// Of either kind.
fn releases() -> impl Strategy<Value = Arc<Release>> {
    prop_oneof![3 => apps(), 2 => data_releases()]
}

fn asks_for_data() -> impl Strategy<Value = Wanted<'static>> {
    prop_oneof![
        Just(Wanted::FileSystem(FileSystemMode::Any)),
        Just(Wanted::FileSystem(FileSystemMode::LittleFs)),
        Just(Wanted::FileSystem(FileSystemMode::Fat)),
        Just(Wanted::Partition("storage")),
        Just(Wanted::Partition("certs")),
    ]
}

fn facts() -> impl Strategy<Value = Facts<'static>> {
    let wanted = prop_oneof![3 => Just(Wanted::App), 2 => asks_for_data()];
    let version_only = prop_oneof![5 => Just(false), 1 => Just(true)];
    let chip = prop_oneof![Just(None), Just(Some(0_u16)), Just(Some(5))];
    let version = prop_oneof![Just(None), Just(Some("1.0.0")), Just(Some("2.0.0"))];
    let space = prop_oneof![Just(None), (998_u64..1003).prop_map(Some)];
    (
        wanted,
        version_only,
        proptest::option::of(families()),
        chip,
        digests(),
        version,
        space,
        any::<bool>(),
    )
        .prop_map(
            |(
                wanted,
                version_only,
                family,
                running_chip,
                (running_md5, running_sha256),
                running_version,
                free_space,
                resuming,
            )| Facts {
                wanted,
                version_only,
                family,
                running_chip,
                running_md5,
                running_sha256,
                running_version,
                free_space,
                resuming,
                ..Facts::default()
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
            prop_assert!(!facts.version_only);
            prop_assert!(facts.wanted.accepts(&release), "never an app where data belongs, nor the other way");
            prop_assert_eq!(release.kind == Kind::App, facts.wanted == Wanted::App);
            prop_assert!(facts.family.is_none() || release.family.is_none() || facts.family == release.family);
            prop_assert!(facts.running_chip.is_none() || release.chip_id.is_none() || facts.running_chip == release.chip_id);
            prop_assert!(facts.free_space.is_none_or(|free| free >= release.size));
            prop_assert!(!release.is_running(facts.running_md5, facts.running_sha256));
            let newer = facts.running_version.and_then(Version::parse) > release.order;
            prop_assert!(!newer || facts.allow_downgrade || release.allow_downgrade, "a silent downgrade");
            let gave_it_up = history.result == Some((ResultState::RolledBack, Some(release.sha256)));
            prop_assert!(!gave_it_up || history.reset_on_trial || release.kind == Kind::Data);
        }
    }

    #[test]
    fn a_device_that_says_so_little_is_not_sent_an_image_for_ever(facts in facts(), family in families(), release in releases()) {
        // One that names its partition can say what lies there.
        let wanted = if facts.wanted == Wanted::App { Wanted::App } else { Wanted::FileSystem(FileSystemMode::Any) };
        let facts = Facts { wanted, running_md5: None, running_sha256: None, resuming: false, family: Some(family), ..facts };
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
    fn a_device_that_resets_on_trial_gets_the_image_again_but_not_for_ever(release in apps(), md5 in 100_u8..) {
        let facts = Facts { family: release.family, running_md5: Md5::parse(format!("{md5:032x}").as_bytes()), ..Facts::default() };
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
        release in apps(), tries in 0_u32..1000, md5 in 100_u8..,
        state in prop_oneof![Just(ResultState::Failed), Just(ResultState::Interrupted), Just(ResultState::Confirmed)],
    ) {
        let facts = Facts {
            family: release.family,
            running_md5: Md5::parse(format!("{md5:032x}").as_bytes()),
            free_space: Some(release.size),
            ..Facts::default()
        };
        let history = History { offers: Some(Offers { sha256: release.sha256, count: tries, blindly: tries }), result: Some((state, Some(release.sha256))), ..History::default() };
        prop_assert!(matches!(decide(&facts, Some(&release), &history), Decision::Offer(_)));
    }

    #[test]
    fn without_a_release_there_is_nothing_to_decide(facts in facts(), history in histories()) {
        let expected = if facts.wanted == Wanted::App { "no-release" } else { "no-file-system-release" };
        prop_assert!(matches!(decide(&facts, None, &history), Decision::NoUpdate(reason) if reason.as_str() == expected));
    }

    #[test]
    fn a_question_for_the_version_is_answered_with_it_or_not_at_all(facts in facts(), release in releases(), history in histories()) {
        let facts = Facts { version_only: true, ..facts };
        match decide(&facts, Some(&release), &history) {
            Decision::Tell(told) => prop_assert_eq!(told.id, release.id),
            Decision::NoUpdate(_) if !facts.wanted.accepts(&release) => {}
            Decision::NoUpdate(reason) => prop_assert_eq!(reason.as_str(), "other-chip"),
            Decision::Offer(_) => prop_assert!(false, "an image instead of a version"),
        }
    }

    #[test]
    fn a_release_that_is_not_what_is_wanted_is_as_if_there_was_none(
        facts in facts(), app in apps(), data in data_releases(), history in histories(),
    ) {
        for release in [app, data].iter().filter(|release| !facts.wanted.accepts(release)) {
            let (with, without) = (decide(&facts, Some(release), &history), decide(&facts, None, &history));
            prop_assert_eq!(with.as_str(), without.as_str());
        }
    }

    #[test]
    fn data_is_for_any_chip(facts in facts(), release in data_releases(), history in histories()) {
        prop_assert_ne!(decide(&facts, Some(&release), &history).as_str(), "other-chip");
    }

    #[test]
    fn a_device_that_names_a_partition_without_a_digest_gets_its_data_however_often_it_failed(
        family in proptest::option::of(families()), tries in 0_u32..1000,
        state in prop_oneof![Just(ResultState::Failed), Just(ResultState::Interrupted)],
    ) {
        let release = Arc::new(Release::try_from(data(1, "key", "sht30", "storage", None)).unwrap());
        let facts = Facts { wanted: Wanted::Partition("storage"), family, ..Facts::default() };
        let history = History { offers: Some(Offers { sha256: release.sha256, count: tries, blindly: tries }), result: Some((state, Some(release.sha256))), ..History::default() };
        prop_assert!(matches!(decide(&facts, Some(&release), &history), Decision::Offer(_)));
    }

    #[test]
    fn data_whose_installation_was_undone_is_sent_three_times_at_most(reset_on_trial: bool, installed in proptest::option::of(100_u8..)) {
        let release = Arc::new(Release::try_from(data(1, "key", "sht30", "storage", None)).unwrap());
        let running_sha256 = installed.and_then(|id| Sha256::parse(format!("{id:064x}").as_bytes()));
        let facts = Facts { wanted: Wanted::Partition("storage"), running_sha256, ..Facts::default() };
        let mut history = History { result: Some((ResultState::RolledBack, Some(release.sha256))), reset_on_trial, offers: None };
        let mut offers = 0;
        while let Decision::Offer(_) = decide(&facts, Some(&release), &history) {
            offers += 1;
            history.offers = Some(Offers { sha256: release.sha256, count: offers, blindly: 0 });
        }
        prop_assert_eq!(offers, 3);
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
