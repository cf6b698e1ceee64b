//! Downloads from a service that loses, repeats and reorders, in simulated time.

use airlift_formats::aws::streams::{Bitmap, EndOfFile, Payload};

use super::*;
use crate::mqtt::BUFFER_LEN;

const FILE: u8 = 3;

/// What the service does with its answers.
#[derive(Clone, Copy, Default)]
struct Habits {
    /// One of so many messages is lost, requests included; 0: none.
    loses: u32,
    /// Each answer comes twice.
    twice: bool,
    /// The answers to one request come in reverse.
    reversed: bool,
    /// The blocks that are asked for must be there, as AWS has it.
    strict: bool,
}

/// A service, and the way to it and back.
struct Service {
    file: Vec<u8>,
    habits: Habits,
    /// Milliseconds from a request to its answers.
    round_trip: u32,
    chance: u32,
    requests: Vec<Vec<u8>>,
    blocks_sent: Vec<u32>,
    /// What is on its way to the device, and when it arrives.
    on_its_way: std::collections::VecDeque<(u32, Vec<u8>)>,
}

impl Service {
    fn new(file: Vec<u8>, habits: Habits) -> Self {
        Self {
            file,
            habits,
            round_trip: 50,
            chance: 1,
            requests: Vec::new(),
            blocks_sent: Vec::new(),
            on_its_way: [].into(),
        }
    }

    fn is_lost(&mut self) -> bool {
        self.chance = self
            .chance
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        self.habits.loses > 0 && (self.chance >> 16).is_multiple_of(self.habits.loses)
    }

    fn take(&mut self, format: Format, publish: Publish<'_>, now: u32) {
        let (thing, topic) = Topic::parse(publish.topic).unwrap();
        let expected = Topic::Stream {
            name: "stream-1",
            message: StreamMessage::Get,
            format,
        };
        assert_eq!((thing, topic), ("dev-1", expected));
        self.requests.push(publish.payload.to_vec());
        let request = GetStream::parse(format, publish.payload).unwrap();
        assert_eq!(request.file, u32::from(FILE));
        let rule = if self.habits.strict {
            EndOfFile::Refuse
        } else {
            EndOfFile::LeaveOut
        };
        let mut blocks: Vec<_> = request
            .selected(self.file.len() as u32, rule)
            .unwrap()
            .collect();
        if self.is_lost() {
            return;
        }
        if self.habits.reversed {
            blocks.reverse();
        }
        for block in blocks {
            self.blocks_sent.push(block.id);
            let bytes = &self.file[block.offset as usize..][..block.len as usize];
            let data = Data {
                token: request.token,
                file: request.file,
                block: block.id,
                len: block.len,
                payload: Payload::Bytes(bytes),
            };
            let mut message = Vec::new();
            data.emit(format, &mut message);
            for _ in 0..if self.habits.twice { 2 } else { 1 } {
                if !self.is_lost() {
                    self.on_its_way
                        .push_back((now + self.round_trip, message.clone()));
                }
            }
        }
    }
}

fn file(len: u32) -> Vec<u8> {
    (0..len)
        .map(|index| (index.wrapping_mul(index) >> 5) as u8)
        .collect()
}

fn source(size: u32) -> Source<'static> {
    Source {
        thing: "dev-1",
        stream: "stream-1",
        file: FILE,
        size,
    }
}

fn data_topic(format: Format) -> Topic<'static> {
    Topic::Stream {
        name: "stream-1",
        message: StreamMessage::Data,
        format,
    }
}

fn settings(block_size: u32) -> Settings {
    Settings {
        block_size,
        ..Settings::default()
    }
}

/// Fetches the file from `from` on. Returns the bytes, and the milliseconds that it took.
fn fetch<E: Encoding>(
    service: &mut Service,
    settings: Settings,
    window: usize,
    from: u32,
) -> Result<(Vec<u8>, u32), StreamError> {
    let mut window = vec![0; window];
    let source = source(service.file.len() as u32);
    let mut download = BlockDownload::<E>::new(source, settings, from, &mut window)?;
    let mut buffer = [0; BUFFER_LEN];
    let mut bytes = Vec::new();
    let mut now = 0;
    let topic = data_topic(E::FORMAT);
    while !download.is_complete() {
        while let Some(publish) = download.poll(now, &mut buffer)? {
            service.take(E::FORMAT, publish, now);
        }
        match service.on_its_way.pop_front() {
            Some((at, message)) => {
                now = now.max(at);
                let received = download.receive(&topic, &message, now)?;
                assert!(
                    matches!(received, Received::Block | Received::Duplicate),
                    "{received:?}"
                );
            }
            None => now = download.due().expect("something is asked for"),
        }
        while let Some(ready) = download.ready() {
            bytes.extend(ready);
            download.taken();
            assert_eq!(download.offset(), from + bytes.len() as u32);
        }
    }
    assert_eq!(download.poll(now, &mut buffer), Ok(None));
    Ok((bytes, now))
}

