//! Configurations that do not suit the flash.

use super::*;

#[test]
fn plans_that_do_not_suit_the_flash_are_refused_with_the_key_and_what_to_do() {
    let peer = Peer::start(no_news());
    let mut bench = Bench::with_table(&peer, &table());
    let good = plan(&bench);
    let folder = bench.file("");
    let partition = |name: &str, room: Option<&str>, save: Option<&str>| PartPlan::Partition {
        name: name.to_owned(),
        room: room.map(str::to_owned),
        save: save.map(str::to_owned),
    };
    let external = |file: &str, size| PartPlan::External {
        file: folder.join(file),
        size,
        descriptor: 0,
    };
    type Change<'c> = &'c dyn Fn(&mut SetPlan);
    let rows: [(Change<'_>, &str); 14] = [
        (&|plan| plan.parts.clear(), "[[set.part]]"),
        (&|plan| plan.parts[1].tag = 1, "tag:"),
        (&|plan| plan.parts[1].to = PartPlan::App, "app:"),
        (
            &|plan| plan.parts[1].to = partition("nothing", None, None),
            "has no partition \"nothing\"",
        ),
        (
            &|plan| plan.parts[1].to = partition("ota_1", None, None),
            "holds an app",
        ),
        (
            &|plan| plan.parts[1].to = partition("airlift", None, None),
            "the engine itself",
        ),
        (
            &|plan| plan.parts[1].to = partition("ssbl", Some("keys"), None),
            "\"keys\" is needed for something else",
        ),
        (
            &|plan| plan.parts[1].to = partition("ssbl", None, Some("keys")),
            "room: \"keys\" has 4096 bytes, and 16384",
        ),
        (
            &|plan| plan.parts[1].to = partition("ssbl", Some("ota_1"), None),
            "cannot hold copies",
        ),
        (
            &|plan| plan.parts[1].to = partition("big", None, None),
            "has 40960 bytes, and the parts need 73728",
        ),
        (
            &|plan| plan.spare = "none".into(),
            "has no partition \"none\", of which 40960",
        ),
        (&|plan| plan.notes = "keys".into(), "notes:"),
        (
            &|plan| plan.parts[3].to = external("part-101.bin", 3000),
            "external:",
        ),
        (&|plan| plan.parts[3].to = external("x.bin", 0), "size:"),
    ];
    for (change, expected) in rows {
        let mut plan = good.clone();
        change(&mut plan);
        let error = bench.device.declare_set(&plan).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}, and not: {expected}");
        assert!(
            !bench.file("part-100.bin").exists(),
            "nothing was made: {error}"
        );
    }
    // What a set has is not updated on its own as well.
    let plans = [airlift_sim::client::PartitionPlan {
        name: "ssbl".into(),
        scheme: airlift_sim::client::SchemePlan::Direct,
    }];
    bench.device.set_partitions(&plans, None).unwrap();
    let error = bench.device.declare_set(&good).unwrap_err().to_string();
    assert!(error.contains("[[partition]]"), "{error}");
    bench.device.set_partitions(&[], Some("model")).unwrap();
    let error = bench.device.declare_set(&good).unwrap_err().to_string();
    assert!(error.contains("two_step"), "{error}");
    bench.device.set_partitions(&[], None).unwrap();
    bench.device.declare_set(&good).unwrap();
    // A file that is no flash of that size.
    std::fs::write(bench.file("short.bin"), b"short").unwrap();
    let mut plan = good;
    plan.parts.truncate(1);
    plan.parts.push(SetPartPlan {
        tag: 200,
        to: PartPlan::External {
            file: bench.file("short.bin"),
            size: 3000,
            descriptor: 0,
        },
    });
    let error = bench.device.declare_set(&plan).unwrap_err().to_string();
    assert!(error.contains("short.bin"), "{error}");
}
