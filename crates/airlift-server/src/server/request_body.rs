//! Bodies of requests to the API.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::Sleep;

/// How much, and for how long, is read of a body that nobody wants. See [`RequestBody`].
const DRAIN_BYTES: u64 = 64 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// A body that fails when it makes no progress for too long, and that is read to its end when it is dropped early.
///
/// The latter is for clients that send an image and look at the answer afterwards: if the server closed the socket on
/// their unsent bytes, they would see a reset connection instead of the reason for the refusal.
pub(super) struct RequestBody {
    incoming: Option<Incoming>,
    patience: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
    /// The client sends the body only when asked to, and nobody has asked.
    held_back: bool,
}

impl RequestBody {
    pub(super) fn new(incoming: Incoming, patience: Duration, expects_continue: bool) -> Self {
        Self {
            incoming: Some(incoming),
            patience,
            waiting: None,
            held_back: expects_continue,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum RequestBodyError {
    #[error("the client sent nothing for {0:?}")]
    Stalled(Duration),
    #[error(transparent)]
    Connection(#[from] hyper::Error),
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        self.held_back = false;
        let Some(incoming) = &mut self.incoming else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(frame) = Pin::new(incoming).poll_frame(cx) {
            self.waiting = None;
            if !matches!(frame, Some(Ok(_))) {
                self.incoming = None;
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(RequestBodyError::from)));
        }
        let patience = self.patience;
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(waiting.as_mut().poll(cx));
        self.incoming = None;
        Poll::Ready(Some(Err(RequestBodyError::Stalled(patience))))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let Some(mut incoming) = self.incoming.take() else {
            return;
        };
        if self.held_back || incoming.is_end_stream() {
            return;
        }
        let drain = async move {
            let mut read = 0;
            while let Some(Ok(frame)) = incoming.frame().await {
                read += frame.data_ref().map_or(0, |data| data.len() as u64);
                if read > DRAIN_BYTES {
                    return;
                }
            }
        };
        // Dropped with the runtime at the end of the program: then there is nobody to answer.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(tokio::time::timeout(DRAIN_TIME, drain));
        }
    }
}