fn fetch_as(
    format: Format,
    service: &mut Service,
    settings: Settings,
    window: usize,
    from: u32,
) -> Result<(Vec<u8>, u32), StreamError> {
    match format {
        Format::Json => fetch::<Json>(service, settings, window, from),
        Format::Cbor => fetch::<Cbor>(service, settings, window, from),
    }
}

#[test]
fn a_file_of_any_size_comes_whole_in_either_format() {
    for format in [Format::Json, Format::Cbor] {
        for len in [1, 255, 256, 257, 1024, 5000, 256 * 33] {
            for window in [256, 1024, 256 * 40] {
                let habits = Habits {
                    strict: true,
                    ..Habits::default()
                };
                let mut service = Service::new(file(len), habits);
                let (bytes, _) = fetch_as(format, &mut service, settings(256), window, 0).unwrap();
                assert!(bytes == service.file, "{format:?} {len} {window}");
                // Nothing is asked for twice.
                let blocks: Vec<u32> = (0..len.div_ceil(256)).collect();
                assert_eq!(service.blocks_sent, blocks);
            }
        }
    }
}

#[test]
fn lost_repeated_and_reordered_blocks_do_no_harm() {
    for loses in [0, 3, 7, 20] {
        for (twice, reversed) in [(false, false), (true, false), (false, true), (true, true)] {
            for window in [1, 2, 5, 32] {
                let habits = Habits {
                    loses,
                    twice,
                    reversed,
                    strict: false,
                };
                let mut service = Service::new(file(20_000), habits);
                let window = window * 512;
                let (bytes, _) = fetch::<Cbor>(&mut service, settings(512), window, 0).unwrap();
                assert!(bytes == service.file, "{loses} {twice} {reversed} {window}");
            }
        }
    }
}

#[test]
fn only_what_is_missing_is_asked_for_again() {
    let mut window = [0; 8 * 256];
    let settings = settings(256);
    let mut download = BlockDownload::<Cbor>::new(source(2048), settings, 0, &mut window).unwrap();
    let mut service = Service::new(file(2048), Habits::default());
    let mut buffer = [0; BUFFER_LEN];
    let publish = download.poll(0, &mut buffer).unwrap().unwrap();
    service.take(Format::Cbor, publish, 0);
    // Of eight blocks, 1, 4 and 5 are lost.
    for (index, (_, message)) in service.on_its_way.drain(..).enumerate() {
        if ![1, 4, 5].contains(&index) {
            let topic = data_topic(Format::Cbor);
            assert_eq!(download.receive(&topic, &message, 10), Ok(Received::Block));
        }
    }
    assert_eq!(download.poll(10, &mut buffer), Ok(None));
    let due = download.due().unwrap();
    assert_eq!(due, 10 + settings.retry.first);
    assert_eq!(download.poll(due - 1, &mut buffer), Ok(None));
    let publish = download.poll(due, &mut buffer).unwrap().unwrap();
    let request = GetStream::parse(Format::Cbor, publish.payload).unwrap();
    assert_eq!((request.offset, request.count), (1, Some(3)));
    assert_eq!(request.bitmap, Some(Bitmap::new(&[0b11001])));
}

#[test]
fn a_window_of_n_blocks_is_close_to_n_times_as_fast() {
    let time = |blocks: usize| {
        let mut service = Service::new(file(256 * 1024), Habits::default());
        let settings = settings(4096);
        fetch::<Cbor>(&mut service, settings, blocks * 4096, 0)
            .unwrap()
            .1
    };
    let one = time(1);
    assert_eq!(one, 64 * 50);
    for blocks in [2, 4, 8, 16] {
        let fold = f64::from(one) / f64::from(time(blocks));
        assert!(fold > 0.95 * blocks as f64, "window {blocks}: {fold}");
    }
    // 128 KiB a request are 32 blocks of this size.
    assert_eq!(time(32), 2 * 50);
    assert_eq!(time(64), 2 * 50);
}

