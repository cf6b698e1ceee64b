//! Which release is found, as tables.

use std::sync::Arc;

use super::{data, release};
use crate::catalog::release::Release;
use crate::catalog::snapshot::Organization;
use crate::config::Resolution::{self, Current, Documented};
use crate::decide::{FileSystemMode, Wanted, resolve};
use crate::store::catalog::ReleaseRow;

fn organization_with(rows: Vec<ReleaseRow>) -> Organization {
    let mut organization = organization(&[]);
    for row in rows {
        organization.add(Arc::new(Release::try_from(row).unwrap()));
    }
    organization
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
        let found = resolve(*order, &organization, project, node, key, Wanted::App, &[])
            .map(|release| release.id);
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
        resolve(
            Current,
            &organization,
            "lotus",
            "n",
            "sht30",
            Wanted::App,
            &[]
        )
        .unwrap()
        .id,
        7
    );
}

/// What is wanted, and the release that is found for node `esp32-1` with key `sht30`.
fn found(organization: &Organization, wanted: Wanted<'_>) -> Option<i64> {
    resolve(
        Current,
        organization,
        "lotus",
        "esp32-1",
        "sht30",
        wanted,
        &[],
    )
    .map(|release| release.id)
}

#[test]
fn data_is_found_by_partition_and_never_for_an_app() {
    let mut organization = organization_with(vec![
        data(1, "key", "sht30", "storage", None),
        data(2, "key", "sht30", "certs", Some("none")),
        data(3, "key", "sht30", "storage", None),
        data(4, "node", "esp32-1", "certs", Some("none")),
        data(5, "node", "esp32-2", "storage", None),
    ]);
    for (wanted, expected) in [
        (Wanted::App, None),
        (Wanted::Partition("storage"), Some(3)),
        // The place of the node has nothing for `storage`, but for `certs`.
        (Wanted::Partition("certs"), Some(4)),
        (Wanted::Partition("model"), None),
    ] {
        assert_eq!(found(&organization, wanted), expected, "{wanted:?}");
    }
    let app = release(6, "lotus", "key", "sht30");
    organization.add(Arc::new(Release::try_from(app).unwrap()));
    assert_eq!(found(&organization, Wanted::App), Some(6));
    assert_eq!(found(&organization, Wanted::Partition("storage")), Some(3));
}

#[test]
fn a_mode_finds_the_newest_data_that_it_does_not_contradict() {
    use FileSystemMode::{Any, Fat, LittleFs};
    let (fat, littlefs, spiffs, none) =
        (Some("fat"), Some("littlefs"), Some("spiffs"), Some("none"));
    // What the partitions of the place hold, in the order of publication; what is found with each mode.
    type Row<'a> = (&'a [Option<&'a str>], [Option<i64>; 3]);
    let table: &[Row<'_>] = &[
        (&[], [None, None, None]),
        (&[None], [Some(1), Some(1), Some(1)]),
        (&[none], [None, None, None]),
        (&[spiffs], [Some(1), None, None]),
        (&[littlefs], [Some(1), Some(1), None]),
        (&[fat], [Some(1), None, Some(1)]),
        (&[fat, littlefs, none], [Some(2), Some(2), Some(1)]),
        (&[None, littlefs, spiffs], [Some(3), Some(2), Some(1)]),
    ];
    for (held, expected) in table {
        let rows = held
            .iter()
            .zip(1..)
            .map(|(file_system, id)| data(id, "key", "sht30", &format!("p{id}"), *file_system));
        let organization = organization_with(rows.collect());
        let by_mode =
            [Any, LittleFs, Fat].map(|mode| found(&organization, Wanted::FileSystem(mode)));
        assert_eq!(by_mode, *expected, "{held:?}");
    }
    // A more specific place without anything suitable is as if it was empty.
    let organization = organization_with(vec![
        data(1, "key", "sht30", "storage", littlefs),
        data(2, "node", "esp32-1", "certs", none),
        data(3, "node", "esp32-1", "ffat", fat),
    ]);
    assert_eq!(found(&organization, Wanted::FileSystem(LittleFs)), Some(1));
    assert_eq!(found(&organization, Wanted::FileSystem(Any)), Some(3));
    // Published again, a partition's data is the newest.
    let organization = organization_with(vec![
        data(1, "key", "sht30", "a", None),
        data(2, "key", "sht30", "b", None),
        data(3, "key", "sht30", "a", None),
    ]);
    assert_eq!(found(&organization, Wanted::FileSystem(Any)), Some(3));
}
