//! Blocks of files.

use airlift_formats::aws::Format;
use airlift_formats::aws::streams::{Data, Description, Payload, Rejected};

use super::*;

/// A file in which no two blocks are alike.
fn bytes(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at / 251 + at % 251) as u8).collect()
}

/// The name of the stream of a job.
async fn stream_of(bench: &Bench, job: &str) -> String {
    let row = bench.catalog.database.job_by_name(bench.dev, job).await;
    row.unwrap().unwrap().stream.unwrap()
}

/// Blocks by number as they came, or the code of the refusal.
type Answer = Result<Vec<(u32, Vec<u8>)>, String>;

async fn get(
    bench: &Bench,
    thing: &Arc<Thing>,
    stream: &str,
    format: Format,
    payload: &[u8],
) -> Answer {
    let topic = format!("streams/{stream}/get/{}", format.name());
    let mut source = match bench.service.request(thing, &topic, payload).await {
        Reply::Blocks(source) => source,
        Reply::One(publication) => return Err(code(stream, format, &publication)),
        Reply::None => panic!("no answer"),
    };
    let mut blocks = Vec::new();
    while let Some(publication) = source.next().await {
        if publication.topic_rest.contains("/rejected/") {
            return Err(code(stream, format, &publication));
        }
        let rest = format!("streams/{stream}/data/{}", format.name());
        assert_eq!(publication.topic_rest, rest);
        let data = Data::parse(format, &publication.payload).unwrap();
        let mut payload = vec![0; data.len as usize];
        assert_eq!(data.payload.copy_to(&mut payload), Ok(payload.len()));
        assert_eq!(
            matches!(data.payload, Payload::Bytes(_)),
            format == Format::Cbor
        );
        blocks.push((data.block, payload));
    }
    Ok(blocks)
}

fn code(stream: &str, format: Format, publication: &Publication) -> String {
    let rest = format!("streams/{stream}/rejected/{}", format.name());
    assert_eq!(publication.topic_rest, rest);
    let rejected = Rejected::parse(format, &publication.payload).unwrap();
    rejected.code.chars().collect()
}

#[tokio::test]
async fn files_come_in_blocks_in_both_formats() {
    let bench = Bench::new().await;
    let thing = bench.thing(bench.dev, "dev-1", None).await;
    // One byte; exactly two blocks; a short last block.
    let contents = [bytes(1), bytes(512), bytes(5000)];
    let content = bench
        .files(&[&contents[0], &contents[1], &contents[2]])
        .await;
    bench.create("ota", content, &[&thing]).await;
    let stream = stream_of(&bench, "ota").await;
    for format in [Format::Json, Format::Cbor] {
        for (file, content) in contents.iter().enumerate() {
            let mut received = Vec::new();
            for block in 0..content.len().div_ceil(256) {
                let mut request = Vec::new();
                airlift_formats::aws::streams::GetStream::emit_as_c_library(
                    format,
                    file as u32,
                    256,
                    block as u32,
                    1,
                    &mut request,
                );
                let blocks = get(&bench, &thing, &stream, format, &request)
                    .await
                    .unwrap();
                assert_eq!(blocks.len(), 1);
                assert_eq!(blocks[0].0, block as u32);
                received.extend_from_slice(&blocks[0].1);
            }
            assert!(received == *content, "file {file}, {format:?}");
        }
    }
}

#[tokio::test]
async fn the_bytes_are_those_of_aws() {
    let bench = Bench::new().await;
    let thing = bench.thing(bench.dev, "dev-1", None).await;
    let content = bench.files(&[&bytes(3000)]).await;
    bench.create("ota", content, &[&thing]).await;
    let topic = format!("streams/{}/get/cbor", stream_of(&bench, "ota").await);
    let request = b"\xa3\x61f\x00\x61l\x19\x04\x00\x61n\x01";
    let Reply::Blocks(mut source) = bench.service.request(&thing, &topic, request).await else {
        panic!("blocks");
    };
    let publication = source.next().await.unwrap();
    let observed = b"\xbf\x61f\x00\x61i\x00\x61l\x19\x04\x00\x61pY\x04\x00";
    assert_eq!(publication.payload.len(), 1042);
    assert_eq!(&publication.payload[..observed.len()], observed);
    assert_eq!(publication.payload[1041], 0xFF);
    assert!(source.next().await.is_none());
    let stream = stream_of(&bench, "ota").await;
    let request = br#"{"c":"rdy","f":0,"l":2048,"o":0,"b":"ffffffffffffff7f"}"#;
    let blocks = get(&bench, &thing, &stream, Format::Json, request).await;
    // The bitmap is base64, of 7d f7 ...: block 0, not block 1, and many that the file does not have.
    assert_eq!(blocks.unwrap().len(), 1);
}