#[test]
fn a_download_goes_on_within_a_block() {
    for from in [1, 255, 256, 1000, 4999, 5000] {
        let mut service = Service::new(file(5000), Habits::default());
        let (bytes, _) = fetch::<Json>(&mut service, settings(256), 1024, from).unwrap();
        assert_eq!(bytes, service.file[from as usize..], "{from}");
        let before = service
            .blocks_sent
            .iter()
            .find(|block| **block < from / 256);
        assert_eq!(before, None, "nothing is fetched that is there");
    }
}

#[test]
fn a_service_that_does_not_answer_is_given_up_after_the_last_wait() {
    let habits = Habits {
        loses: 1,
        ..Habits::default()
    };
    let mut service = Service::new(file(1000), habits);
    let result = fetch::<Cbor>(&mut service, settings(256), 256, 0);
    assert_eq!(result.unwrap_err(), StreamError::Unanswered);
    assert_eq!(service.requests.len(), usize::from(Retry::default().limit));
}

#[test]
fn the_c_library_s_requests_are_sent_byte_for_byte() {
    for (format, first) in [
        (
            Format::Cbor,
            &b"\xA6\x61c\x63rdy\x61f\x03\x61l\x19\x01\x00\x61o\x00\x61b\x44MQ==\x61n\x01"[..],
        ),
        (Format::Json, br#"{"s": 1,"f": 3,"l": 256,"o": 0,"n": 1}"#),
    ] {
        let habits = Habits {
            strict: true,
            ..Habits::default()
        };
        let mut service = Service::new(file(1000), habits);
        let settings = Settings {
            requests: Requests::CLibrary,
            ..settings(256)
        };
        let (bytes, _) = fetch_as(format, &mut service, settings, 4096, 0).unwrap();
        assert!(bytes == service.file);
        assert_eq!(service.requests[0], first);
        assert_eq!(service.requests.len(), 4, "one block a request");
    }
}

#[test]
fn what_is_no_good_is_passed_over() {
    let mut window = [0; 1024];
    let settings = settings(256);
    let mut download =
        BlockDownload::<Cbor>::new(source(1000), settings, 300, &mut window).unwrap();
    let mut buffer = [0; BUFFER_LEN];
    download.poll(0, &mut buffer).unwrap().unwrap();
    let mut receive = |format: Format, file, block, len, count: usize| {
        let data = Data {
            token: None,
            file,
            block,
            len,
            payload: Payload::Bytes(&[7; 1024][..count]),
        };
        let mut message = Vec::new();
        data.emit(Format::Cbor, &mut message);
        download.receive(&data_topic(format), &message, 0).unwrap()
    };
    use Received::{Block, Duplicate, Ignored, NotOurs};
    let file = u32::from(FILE);
    for (received, expected) in [
        (receive(Format::Json, file, 1, 256, 256), NotOurs),
        (
            receive(Format::Cbor, 0, 1, 256, 256),
            Ignored(BadBlock::OtherFile),
        ),
        (
            receive(Format::Cbor, file, 4, 256, 256),
            Ignored(BadBlock::OutOfRange),
        ),
        (
            receive(Format::Cbor, file, 0x7FFF_FFFF, 256, 256),
            Ignored(BadBlock::OutOfRange),
        ),
        (
            receive(Format::Cbor, file, 1, 255, 255),
            Ignored(BadBlock::Length),
        ),
        (
            receive(Format::Cbor, file, 1, 256, 255),
            Ignored(BadBlock::Length),
        ),
        (
            receive(Format::Cbor, file, 1, 256, 257),
            Ignored(BadBlock::Payload(Base64Error::TooLong)),
        ),
        // The last block has 232 bytes.
        (
            receive(Format::Cbor, file, 3, 256, 256),
            Ignored(BadBlock::Length),
        ),
        // In front of where the download goes on.
        (receive(Format::Cbor, file, 0, 256, 256), Duplicate),
        (receive(Format::Cbor, file, 3, 232, 232), Block),
        (receive(Format::Cbor, file, 3, 232, 232), Duplicate),
        (receive(Format::Cbor, file, 1, 256, 256), Block),
    ] {
        assert_eq!(received, expected);
    }
    assert_eq!(download.ready().map(<[u8]>::len), Some(212));
    let topic = data_topic(Format::Cbor);
    let malformed = download.receive(&topic, b"\xA0", 0).unwrap();
    assert!(matches!(malformed, Ignored(BadBlock::Message(_))));
    let other = Topic::Stream {
        name: "stream-2",
        message: StreamMessage::Data,
        format: Format::Cbor,
    };
    assert_eq!(download.receive(&other, b"", 0), Ok(NotOurs));
    assert_eq!(download.receive(&Topic::Notify, b"", 0), Ok(NotOurs));
}

#[test]
fn a_block_that_was_not_asked_for_does_not_enter_the_window() {
    let mut window = [0; 512];
    let settings = settings(256);
    let mut download = BlockDownload::<Cbor>::new(source(1024), settings, 0, &mut window).unwrap();
    let data = Data {
        token: None,
        file: FILE.into(),
        block: 2,
        len: 256,
        payload: Payload::Bytes(&[7; 256]),
    };
    let mut message = Vec::new();
    data.emit(Format::Cbor, &mut message);
    let topic = data_topic(Format::Cbor);
    let expected = Ok(Received::Ignored(BadBlock::NotAsked));
    assert_eq!(download.receive(&topic, &message, 0), expected);
}

#[test]
fn a_refusal_ends_the_download_unless_it_may_pass() {
    for (code, expected) in [
        (
            "ResourceNotFound",
            Err(StreamError::Rejected(ErrorCode::ResourceNotFound)),
        ),
        (
            "InvalidRequest",
            Err(StreamError::Rejected(ErrorCode::InvalidRequest)),
        ),
        ("InternalError", Ok(Received::Ignored(BadBlock::Refusal))),
        ("Teapot", Ok(Received::Ignored(BadBlock::Refusal))),
    ] {
        let mut window = [0; 256];
        let settings = settings(256);
        let mut download =
            BlockDownload::<Json>::new(source(1000), settings, 0, &mut window).unwrap();
        let topic = Topic::Stream {
            name: "stream-1",
            message: StreamMessage::Rejected,
            format: Format::Json,
        };
        let message = format!(r#"{{"o":"{code}","m":"x"}}"#);
        assert_eq!(download.receive(&topic, message.as_bytes(), 0), expected);
    }
}

#[test]
fn what_cannot_be_fetched_is_told_at_once() {
    let new = |source, settings, window: usize| {
        let mut window = vec![0; window];
        BlockDownload::<Cbor>::new(source, settings, 0, &mut window).map(|download| download.room())
    };
    let plain = settings(256);
    for (source, settings, window, expected) in [
        (source(1), plain, 256, Ok(1)),
        (source(1), plain, 511, Ok(1)),
        (source(1), plain, 100 * 256, Ok(32)),
        (source(1), settings(131_072), 4 * 131_072, Ok(1)),
        (source(1), settings(65_536), 4 * 65_536, Ok(2)),
        (source(1), plain, 255, Err(StreamError::WindowTooSmall)),
        (source(0), plain, 256, Err(StreamError::FileSize)),
        (source(98_305 * 256), plain, 256, Ok(1)),
        (
            source(98_305 * 256 + 1),
            plain,
            256,
            Err(StreamError::FileSize),
        ),
        (source(1), settings(255), 256, Err(StreamError::BlockSize)),
        (
            source(1),
            settings(131_073),
            1 << 18,
            Err(StreamError::BlockSize),
        ),
        (
            Source {
                stream: "a/b",
                ..source(1)
            },
            plain,
            256,
            Err(StreamError::Name),
        ),
        (
            Source {
                thing: "",
                ..source(1)
            },
            plain,
            256,
            Err(StreamError::Name),
        ),
    ] {
        assert_eq!(new(source, settings, window), expected);
    }
    let mut window = [0; 256];
    let mut download = BlockDownload::<Cbor>::new(source(1), plain, 0, &mut window).unwrap();
    assert_eq!(
        download.poll(0, &mut [0; 50]),
        Err(StreamError::BufferTooSmall)
    );
}
