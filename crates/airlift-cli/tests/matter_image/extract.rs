//! What is taken apart.

use std::{fs, path::Path};

use crate::{airlift, files, golden, input, refusal, run, success};

#[test]
fn what_is_extracted_makes_the_same_image_again() {
    let folder = tempfile::tempdir().unwrap();
    for file in [files("good", "g"), files("good", "n"), files("good", "s")].concat() {
        let name = file.file_stem().unwrap().to_str().unwrap();
        // Encrypted; or the parts are in another order than that of NXP's tool.
        if ["n08", "n10", "n12", "n13", "n14", "n15"].contains(&&name[..3]) {
            continue;
        }
        let parts = folder.path().join(name);
        let to = parts.to_str().unwrap();
        success(&airlift("extract", &file, &["-o", to]));
        let bundle = parts.join("bundle.toml");
        let out = folder.path().join("again.ota");
        let arguments = [
            "create",
            "-o",
            out.to_str().unwrap(),
            "--from",
            bundle.to_str().unwrap(),
        ];
        success(&run(Path::new("."), &arguments));
        assert!(
            fs::read(&out).unwrap() == fs::read(&file).unwrap(),
            "{name}"
        );
    }
}

#[test]
fn parts_are_extracted_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().to_str().unwrap();
    let file = golden("good/n07_everything.ota");
    let one = airlift("extract", &file, &["-o", to, "--tag", "103"]);
    success(&one);
    let names = |folder: &Path| {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(folder.path()), ["tag-103.bin", "tag-103.toml"]);
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert!(read("tag-103.bin") == fs::read(input("custom3.bin")).unwrap());
    let factory = airlift("extract", &file, &["-o", to, "--tag", "3"]);
    success(&factory);
    assert!(read("cd.der") == fs::read(input("cd.der")).unwrap());
    assert_eq!(read("dac-key.bin").len(), 32);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(folder.path().join("dac-key.bin"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "a private key is for its owner");
    }
    let missing = airlift("extract", &file, &["-o", to, "--tag", "5"]);
    assert!(refusal(&missing, &file).contains("no part with tag 5"));
    let raw = golden("good/g01_sdk_unit_vector.ota");
    let missing = airlift("extract", &raw, &["-o", to, "--tag", "5"]);
    assert!(refusal(&missing, &raw).contains("raw"));

    // Decrypted, with the padding that nobody can tell from the image.
    let encrypted = golden("good/n10_encrypted_key2.ota");
    let key = [
        "-o",
        to,
        "--nxp-legacy-key",
        "000102030405060708090A0B0C0D0E0F",
    ];
    success(&airlift("extract", &encrypted, &key));
    let image = read("application.bin");
    let original = fs::read(input("ssbl.bin")).unwrap();
    assert!(
        image.starts_with(&original) && image[original.len()..].iter().all(|byte| *byte == 0xFF)
    );

    // Nothing comes out of what is not good.
    let bad = golden("bad/x01_unknown_tag.ota");
    let nowhere = folder.path().join("nowhere");
    refusal(
        &airlift("extract", &bad, &["-o", nowhere.to_str().unwrap()]),
        &bad,
    );
    assert!(!nowhere.exists());
}
