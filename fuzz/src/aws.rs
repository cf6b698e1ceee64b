//! Jobs and streams of AWS IoT: topics, documents, messages, at both ends.

use airlift_device::{
    download::aws_stream::{
        BlockDownload, Cbor, Encoding, Json, Received, Requests, Settings, Source,
    },
    mqtt::BUFFER_LEN,
    notify::aws_jobs::{self, Event, Jobs, Report},
};
use airlift_formats::aws::{
    Format, Value,
    base64::Base64Error,
    job_document::{AfrOta, Protocol},
    jobs::{Answer, JobsChanged, Pending},
    streams::{
        Data, DescribeStream, Description, EndOfFile, GetStream, MAX_BITMAP_LEN,
        MAX_BYTES_PER_REQUEST, Rejected,
    },
    topic::{Job, Leg, MAX_TOPIC_LEN, StreamMessage, Topic, is_job_id, is_stream_name},
};

/// A topic that is read is written as the same, and is no longer than the longest one.
pub fn aws_topic(data: &[u8]) {
    let Ok(topic) = std::str::from_utf8(data) else {
        return;
    };
    match Topic::parse(topic) {
        Ok((thing, parsed)) => {
            assert!(topic.len() <= MAX_TOPIC_LEN);
            let mut again = Vec::new();
            parsed.emit(thing, &mut again).expect("it was read");
            assert_eq!(again, data);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A document that is read has nothing in it that a device could stumble over, and is written so that it is read as the same.
pub fn aws_job_document(data: &[u8]) {
    let Ok(document) = Value::parse(Format::Json, data) else {
        return;
    };
    for protocol in [Protocol::Mqtt, Protocol::Http] {
        let update = match AfrOta::parse(&document, protocol) {
            Ok(Some(update)) => update,
            Ok(None) => continue,
            Err(error) => {
                assert!(!error.to_string().is_empty() && error.offset as usize <= data.len());
                continue;
            }
        };
        assert!(protocol == Protocol::Http || update.stream.is_some());
        assert!(update.stream.is_none_or(is_stream_name));
        let files: Vec<_> = update.files.clone().collect();
        assert!((1..=50).contains(&files.len()));
        for (index, file) in files.iter().enumerate() {
            assert!(file.size > 0);
            assert!(files[..index].iter().all(|other| other.id != file.id));
            assert!(protocol == Protocol::Mqtt || file.url.is_some_and(|url| !url.is_empty()));
        }
        let mut again = Vec::new();
        update.emit(&mut again);
        let again = Value::parse(Format::Json, &again).expect("it is JSON");
        let again = AfrOta::parse(&again, protocol).expect("it is a document");
        let again = again.expect("of this kind");
        assert_eq!(
            (again.stream, again.protocols),
            (update.stream, update.protocols)
        );
        assert!(again.files.eq(files));
    }
}

/// Whatever the service says, a device makes sense of it or not, and goes on: in any state of the conversation.
pub fn aws_job_message(data: &[u8]) {
    if let Ok(pending) = Pending::parse(data) {
        let all = pending.in_progress.chain(pending.queued);
        assert!(all.into_iter().all(|job| is_job_id(job.job_id)));
    }
    if let Ok(changed) = JobsChanged::parse(data) {
        let all = changed.in_progress.chain(changed.queued);
        assert!(all.into_iter().all(|job| is_job_id(job.job_id)));
    }
    match Answer::parse(data) {
        Err(error) => assert!(!error.to_string().is_empty() && error.offset as usize <= data.len()),
        Ok(answer) => {
            if let Some(execution) = answer.execution {
                assert!(is_job_id(execution.job_id));
                if let Ok(document) = execution.document() {
                    Value::parse(Format::Json, document.as_bytes())
                        .expect("a document is JSON by itself");
                }
                let _ = execution.state.detail("self_test");
            }
        }
    }
    let job = br#"{"execution":{"jobId":"j","status":"IN_PROGRESS","versionNumber":2}}"#;
    for topic in [
        Topic::StartNext(Leg::Accepted),
        Topic::StartNext(Leg::Rejected),
        Topic::Describe(Job::Id("j"), Leg::Accepted),
        Topic::Describe(Job::Id("j"), Leg::Rejected),
        Topic::Update(Job::Id("j"), Leg::Accepted),
        Topic::Update(Job::Id("j"), Leg::Rejected),
        Topic::NotifyNext,
    ] {
        let mut jobs = Jobs::new("dev-1", aws_jobs::Settings::default()).expect("a name");
        let mut buffer = [0; BUFFER_LEN];
        jobs.ask();
        jobs.poll(0, &mut buffer).expect("it fits");
        if !matches!(topic, Topic::StartNext(_)) {
            let event = jobs.receive(&Topic::StartNext(Leg::Accepted), job, 0);
            assert!(matches!(event, Event::Job(_)));
            match topic {
                Topic::Update(..) => jobs.report(Report::Done),
                Topic::Describe(..) => {
                    jobs.receive(&Topic::NotifyNext, br#"{"timestamp":1}"#, 0);
                }
                _ => {}
            }
            jobs.poll(0, &mut buffer).expect("it fits");
        }
        match jobs.receive(&topic, data, 1) {
            Event::Job(execution) => assert_eq!(jobs.job(), Some(execution.job_id)),
            Event::Over(_) | Event::NoJob | Event::Told(_) => assert_eq!(jobs.job(), None),
            _ => {}
        }
        // It can always be spoken on.
        jobs.poll(1, &mut buffer).expect("it fits");
        assert!(jobs.job().is_none_or(is_job_id));
    }
}

/// Messages of streams in JSON, as a service and as a device reads them.
pub fn aws_stream_json(data: &[u8]) {
    stream::<Json>(data);
}

/// Messages of streams in CBOR, as a service and as a device reads them.
pub fn aws_stream_cbor(data: &[u8]) {
    stream::<Cbor>(data);
}

fn stream<E: Encoding>(data: &[u8]) {
    let format = E::FORMAT;
    match GetStream::parse(format, data) {
        Ok(request) => selected(&request),
        Err(refused) => {
            let mut answer = Vec::new();
            refused.answer.emit(format, &mut answer);
            assert_eq!(Rejected::parse(format, &answer), Ok(refused.answer));
        }
    }
    if let Ok(request) = DescribeStream::parse(format, data) {
        let mut again = Vec::new();
        request.emit(format, &mut again);
        assert_eq!(DescribeStream::parse(format, &again), Ok(request));
    }
    if let Ok(rejected) = Rejected::parse(format, data) {
        let mut again = Vec::new();
        rejected.emit(format, &mut again);
        assert_eq!(Rejected::parse(format, &again), Ok(rejected));
    }
    if let Ok(description) = Description::parse(format, data) {
        let mut again = Vec::new();
        description.emit(format, &mut again);
        let again = Description::parse(format, &again).expect("it was written");
        assert!(again.files.eq(description.files));
    }
    if let Ok(block) = Data::parse(format, data) {
        let mut again = Vec::new();
        block.emit(format, &mut again);
        assert_eq!(Data::parse(format, &again), Ok(block));
    }
    download::<E>(data);
}

/// What a request selects fits into an answer and is in the file.
fn selected(request: &GetStream<'_>) {
    assert!(
        request
            .bitmap
            .is_none_or(|bitmap| bitmap.len() <= MAX_BITMAP_LEN)
    );
    for size in [0, 1, 100_000, 1 << 24, u32::MAX] {
        for rule in [EndOfFile::LeaveOut, EndOfFile::Refuse] {
            let Ok(blocks) = request.selected(size, rule) else {
                continue;
            };
            let mut bytes = 0;
            for block in blocks {
                assert!(block.len > 0 && block.len <= size - block.offset);
                bytes += block.len;
            }
            assert!((1..=MAX_BYTES_PER_REQUEST).contains(&bytes));
        }
    }
}

/// A device that waits for blocks takes this one as what it is, or not at all.
fn download<E: Encoding>(data: &[u8]) {
    let mut window = [0; 4 * 256];
    let source = Source {
        thing: "dev-1",
        stream: "s",
        file: 0,
        size: 1000,
    };
    let settings = Settings {
        block_size: 256,
        requests: Requests::Window,
        ..Settings::default()
    };
    let mut download =
        BlockDownload::<E>::new(source, settings, 10, &mut window).expect("it is possible");
    let mut buffer = [0; BUFFER_LEN];
    download.poll(0, &mut buffer).expect("it fits");
    for message in [StreamMessage::Data, StreamMessage::Rejected] {
        let topic = Topic::Stream {
            name: "s",
            message,
            format: E::FORMAT,
        };
        let received = download.receive(&topic, data, 1);
        if let (Ok(Received::Block), StreamMessage::Data) = (received, message) {
            let block = Data::parse(E::FORMAT, data).expect("it was taken");
            assert!(block.file == 0 && block.block < 4);
            let mut payload = [0; 256];
            let len: Result<usize, Base64Error> = block.payload.copy_to(&mut payload);
            assert_eq!(len, Ok(block.len as usize));
            if block.block == 0 {
                assert_eq!(download.ready(), Some(&payload[10..block.len as usize]));
            }
        }
    }
    download.taken();
    assert!(download.offset() <= 1000);
    download.poll(2, &mut buffer).expect("it fits");
}
