//! Every property of this crate over the golden vectors and damaged copies of them: seconds, the same in every run.

use std::{
    fs,
    path::{Path, PathBuf},
};

use airlift_formats::nxp::{Manifest, ManifestPart};

/// The golden vectors, beside the repository.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/golden");

/// How many bytes of input each property is given in all, at most.
const BUDGET: usize = 1 << 30;

#[test]
fn partition_tables() {
    let seeds = [
        seeds("esp/ptable", "bin"),
        seeds("esp/ptable_binerr", "bin"),
        seeds("esp/ptable_odd", "bin"),
    ]
    .concat();
    run(airlift_fuzz::partition_table, &seeds);
}

#[test]
fn partition_csvs() {
    let folders = ["esp/ptable", "esp/ptable_err", "esp/ptable_odd"];
    let seeds = folders.map(|folder| seeds(folder, "csv")).concat();
    run(airlift_fuzz::partition_csv, &with_last_byte(seeds));
}

#[test]
fn journals() {
    // Journals as they come to be: appended to an erased region, any number of records.
    let erased = vec![0xFF; 1536];
    let seeds: Vec<Vec<u8>> = (0..64)
        .map(|count| [&erased[..], &vec![count * 3; count as usize]].concat())
        .collect();
    // Each boot reads the whole region, with a CRC without a table: slower than the others.
    run_rounds(airlift_fuzz::journal, &seeds, 3_000);
}

#[test]
fn boot_selections() {
    // The records are the first 32 bytes of two sectors; behind them stands what else decides.
    let seeds: Vec<Vec<u8>> = seeds("esp/otadata", "bin")
        .iter()
        .filter(|sectors| sectors.len() >= 0x1020)
        .map(|sectors| {
            [
                &sectors[..32],
                &sectors[0x1000..0x1020],
                &[3, 0, 1, 0xFF, 0xFF, 1],
            ]
            .concat()
        })
        .collect();
    run(airlift_fuzz::otadata, &seeds);
}

#[test]
fn app_images() {
    let seeds = [seeds("esp/app", "bin"), seeds("esp/signed", "bin")].concat();
    run(airlift_fuzz::app_image, &with_last_byte(seeds));
}

#[test]
fn data_images() {
    // Those of the demo's form, for its chip: short, of exactly the least length, longer; and headers that may boot.
    let made = [4, 992, 3000].map(|len| {
        let mut file = vec![0; 32];
        (file[0], file[12]) = (0xE9, 5);
        file.resize(32 + len, b'x');
        file.resize(file.len().max(1024), 0);
        file
    });
    let bootable = made.clone().map(|mut file| {
        file[31] = 0xEF;
        file
    });
    let fakes = seeds("esp/app", "bin")
        .into_iter()
        .filter(|image| image.len() < 8192)
        .collect();
    run(
        airlift_fuzz::data_image,
        &[made.to_vec(), bootable.to_vec(), fakes].concat(),
    );
}

#[test]
fn matter_images() {
    run(airlift_fuzz::matter_image, &with_last_byte(matter()));
}

#[test]
fn nxp_payloads() {
    run(airlift_fuzz::nxp_payload, &with_last_byte(matter()));
}

#[test]
fn manifests() {
    // Each part requires some of those before it, as its number says.
    let seeds: Vec<Vec<u8>> = (1..=21_u32)
        .map(|count| {
            let parts = (0..count).map(|index| ManifestPart {
                tag: 100 + index,
                length: index * 100,
                descriptor_len: 0,
                order: 0,
                requires: count.wrapping_mul(index) & (1_u32 << index).wrapping_sub(1),
                sha256: [index as u8; 32],
            });
            Manifest::emit(&parts.collect::<Vec<_>>()).expect("a good one")
        })
        .collect();
    run(airlift_fuzz::manifest, &seeds);
}

#[test]
fn matter_encodings() {
    run(airlift_fuzz::matter_tlv, &matter());
}

/// Without the large ones: what is in a payload makes no difference.
fn matter() -> Vec<Vec<u8>> {
    let mut seeds = ["matter/good", "matter/bad"]
        .map(|folder| seeds(folder, "ota"))
        .concat();
    seeds.retain(|seed| seed.len() < 1 << 16);
    seeds
}

#[test]
fn http_heads() {
    let mut answers = Vec::new();
    for recording in seeds("esp-http", "http") {
        let text = String::from_utf8_lossy(&recording);
        if let Some((_, answer)) = text.split_once("### response (raw head)\n") {
            let head = answer.split("### body_len").next().unwrap_or_default();
            answers.push(
                [
                    head.trim_end().replace('\n', "\r\n").as_bytes(),
                    b"\r\n\r\nbody",
                ]
                .concat(),
            );
        }
    }
    assert!(
        answers.len() > 10,
        "the recordings have another form than this test reads"
    );
    for part in [
        "HTTP/1.1 206 Partial Content\r\nContent-Length: 69224\r\nContent-Range: bytes 1000-70223/70224\r\nETag: \"a\"\r\n\r\n",
        "HTTP/1.0 503 Busy\r\nRetry-After: 30\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
    ] {
        answers.push(part.as_bytes().to_vec());
    }
    run(airlift_fuzz::http_head, &with_last_byte(answers));
}

