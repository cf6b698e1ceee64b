//! The device's reader of HTTP answers.

use airlift_device::download::http::{Answer, Body, Expected, Head, HeadParser, HttpError};

use crate::pieces;

/// The head of an answer reads the same in any pieces, and a body gives out exactly as many bytes as were announced,
/// never one beyond.
///
/// The input: what the server sends, then a byte that decides on the pieces.
pub fn http_head(data: &[u8]) {
    let Some((&seed, received)) = data.split_last() else {
        return;
    };
    let whole = read(received, [received]);
    assert_eq!(
        read(received, pieces(received, seed)),
        whole,
        "other pieces, another head"
    );

    let (head, body_start) = match whole {
        Ok(Some(found)) => found,
        Ok(None) => return,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert!((200..600).contains(&head.status));
    let expected = Expected {
        offset: 1000,
        total: 70_224,
        etag: "\"a\"",
        sha256: None,
    };
    for expected in [None, Some(&expected)] {
        match head.answer(expected) {
            Ok(Answer::Image {
                offset,
                total,
                body,
            }) => {
                assert!(offset < total);
                assert!(offset == 0 || expected.is_some_and(|expected| expected.offset == offset));
                assert_eq!(offset + body.missing(), total);
                drain(body, &received[body_start..], seed);
            }
            Ok(_) => {}
            Err(refusal) => assert!(!refusal.to_string().is_empty() && !refusal.token().is_empty()),
        }
    }
}

/// The head, and where the body starts in `received`.
fn read<'a>(
    received: &'a [u8],
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Option<(Head, usize)>, HttpError> {
    let mut line = [0; 256];
    let mut parser = HeadParser::new(&mut line);
    let mut before = 0;
    for piece in pieces {
        if let Some((head, used)) = parser.push(piece)? {
            assert!(before + used <= received.len());
            return Ok(Some((head, before + used)));
        }
        before += piece.len();
    }
    Ok(None)
}

fn drain(mut body: Body, received: &[u8], seed: u8) {
    let announced = body.missing() as usize;
    let taken: usize = pieces(received, seed)
        .map(|piece| body.push(piece).len())
        .sum();
    assert_eq!(taken, announced.min(received.len()));
    assert_eq!(body.finish().is_ok(), received.len() >= announced);
}
