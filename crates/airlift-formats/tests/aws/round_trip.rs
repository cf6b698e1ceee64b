//! What is written is read as the same, in both formats; what is damaged is read as something else or refused.

use airlift_formats::aws::{
    Format, Sink as _, Text,
    streams::{
        Bitmap, Data, DescribeStream, Description, EndOfFile, GetStream, Payload, Rejected,
        StreamFile,
    },
};
use proptest::{collection::vec, option, prelude::*};

fn format() -> impl Strategy<Value = Format> {
    prop_oneof![Just(Format::Json), Just(Format::Cbor)]
}

/// Text that needs escapes in JSON, too.
fn text() -> impl Strategy<Value = String> {
    "[a-z\"\\\\/\n\u{1}é😀]{0,12}"
}

fn written(emit: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut message = Vec::new();
    emit(&mut message);
    message
}

/// Reads damaged copies of a message: whatever comes out of it, nothing panics.
fn damage(message: &[u8], places: &[(prop::sample::Index, u8)], read: impl Fn(&[u8])) {
    let mut damaged = message.to_vec();
    for (place, byte) in places {
        let place = place.index(damaged.len());
        damaged[place] = *byte;
        read(&damaged);
        read(&damaged[..place]);
    }
}

fn damages() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)
}

/// Whether a service takes these numbers.
fn within_limits(request: &GetStream<'_, &[u8]>) -> bool {
    request.version.is_none_or(|version| version <= 65_535)
        && request.file <= 255
        && (256..=131_072).contains(&request.block_size)
        && request.offset <= 98_304
        && request.count.is_none_or(|count| count <= 98_304)
}

proptest! {
    #[test]
    fn a_request_for_blocks(
        format in format(), token in option::of(text()), version in option::of(any::<u32>()), file in any::<u32>(),
        block_size in any::<u32>(), offset in 0..200_000_u32, bitmap in option::of(vec(any::<u8>(), 0..40)),
        count in option::of(0..200_000_u32), in_range in any::<bool>(), damages in damages(),
    ) {
        let mut request = GetStream {
            token: token.as_deref().map(Text::from),
            version, file, block_size, offset,
            bitmap: bitmap.as_deref(),
            count,
        };
        if in_range {
            request.version = version.map(|version| version % 65_536);
            request.file = file % 256;
            request.block_size = block_size % 130_817 + 256;
            request.offset = offset % 98_305;
            request.count = count.map(|count| count % 98_305);
        }
        let message = written(|sink| request.emit(format, sink));
        match GetStream::parse(format, &message) {
            Ok(parsed) => {
                prop_assert!(within_limits(&request));
                prop_assert_eq!((parsed.token, parsed.version, parsed.file), (request.token, request.version, request.file));
                prop_assert_eq!((parsed.block_size, parsed.offset, parsed.count), (request.block_size, request.offset, request.count));
                prop_assert_eq!(parsed.bitmap, request.bitmap.map(Bitmap::new));
            }
            Err(refused) => {
                prop_assert!(!within_limits(&request), "{}", refused.cause);
                prop_assert_eq!(refused.answer.token, request.token);
            }
        }
        damage(&message, &damages, |damaged| {
            if let Ok(parsed) = GetStream::parse(format, damaged) {
                assert!(parsed.token.is_none_or(|token| token.len() <= 64));
                assert!(parsed.bitmap.is_none_or(|bitmap| bitmap.len() < damaged.len()));
                let _ = parsed.selected(1 << 20, EndOfFile::LeaveOut).map(Iterator::count);
            }
        });
    }

    #[test]
    fn a_block(
        format in format(), token in option::of(text()), file in 0..256_u32, block in 0..=i32::MAX as u32,
        bytes in vec(any::<u8>(), 1..300), damages in damages(),
    ) {
        let data = Data {
            token: token.as_deref().map(Text::from),
            file, block, len: bytes.len() as u32,
            payload: Payload::Bytes(&bytes),
        };
        let message = written(|sink| data.emit(format, sink));
        let parsed = Data::parse(format, &message).unwrap();
        prop_assert_eq!((parsed.token, parsed.file, parsed.block, parsed.len), (data.token, file, block, data.len));
        let mut buffer = [0; 300];
        let len = parsed.payload.copy_to(&mut buffer).unwrap();
        prop_assert_eq!(&buffer[..len], &bytes[..]);
        // And from there in the other format.
        let other = if format == Format::Json { Format::Cbor } else { Format::Json };
        let message = written(|sink| parsed.emit(other, sink));
        let again = Data::parse(other, &message).unwrap();
        let len = again.payload.copy_to(&mut buffer).unwrap();
        prop_assert_eq!(&buffer[..len], &bytes[..]);
        damage(&message, &damages, |damaged| {
            if let Ok(data) = Data::parse(other, damaged) {
                let _ = data.payload.copy_to(&mut [0; 16]);
            }
        });
    }

    #[test]
    fn a_description(
        format in format(), token in option::of(text()), version in 0..65_536_u32, about in option::of(text()),
        files in vec((0..256_u32, any::<u32>()), 0..5), damages in damages(),
    ) {
        let files: Vec<_> = files.into_iter().map(|(id, size)| StreamFile { id, size }).collect();
        let description = Description {
            token: token.as_deref().map(Text::from),
            version,
            description: about.as_deref().map(Text::from),
            files: files.iter().copied(),
        };
        let message = written(|sink| description.emit(format, sink));
        let parsed = Description::parse(format, &message).unwrap();
        prop_assert_eq!((parsed.token, parsed.version, parsed.description), (description.token, version, description.description));
        prop_assert_eq!(parsed.files.collect::<Vec<_>>(), files);
        damage(&message, &damages, |damaged| {
            if let Ok(parsed) = Description::parse(format, damaged) {
                let count = parsed.files.clone().count();
                assert!(count <= damaged.len());
            }
        });
    }

    #[test]
    fn a_refusal_and_a_request_for_a_description(
        format in format(), token in option::of(text()), code in text(), about in text(), damages in damages(),
    ) {
        let rejected = Rejected {
            token: token.as_deref().map(Text::from),
            code: Text::from(&*code),
            message: Text::from(&*about),
        };
        let message = written(|sink| rejected.emit(format, sink));
        prop_assert_eq!(Rejected::parse(format, &message), Ok(rejected));
        damage(&message, &damages, |damaged| {
            let _ = Rejected::parse(format, damaged);
        });
        let describe = DescribeStream { token: rejected.token };
        let message = written(|sink| describe.emit(format, sink));
        prop_assert_eq!(DescribeStream::parse(format, &message), Ok(describe));
        damage(&message, &damages, |damaged| {
            let _ = DescribeStream::parse(format, damaged);
        });
    }
}

#[test]
fn a_message_that_does_not_fit_is_said_to() {
    let request = DescribeStream {
        token: Some(Text::from("rdy")),
    };
    let mut place = [0; 11];
    for (len, fits) in [(11, true), (10, false), (0, false)] {
        let mut buffer = airlift_formats::aws::Buffer::new(&mut place[..len]);
        request.emit(Format::Json, &mut buffer);
        buffer.put(b"");
        assert_eq!(buffer.finish().is_ok(), fits, "{len}");
    }
    assert_eq!(&place, br#"{"c":"rdy"}"#);
}