#[tokio::test]
async fn every_refusal_of_a_stream_has_its_code() {
    let bench = Bench::new().await;
    let thing = bench.thing(bench.dev, "dev-1", None).await;
    let content = bench.files(&[&bytes(5000)]).await;
    bench.create("ota", content, &[&thing]).await;
    let stream = stream_of(&bench, "ota").await;
    let token = "c".repeat(65);
    for (request, expected) in [
        ("".to_owned(), "InvalidJson"),
        ("{".to_owned(), "InvalidJson"),
        ("\u{1}".to_owned(), "InvalidJson"),
        (
            format!(r#"{{"c":"{token}","f":0,"l":256,"n":1}}"#),
            "InvalidRequest",
        ),
        (r#"{"f":0,"n":1}"#.to_owned(), "InvalidRequest"),
        (
            r#"{"f":0,"l":255,"n":1}"#.to_owned(),
            "BlockSizeOutOfBounds",
        ),
        (
            r#"{"f":0,"l":131073,"n":1}"#.to_owned(),
            "BlockSizeOutOfBounds",
        ),
        (
            r#"{"f":0,"l":256,"o":98305,"n":1}"#.to_owned(),
            "OffsetOutOfBounds",
        ),
        (
            r#"{"f":0,"l":256,"n":98305}"#.to_owned(),
            "BlockCountLimitExceeded",
        ),
        (
            format!(r#"{{"f":0,"l":256,"b":"0x{}"}}"#, "ff".repeat(12_288)),
            "BlockBitmapLimitExceeded",
        ),
        (r#"{"f":1,"l":256,"n":1}"#.to_owned(), "ResourceNotFound"),
        (
            r#"{"s":2,"f":0,"l":256,"n":1}"#.to_owned(),
            "VersionMismatch",
        ),
        (
            r#"{"s":1,"f":0,"l":256,"o":20,"n":1}"#.to_owned(),
            "InvalidRequest",
        ),
    ] {
        let answer = get(&bench, &thing, &stream, Format::Json, request.as_bytes()).await;
        assert_eq!(answer, Err(expected.to_owned()), "{request:.80}");
    }
    let answer = get(&bench, &thing, &stream, Format::Cbor, b"\xa1\x61f").await;
    assert_eq!(answer, Err("InvalidCbor".to_owned()));
    let good = br#"{"f":0,"l":4096,"n":1}"#;
    let answer = get(&bench, &thing, "AFR_OTA-other", Format::Json, good).await;
    assert_eq!(answer, Err("ResourceNotFound".to_owned()));
    let topic = format!("streams/{stream}/create/json");
    let Reply::One(publication) = bench.service.request(&thing, &topic, good).await else {
        panic!("an answer");
    };
    assert_eq!(code(&stream, Format::Json, &publication), "InvalidTopic");
    // Both the long and the short names, as clients of either look for them.
    let payload: Value = serde_json::from_slice(&publication.payload).unwrap();
    assert_eq!(
        (&payload["o"], &payload["code"]),
        (&json!("InvalidTopic"), &json!("InvalidTopic"))
    );
}

#[tokio::test]
async fn a_stream_says_which_files_it_has() {
    let bench = Bench::new().await;
    let thing = bench.thing(bench.dev, "dev-1", None).await;
    let content = bench.files(&[&bytes(7), &bytes(5000)]).await;
    bench.create("ota", content, &[&thing]).await;
    let stream = stream_of(&bench, "ota").await;
    for (format, request) in [
        (Format::Json, &br#"{"c":"rdy"}"#[..]),
        (Format::Json, b""),
        (Format::Cbor, b"\xa1\x61c\x63rdy"),
    ] {
        let topic = format!("streams/{stream}/describe/{}", format.name());
        let Reply::One(publication) = bench.service.request(&thing, &topic, request).await else {
            panic!("an answer");
        };
        let rest = format!("streams/{stream}/description/{}", format.name());
        assert_eq!(publication.topic_rest, rest);
        let description = Description::parse(format, &publication.payload).unwrap();
        assert_eq!(description.version, 1);
        assert_eq!(description.token.is_some(), !request.is_empty());
        let files: Vec<_> = description.files.map(|file| (file.id, file.size)).collect();
        assert_eq!(files, [(0, 7), (1, 5000)]);
    }
}

#[tokio::test]
async fn a_stream_is_for_the_things_that_have_its_job_to_do() {
    let bench = Bench::new().await;
    let thing = bench.thing(bench.dev, "dev-1", None).await;
    let other = bench.thing(bench.dev, "dev-2", None).await;
    let foreign = bench.thing(bench.foreign, "dev-1", None).await;
    let request = br#"{"f":0,"l":4096,"n":1}"#;
    for (job, end) in [
        ("done", "update"),
        ("canceled", "cancel"),
        ("deleted", "delete"),
    ] {
        let content = bench.files(&[&bytes(5000)]).await;
        bench.create(job, content, &[&thing]).await;
        let stream = stream_of(&bench, job).await;
        let ask = async |thing| get(&bench, thing, &stream, Format::Json, request).await;
        assert!(ask(&thing).await.is_ok());
        for who in [&other, &foreign] {
            assert_eq!(ask(who).await, Err("ResourceNotFound".to_owned()));
        }
        bench.accepted(&thing, "jobs/start-next", "").await;
        assert!(ask(&thing).await.is_ok());
        match end {
            "update" => {
                let topic = format!("jobs/{job}/update");
                bench
                    .accepted(&thing, &topic, r#"{"status":"SUCCEEDED"}"#)
                    .await;
            }
            "cancel" => {
                bench.cancel(job, false).await;
                assert!(ask(&thing).await.is_ok(), "in progress, and not by force");
                bench.cancel(job, true).await;
            }
            _ => {
                let id = bench.job_id(job).await;
                bench.service.delete_job(id).await.unwrap();
            }
        }
        assert_eq!(
            ask(&thing).await,
            Err("ResourceNotFound".to_owned()),
            "{end}"
        );
    }
}

#[tokio::test]
async fn a_file_too_large_for_memory_is_read_block_by_block() {
    let bench = Bench::with_cache(1000).await;
    let thing = bench.thing(bench.dev, "dev-1", None).await;
    let content = bytes(300_000);
    let files = bench.files(&[&content]).await;
    bench.create("ota", files, &[&thing]).await;
    let stream = stream_of(&bench, "ota").await;
    let request = br#"{"f":0,"l":4096,"o":64,"n":32}"#;
    let blocks = get(&bench, &thing, &stream, Format::Json, request)
        .await
        .unwrap();
    let received: Vec<u8> = blocks.into_iter().flat_map(|(_, bytes)| bytes).collect();
    assert!(
        received == content[64 * 4096..],
        "the last blocks, to the end"
    );
    assert!(
        bench
            .catalog
            .images
            .get(&bench.file(&content).await.sha256)
            .is_none()
    );
}

#[tokio::test]
async fn one_answer_has_at_most_128_kib() {
    let bench = Bench::new().await;
    let thing = bench.thing(bench.dev, "dev-1", None).await;
    let files = bench.files(&[&bytes(500_000)]).await;
    bench.create("ota", files, &[&thing]).await;
    let stream = stream_of(&bench, "ota").await;
    for (size, most) in [(256, 512), (4096, 32), (131_072, 1)] {
        let request = format!(r#"{{"f":0,"l":{size},"n":98304}}"#);
        let blocks = get(&bench, &thing, &stream, Format::Cbor, &cbor(size))
            .await
            .unwrap();
        assert_eq!(blocks.len(), most);
        let blocks = get(&bench, &thing, &stream, Format::Json, request.as_bytes()).await;
        assert_eq!(blocks.unwrap().len(), most);
    }
}

/// All blocks of that size.
fn cbor(size: u32) -> Vec<u8> {
    let mut request = b"\xa3\x61f\x00\x61n\x1a\x00\x01\x80\x00\x61l\x1a".to_vec();
    request.extend(size.to_be_bytes());
    request
}

#[tokio::test]
async fn a_file_that_is_gone_or_damaged_ends_the_answer_with_an_error() {
    let bench = Bench::new().await;
    let thing = bench.thing(bench.dev, "dev-1", None).await;
    let content = bytes(5000);
    let files = bench.files(&[&content]).await;
    bench.create("ota", files, &[&thing]).await;
    let stream = stream_of(&bench, "ota").await;
    let hex = bench.file(&content).await.sha256.to_string();
    let object = bench.data.path().join("objects").join(&hex[..2]).join(&hex);
    let request = br#"{"f":0,"l":256,"n":3}"#;
    std::fs::write(&object, bytes(4999)).unwrap();
    let answer = get(&bench, &thing, &stream, Format::Json, request).await;
    assert_eq!(answer, Err("InternalError".to_owned()));
    std::fs::remove_file(&object).unwrap();
    let answer = get(&bench, &thing, &stream, Format::Json, request).await;
    assert_eq!(answer, Err("InternalError".to_owned()));
    // It is not remembered as bad.
    std::fs::write(&object, &content).unwrap();
    let answer = get(&bench, &thing, &stream, Format::Json, request).await;
    assert_eq!(answer.unwrap().len(), 3);
}
