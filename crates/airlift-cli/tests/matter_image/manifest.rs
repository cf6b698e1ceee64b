//! Images with a manifest: made, shown, verified to the last byte, taken apart and made again.

use std::{fs, path::Path};

use airlift_formats::matter::image::ImageBuilder;
use serde_json::{Value, json};

use crate::{KEY, airlift, json, refusal, run, stderr, stdout, success};

const HEADER: [&str; 8] = [
    "--vendor",
    "1",
    "--product",
    "1",
    "--version",
    "2",
    "--version-string",
    "2.0",
];

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in [
            ("app.bin", &b"app"[..]),
            ("ssbl.bin", b"boot loader"),
            ("maps.bin", b"maps"),
            ("sounds.bin", b"sounds"),
            ("sounds.toml", b"version = 3\nversion_string = \"3\"\n"),
        ] {
            fs::write(folder.path().join(name), content).unwrap();
        }
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn create(&self, arguments: &[&str]) -> std::process::Output {
        let start = ["create", "-o", "out.ota"];
        run(self.path(), &[&start[..], &HEADER, arguments].concat())
    }

    fn image(&self) -> Vec<u8> {
        fs::read(self.path().join("out.ota")).unwrap()
    }

    fn parsed(&self) -> Value {
        let out = self.path().join("out.ota");
        json(&airlift("show", &out, &["--json"]))
    }
}

const PARTS: [&str; 8] = [
    "--app",
    "app.bin",
    "--bootloader",
    "ssbl.bin",
    "--tlv",
    "100:maps.bin",
    "--tlv",
    "101:sounds.bin:sounds.toml",
];

#[test]
fn a_manifest_says_what_is_there_and_in_which_order_it_is_applied() {
    let folder = Folder::new();
    success(&folder.create(&[&PARTS[..], &["--manifest"]].concat()));
    let plain = folder.parsed();
    assert_eq!(plain["manifest"]["applied"], json!([100, 101, 2, 1]));
    let rules = [
        "--requires",
        "100:101,2",
        "--order",
        "101:0",
        "--order",
        "1:7",
    ];
    success(&folder.create(&[&PARTS[..], &rules].concat()));
    let ruled = folder.parsed();
    assert_eq!(ruled["valid"], true);
    assert_eq!(ruled["manifest"]["applied"], json!([101, 2, 100, 1]));
    assert_eq!(ruled["manifest"]["parts"][0]["requires"], json!([101, 2]));
    assert_eq!(ruled["manifest"]["parts"][1]["descriptor_len"], 132);
    assert_eq!(ruled["manifest"]["parts"][3]["order"], 7);
    let digest = ruled["manifest"]["parts"][1]["sha256"].clone();
    assert_eq!(digest, ruled["parts"][2]["image_sha256"]);
    assert_eq!(ruled["parts"][0]["content"], "manifest");
    let shown = stdout(&airlift("show", &folder.path().join("out.ota"), &[]));
    assert!(
        shown.contains("applied          101, 2, 100, 1\n"),
        "{shown}"
    );
    assert!(shown.contains("100 after 101, 2\n"), "{shown}");
    // Without one, the bytes are those of NXP's tool.
    success(&folder.create(&PARTS));
    assert_eq!(folder.parsed()["manifest"], Value::Null);
}

#[test]
fn a_bundle_says_the_same_and_what_is_extracted_makes_it_again() {
    let folder = Folder::new();
    let options = ["--requires", "100:101", "--order", "2:3", "--order", "1:3"];
    success(&folder.create(&[&PARTS[..], &options].concat()));
    let by_options = folder.image();
    let bundle = "vendor = 1\nproduct = 1\nversion = 2\nversion_string = \"2.0\"\n\
        [app]\nfile = \"app.bin\"\norder = 3\n[bootloader]\nfile = \"ssbl.bin\"\norder = 3\n\
        [[tlv]]\ntag = 100\nfile = \"maps.bin\"\nrequires = [101]\n\
        [[tlv]]\ntag = 101\nfile = \"sounds.bin\"\ndescriptor = \"sounds.toml\"\n";
    let make = |text: &str| {
        fs::write(folder.path().join("bundle.toml"), text).unwrap();
        let arguments = ["create", "-o", "out.ota", "--from", "bundle.toml"];
        run(folder.path(), &arguments)
    };
    success(&make(bundle));
    assert!(folder.image() == by_options);

    let out = folder.path().join("out.ota");
    let apart = folder.path().join("apart");
    success(&airlift("extract", &out, &["-o", apart.to_str().unwrap()]));
    assert!(!apart.join("manifest.bin").exists());
    let arguments = ["create", "-o", "../out.ota", "--from", "bundle.toml"];
    success(&run(&apart, &arguments));
    assert!(folder.image() == by_options);
    let one = ["-o", apart.to_str().unwrap(), "--tag", "0x464D4C41"];
    success(&airlift("extract", &out, &one));
    assert!(
        by_options
            .windows(196)
            .any(|bytes| bytes == fs::read(apart.join("manifest.bin")).unwrap())
    );

    success(&make(&format!(
        "manifest = true\n{}",
        bundle.replace("requires = [101]\n", "")
    )));
    for (text, message) in [
        (format!("manifest = false\n{bundle}"), "these need a manifest"),
        (bundle.replace("[101]", "[7]"), "requires tag 7, and there is no such part"),
        (bundle.replace("[101]", "[100]"), "it requires a part that requires it"),
        (bundle.replace("[101]", "[1]"), "the application, which is tried last"),
        (bundle.replace("[101]", "[2]"), "it requires a part that is applied later"),
        (
            "vendor = 1\nproduct = 1\nversion = 2\nversion_string = \"2\"\nmanifest = true\npayload = [\"app.bin\"]\n".to_owned(),
            "a raw payload has none",
        ),
    ] {
        let output = make(&text);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(stderr(&output).contains(message), "{}", stderr(&output));
    }
}

