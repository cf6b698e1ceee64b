//! No silent downgrade.

use super::*;

/// A release of the place `lotus/sht30`, later ones with higher ids.
fn published(id: u8, version: &str) -> ReleaseRow {
    ReleaseRow {
        version: version.to_owned(),
        ..release(id, "lotus", "key", "sht30")
    }
}

fn read(row: ReleaseRow) -> Arc<Release> {
    Arc::new(Release::try_from(row).unwrap())
}

/// What a device is told that runs a build nobody knows, by its word of this version.
fn told(runs: Option<&str>, offered: &Arc<Release>) -> &'static str {
    let facts = Facts {
        running_version: runs,
        running_md5: Md5::parse(&[b'f'; 32]),
        ..Facts::default()
    };
    decide(&facts, Some(offered), &History::default()).as_str()
}

#[test]
fn a_device_that_was_flashed_with_something_newer_keeps_it() {
    for (runs, offered, expected) in [
        (Some("2.0.0"), "1.9.9", "runs-newer"),
        (Some("1.10.0"), "1.9.0", "runs-newer"),
        (Some("v1.2.0-5-g1a2b3c4"), "1.2.0", "runs-newer"),
        (Some("1.2.0-dirty"), "v1.2.0", "runs-newer"),
        (Some("1.2.0"), "1.2.0-rc1", "runs-newer"),
        (Some("1.2.0"), "1.2.0", "offered"),
        (Some("1.2.0-rc1"), "1.2.0", "offered"),
        (Some("1.2.0"), "v1.2.0-5-g1a2b3c4", "offered"),
        // Nothing is claimed about what has no place in the order.
        (Some("nightly"), "1.0.0", "offered"),
        (Some("2.0.0"), "nightly", "offered"),
        (None, "1.0.0", "offered"),
    ] {
        let release = read(published(1, offered));
        assert_eq!(told(runs, &release), expected, "{runs:?} {offered}");
    }
}

#[test]
fn it_goes_back_where_somebody_says_so() {
    let release = read(ReleaseRow {
        allow_downgrade: 1,
        ..published(1, "1.0.0")
    });
    assert_eq!(told(Some("2.0.0"), &release), "offered");
    let release = read(published(1, "1.0.0"));
    let facts = Facts {
        running_version: Some("2.0.0"),
        allow_downgrade: true,
        ..Facts::default()
    };
    let decision = decide(&facts, Some(&release), &History::default());
    assert_eq!(decision.as_str(), "offered");
}

#[test]
fn data_goes_back_no_more_than_apps_do() {
    let release = read(ReleaseRow {
        version: "1.0.0".to_owned(),
        ..data(1, "key", "sht30", "storage", None)
    });
    let facts = Facts {
        wanted: Wanted::Partition("storage"),
        running_version: Some("1.1.0"),
        ..Facts::default()
    };
    let decision = decide(&facts, Some(&release), &History::default());
    assert_eq!(decision.as_str(), "runs-newer");
}

#[test]
fn a_known_build_is_what_it_was_published_as() {
    let (old, new) = (read(published(1, "1.0.0")), read(published(2, "2.0.0")));
    // The version inside is often another one.
    let runs = |build: &'static str, release: &Arc<Release>, offered: &Arc<Release>| {
        let facts = Facts {
            running_build: Some(release),
            running_version: Some(build),
            running_sha256: Some(release.sha256),
            ..Facts::default()
        };
        decide(&facts, Some(offered), &History::default()).as_str()
    };
    assert_eq!(runs("0.1", &new, &old), "runs-newer");
    assert_eq!(runs("9.9", &old, &new), "offered");
    // What was withdrawn is not defended.
    let withdrawn = read(ReleaseRow {
        withdrawn_at: Some(1),
        ..published(2, "2.0.0")
    });
    assert_eq!(runs("2.0.0", &withdrawn, &old), "offered");
}

#[test]
fn without_an_order_the_later_release_of_a_place_is_the_newer_one() {
    let (first, second) = (read(published(1, "alpha")), read(published(2, "beta")));
    let elsewhere = read(ReleaseRow {
        target: "other".to_owned(),
        ..published(3, "gamma")
    });
    let runs = |build: &Arc<Release>, offered: &Arc<Release>| {
        let facts = Facts {
            running_build: Some(build),
            running_sha256: Some(build.sha256),
            ..Facts::default()
        };
        decide(&facts, Some(offered), &History::default()).as_str()
    };
    assert_eq!(runs(&second, &first), "runs-newer");
    assert_eq!(runs(&first, &second), "offered");
    assert_eq!(runs(&elsewhere, &first), "offered");
}

#[test]
fn the_version_is_told_all_the_same() {
    let release = read(published(1, "1.0.0"));
    let facts = Facts {
        version_only: true,
        running_version: Some("2.0.0"),
        ..Facts::default()
    };
    let decision = decide(&facts, Some(&release), &History::default());
    assert_eq!(decision.as_str(), "version-told");
}