#[test]
fn aws_topics() {
    let topics = [
        "jobs/get/accepted",
        "jobs/start-next",
        "jobs/$next/get/rejected",
        "jobs/job-1/update/accepted",
        "jobs/notify-next",
        "streams/AFR_OTA-1/get/cbor",
        "streams/AFR_OTA-1/description/json",
    ];
    let seeds = topics.map(|topic| format!("$aws/things/dev-1/{topic}").into_bytes());
    run(airlift_fuzz::aws_topic, &seeds);
}

#[test]
fn aws_job_documents() {
    run(airlift_fuzz::aws_job_document, &aws(&["jobdocs"], "json"));
}

#[test]
fn aws_job_messages() {
    let mut seeds = aws(&["job_messages"], "json");
    for other in [
        &br#"{"clientToken":"2","timestamp":1,"executionState":{"status":"CANCELED","versionNumber":3}}"#[..],
        br#"{"code":"VersionMismatch","message":"x","executionState":{"status":"IN_PROGRESS","versionNumber":9}}"#,
        br#"{"timestamp":1,"jobs":{"QUEUED":[{"jobId":"a","queuedAt":1}],"IN_PROGRESS":[]}}"#,
        br#"{"inProgressJobs":[{"jobId":"a"}],"queuedJobs":[],"clientToken":"1"}"#,
    ] {
        seeds.push(other.to_vec());
    }
    run(airlift_fuzz::aws_job_message, &seeds);
}

#[test]
fn aws_streams_in_json() {
    let seeds = aws(&["data_json", "requests", "aws_observed"], "json");
    run(airlift_fuzz::aws_stream_json, &seeds);
}

#[test]
fn aws_streams_in_cbor() {
    let mut seeds = aws(&["data_cbor", "requests", "aws_observed"], "cbor");
    // Token, version, description, two files.
    seeds.push(b"\xBF\x61c\x63rdy\x61s\x01\x61d\x61x\x61r\x9F\xA2\x61f\x00\x61z\x05\xA2\x61f\x01\x61z\x06\xFF\xFF".to_vec());
    run(airlift_fuzz::aws_stream_cbor, &seeds);
}

/// Vectors of these folders; of long blocks of a file only few, because they are all alike.
fn aws(folders: &[&str], extension: &str) -> Vec<Vec<u8>> {
    let folders = folders.iter().map(|folder| format!("aws/{folder}"));
    let mut seeds: Vec<_> = folders
        .flat_map(|folder| seeds(&folder, extension))
        .collect();
    seeds.retain(|seed| seed.len() < 2000);
    seeds
}

fn with_last_byte(seeds: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    seeds
        .iter()
        .flat_map(|seed| [0, 3].map(|last| [&seed[..], &[last]].concat()))
        .collect()
}

/// The files of a folder of golden vectors that end like this.
fn seeds(folder: &str, extension: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(GOLDEN).join(folder);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| {
        panic!("the golden vectors are missing: {}: {error}; lay the folder `shared` beside the repository", folder.display())
    });
    let mut files: Vec<PathBuf> = files
        .map(|file| file.expect("a folder entry").path())
        .collect();
    files.retain(|file| file.extension().is_some_and(|found| found == extension));
    files.sort();
    assert!(
        !files.is_empty(),
        "no .{extension} file in {}",
        folder.display()
    );
    files
        .iter()
        .map(|file| fs::read(file).expect("a readable golden vector"))
        .collect()
}

/// Each seed as it is, then damaged copies of all of them in turn.
fn run(property: fn(&[u8]), seeds: &[Vec<u8>]) {
    run_rounds(property, seeds, 100_000);
}

/// The same, with this many damaged copies, or fewer if the budget is used up before.
fn run_rounds(property: fn(&[u8]), seeds: &[Vec<u8>], rounds: usize) {
    for seed in seeds {
        property(seed);
    }
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut spent = 0;
    for round in 0..rounds {
        let mut input = seeds[round % seeds.len()].clone();
        for _ in 0..=random.below(3) {
            damage(&mut input, seeds, &mut random);
        }
        spent += input.len();
        if spent > BUDGET {
            break;
        }
        property(&input);
    }
}

fn damage(input: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    if input.is_empty() {
        input.push(random.next() as u8);
        return;
    }
    // Headers are at the front: half of the damage goes to the first 512 bytes.
    let reach = if random.below(2) == 0 {
        input.len().min(512)
    } else {
        input.len()
    };
    let at = random.below(reach);
    match random.below(8) {
        0 => input[at] ^= 1 << random.below(8),
        1 => input[at] = random.next() as u8,
        2 => input[at] = [0x00, 0xFF, 0x7F, 0x80][random.below(4)],
        3 => input.truncate(at),
        4 => {
            let end = (at + 4).min(input.len());
            let value = [0, 1, u32::MAX, i32::MAX as u32][random.below(4)].to_le_bytes();
            input[at..end].copy_from_slice(&value[..end - at]);
        }
        5 => {
            let end = (at + 32).min(input.len());
            let copy = input[at..end].to_vec();
            input.splice(at..at, copy);
        }
        6 => {
            let end = (at + 1 + random.below(32)).min(input.len());
            input.drain(at..end);
        }
        _ => {
            let other = &seeds[random.below(seeds.len())];
            let from = random.below(other.len().max(1)).min(other.len());
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
    }
}

/// SplitMix64: the same numbers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}