#[test]
fn rules_that_cannot_be_followed_make_no_image() {
    let folder = Folder::new();
    for (arguments, message) in [
        (&["--requires", "99:100"][..], "a rule for tag 99"),
        (&["--order", "3:1"], "a rule for tag 3"),
        (&["--requires", "100:7"], "requires tag 7"),
        (
            &["--requires", "100:101", "--requires", "101:100"],
            "requires it",
        ),
        (&["--requires", "2:1"], "tried last"),
        (
            &["--manifest", "--nxp-legacy-key", KEY],
            "do not go together",
        ),
    ] {
        let output = folder.create(&[&PARTS[..], arguments].concat());
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(stderr(&output).contains(message), "{}", stderr(&output));
        assert!(!folder.path().join("out.ota").exists());
    }
    for wrong in [
        &["app.bin", "--manifest"][..],
        &["--manifest"],
        &["--tlv", "100:maps.bin", "--order", "100:65536"],
        &["--tlv", "100:maps.bin", "--requires", "100"],
        &["--from", "b.toml", "--manifest"],
    ] {
        assert_eq!(folder.create(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

/// Every bit of manifest and parts is covered, although the digest of the image is right.
#[test]
fn an_image_that_is_not_what_its_manifest_says_is_not_good() {
    let folder = Folder::new();
    success(&folder.create(&[&PARTS[..4], &["--tlv", "100:maps.bin", "--manifest"]].concat()));
    let shown = folder.parsed();
    let start = usize::try_from(shown["payload_offset"].as_u64().unwrap()).unwrap();
    let payload = folder.image()[start..].to_vec();
    let file = folder.path().join("out.ota");
    let verdict = |payload: &[u8], options: &[&str]| {
        let image = ImageBuilder::new(1, 1, 2, "2.0").build(payload).unwrap();
        fs::write(&file, image).unwrap();
        let output = airlift("verify", &file, &[options, &["--json"]].concat());
        (output.status.code(), json(&output)["error"].clone())
    };
    assert_eq!(verdict(&payload, &[]), (Some(0), Value::Null));
    let described: Vec<std::ops::Range<usize>> = [2, 3]
        .iter()
        .map(|part| {
            let value =
                usize::try_from(shown["parts"][*part]["offset"].as_u64().unwrap()).unwrap() + 8;
            value..value + 132
        })
        .collect();
    for place in 8..payload.len() {
        // What is in a descriptor, nobody's digest is over, but the image's; nor over the order.
        let in_order =
            (8 + 4..8 + 4 + 3 * 48).contains(&place) && matches!((place - 12) % 48, 10 | 11);
        if in_order || described.iter().any(|range| range.contains(&place)) {
            continue;
        }
        let mut flipped = payload.clone();
        flipped[place] ^= 0x10;
        let (code, error) = verdict(&flipped, &["--payload", "nxp"]);
        assert_eq!(code, Some(1), "byte {place}: {error}");
    }
    let mut flipped = payload.clone();
    *flipped.last_mut().unwrap() ^= 1;
    assert_eq!(verdict(&flipped, &[]), (Some(1), "manifest-digest".into()));
    assert_eq!(verdict(&flipped, &["--lenient"]).0, Some(0));
    let last = usize::try_from(shown["parts"][3]["offset"].as_u64().unwrap()).unwrap();
    assert_eq!(
        verdict(&payload[..last], &[]),
        (Some(1), "manifest-part-missing".into())
    );
    let more = [&payload[..], &[200, 0, 0, 0, 0, 0, 0, 0]].concat();
    assert_eq!(verdict(&more, &[]), (Some(1), "manifest-other-part".into()));
    let message = refusal(&airlift("verify", &file, &[]), &file);
    assert!(
        message.contains("manifest, tag 200: at payload offset"),
        "{message}"
    );
}
