//! One client, from its welcome to its end.
//!
//! One task, polled as a whole, with everything that it holds in one struct: a device that says nothing for days costs little more
//! than that. What bounds it:
//!
//! * Nothing is read while [`MAX_OUTPUT`] bytes or more wait for the client to take them, or while it has [`MAX_WAITING`] requests
//!   unanswered: a flood stays in the client's own socket.
//! * Requests of one client are answered one after the other. Blocks of a file are pulled one by one, each only when fewer than
//!   [`MAX_OUTPUT`] bytes wait.
//! * Requests that change something are let through at a rate; the ones beyond it wait, and so does what comes behind them.
//! * A client that takes nothing for a while is given up, as is one that breaks its promise to say something.
//!
//! A message is acknowledged when its request has been dealt with, so that a client which was told "taken" need not ask again. What
//! a client asked before it hung up is still done: a device may report "updated" and restart at once.

mod incoming;
mod outgoing;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Mutex, oneshot};
use tokio::time::{Instant, Sleep};

use super::allowance::Allowance;
use super::codec::{Codec, Fault, Reason, Version};
use super::farewell::farewell;
use super::sessions::{Joined, Seat, Session};
use crate::jobs::{AwsService, Notice, NoticeReceiver, Thing};
use outgoing::{Future, Waiting, Work, is_change};

/// Bytes that may wait for the client before nothing more is made for it. One message may go beyond.
const MAX_OUTPUT: usize = 64 << 10;
/// Most requests that wait for the ones before them.
pub(super) const MAX_WAITING: usize = 16;
/// Most bytes of such requests. One may go beyond.
const MAX_WAITING_BYTES: usize = 256 << 10;
/// Most QoS 1 messages that the client is sent before it acknowledges one; it may ask for fewer.
const MAX_IN_FLIGHT: usize = 16;
/// How much is read at once.
const READ: usize = 8 << 10;
/// How long the requests of a client that is gone may take.
const AFTERWARDS: Duration = Duration::from_secs(10);

/// What a connection is made of.
pub(super) struct Parts<S> {
    pub(super) io: S,
    pub(super) codec: Codec,
    pub(super) version: Version,
    /// Bytes that came with CONNECT, behind it.
    pub(super) input: BytesMut,
    pub(super) joined: Joined,
    pub(super) thing: Arc<Thing>,
    pub(super) peer: SocketAddr,
    pub(super) service: Arc<AwsService>,
    pub(super) terms: Terms,
}

/// What client and server agreed on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// How long the session is kept after the connection.
    pub(super) session_expiry: Duration,
    /// Longest silence of the client.
    pub(super) keep_alive: Duration,
    pub(super) receive_maximum: u16,
    /// Largest packet that the client takes.
    pub(super) maximum_packet: u32,
    /// How long the client may take no bytes that wait for it.
    pub(super) stall: Duration,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the client has disconnected")]
    Disconnected,
    /// The client hung up, or the network did.
    #[error("{0}")]
    Gone(io::ErrorKind),
    /// The server says so.
    #[error("{0:?}")]
    Told(Reason),
    /// The client did what it may not.
    #[error(transparent)]
    Fault(Fault),
    #[error("the client takes no bytes")]
    Stalled,
}

/// A client that has been let in.
pub(super) struct Connection<S> {
    io: S,
    codec: Codec,
    version: Version,
    thing: Arc<Thing>,
    service: Arc<AwsService>,
    terms: Terms,
    /// Taken when it ends.
    seat: Option<Seat>,
    _presence: Presence,
    session: Session,
    next_id: u16,
    input: BytesMut,
    output: BytesMut,
    /// There are bytes in a buffer below, of TLS.
    is_unflushed: bool,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    work: Work,
    /// Shared with `next_notice`, and with nobody else.
    notices: Arc<Mutex<NoticeReceiver>>,
    next_notice: Option<Future<Option<Notice>>>,
    allowance: Allowance,
    close: oneshot::Receiver<Reason>,
    /// The server stops: what is being answered is the last.
    is_closing: bool,
    heard: Instant,
    /// Since when the client has taken none of the bytes that wait for it.
    stalled: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

/// Tells the service that the thing is here, and when it is not any more.
struct Presence {
    service: Arc<AwsService>,
    thing: Arc<Thing>,
}

impl Presence {
    fn new(service: &Arc<AwsService>, thing: &Arc<Thing>, peer: SocketAddr) -> Self {
        service.connected(thing, peer.ip().to_canonical());
        Self {
            service: Arc::clone(service),
            thing: Arc::clone(thing),
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.service.disconnected(&self.thing);
    }
}

/// MQTT 3.1.1, section 3.1.2.10: one and a half times what the client promised.
fn silence(terms: &Terms) -> Duration {
    terms.keep_alive * 3 / 2
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// On the heap from the start: a future that holds it by value would hold it more than once.
    pub(super) fn new(parts: Parts<S>, output: BytesMut) -> Box<Self> {
        let Joined {
            seat,
            close,
            session,
        } = parts.joined;
        let presence = Presence::new(&parts.service, &parts.thing, parts.peer);
        let mut session = session.unwrap_or_default();
        let notices = session
            .notices
            .take()
            .unwrap_or_else(|| Arc::new(Mutex::new(parts.service.notices(&parts.thing))));
        let now = Instant::now();
        Box::new(Self {
            io: parts.io,
            codec: parts.codec,
            version: parts.version,
            thing: parts.thing,
            service: parts.service,
            terms: parts.terms,
            seat: Some(seat),
            _presence: presence,
            session,
            next_id: 0,
            input: parts.input,
            output,
            is_unflushed: false,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            work: Work::Nothing,
            notices,
            next_notice: None,
            allowance: Allowance::new(now),
            close,
            is_closing: false,
            heard: now,
            stalled: None,
            timer: Box::pin(tokio::time::sleep(silence(&parts.terms))),
        })
    }

    /// Serves the client to its end.
    pub(super) async fn run(mut self: Box<Self>) {
        self.repeat_unacknowledged();
        let end = std::future::poll_fn(|cx| self.poll(cx)).await;
        // What comes now is short, and its memory is not the idle client's.
        Box::pin(self.end(end)).await;
    }

    async fn end(mut self: Box<Self>, end: End) {
        tracing::debug!(thing = %self.thing.name, %end, "connection ended");
        let reason = match end {
            End::Told(reason) => Some(reason),
            End::Fault(fault) => Some(fault.reason),
            End::Disconnected | End::Gone(_) | End::Stalled => None,
        };
        self.leave(reason);
        if let Some(reason) = reason {
            let _ = self.version.disconnect(reason, &mut self.output);
            farewell(&mut self.io, &self.output).await;
        }
        let afterwards = Box::pin(self.afterwards());
        if tokio::time::timeout(AFTERWARDS, afterwards).await.is_err() {
            tracing::warn!("requests of a client that is gone took too long and are dropped");
        }
    }

    /// Gives up the place in the registry, and leaves the session there.
    fn leave(&mut self, reason: Option<Reason>) {
        self.next_notice = None;
        let Some(seat) = self.seat.take() else {
            return;
        };
        if reason == Some(Reason::AdministrativeAction) {
            return;
        }
        let mut session = std::mem::take(&mut self.session);
        session.notices = Some(Arc::clone(&self.notices));
        seat.leave(session, self.terms.session_expiry);
    }

    /// Does what the client had asked when its connection ended; nobody hears the answers.
    async fn afterwards(self: Box<Self>) {
        let (service, thing) = (self.service, self.thing);
        drop((self.io, self.input, self.output));
        if let Work::Answering { reply, .. } = self.work {
            reply.await;
        }
        for waiting in self.waiting {
            if let Waiting::Request { rest, payload, .. } = waiting
                && is_change(&rest)
            {
                service.request(&thing, &rest, &payload).await;
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            if !self.is_closing
                && let Poll::Ready(told) = Pin::new(&mut self.close).poll(cx)
            {
                match told {
                    Ok(Reason::ServerShuttingDown) => self.is_closing = true,
                    Ok(reason) => return Poll::Ready(End::Told(reason)),
                    // The registry is gone, and the server with it.
                    Err(_) => return Poll::Ready(End::Told(Reason::ServerShuttingDown)),
                }
            }
            // What is made in one go is written in one go.
            let mut has_moved = false;
            for step in [Self::poll_work, Self::poll_notices, Self::poll_read] {
                match step(self, cx) {
                    Poll::Ready(Ok(())) => has_moved = true,
                    Poll::Ready(Err(end)) => return Poll::Ready(end),
                    Poll::Pending => {}
                }
            }
            if has_moved {
                continue;
            }
            match self.poll_write(cx) {
                Poll::Ready(Ok(())) => continue,
                Poll::Ready(Err(end)) => return Poll::Ready(end),
                Poll::Pending => {}
            }
            if self.is_closing && self.is_idle() {
                return Poll::Ready(End::Told(Reason::ServerShuttingDown));
            }
            return self.poll_timer(cx);
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        let io = Pin::new(&mut self.io);
        let written = if !self.output.is_empty() {
            io.poll_write(cx, &self.output)
        } else if self.is_unflushed {
            // TLS has a buffer of its own below.
            io.poll_flush(cx).map_ok(|()| 0)
        } else {
            return Poll::Pending;
        };
        match written {
            Poll::Ready(Ok(0)) if !self.output.is_empty() => {
                Poll::Ready(Err(End::Gone(io::ErrorKind::WriteZero)))
            }
            Poll::Ready(Ok(count)) => {
                self.is_unflushed = !self.output.is_empty();
                self.output.advance(count);
                if self.output.is_empty() {
                    // An idle client keeps no buffer.
                    self.output = BytesMut::new();
                }
                self.stalled = None;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(End::Gone(error.kind()))),
            Poll::Pending => {
                if self.stalled.is_none() {
                    let now = Instant::now();
                    self.stalled = Some(now);
                    self.look_at(now + self.terms.stall);
                }
                Poll::Pending
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        if !self.may_read() {
            return Poll::Pending;
        }
        if self.input.is_empty() {
            let mut space = [std::mem::MaybeUninit::uninit(); READ];
            let mut buffer = ReadBuf::uninit(&mut space);
            match Pin::new(&mut self.io).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                    return Poll::Ready(Err(End::Gone(io::ErrorKind::UnexpectedEof)));
                }
                Poll::Ready(Ok(())) => self.input.extend_from_slice(buffer.filled()),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(End::Gone(error.kind()))),
                Poll::Pending => return Poll::Pending,
            }
        }
        let packet = self.codec.feed(&mut self.input);
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        match packet {
            Err(fault) => Poll::Ready(Err(End::Fault(fault))),
            Ok(None) => Poll::Ready(Ok(())),
            Ok(Some(packet)) => {
                self.heard = Instant::now();
                Poll::Ready(self.take(packet))
            }
        }
    }

    /// Looks what time it is. The timer is not set anew with every packet: when it fires, it is seen whether it was too early.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if !self.may_read() {
                // It may well have said something: it is this side that does not listen.
                self.heard = now;
            }
            let heard_until = self.heard + silence(&self.terms);
            if heard_until <= now {
                return Poll::Ready(End::Told(Reason::KeepAliveTimeout));
            }
            let mut next = heard_until;
            if let Some(since) = self.stalled {
                if since + self.terms.stall <= now {
                    return Poll::Ready(End::Stalled);
                }
                next = next.min(since + self.terms.stall);
            }
            if let Work::Pausing(until) = self.work {
                if until <= now {
                    // There is work again.
                    cx.waker().wake_by_ref();
                } else {
                    next = next.min(until);
                }
            }
            self.timer.as_mut().reset(next);
        }
        Poll::Pending
    }
}

/// What may happen now.
impl<S> Connection<S> {
    /// Nothing is asked that is not answered.
    fn is_idle(&self) -> bool {
        let is_sent = self.output.is_empty() && !self.is_unflushed;
        is_sent && self.waiting.is_empty() && matches!(self.work, Work::Nothing)
    }

    fn may_read(&self) -> bool {
        !self.is_closing
            && self.output.len() < MAX_OUTPUT
            && self.waiting.len() < MAX_WAITING
            && self.waiting_bytes < MAX_WAITING_BYTES
    }

    /// There is room for one more message to the client.
    fn may_send(&self) -> bool {
        self.output.len() < MAX_OUTPUT && self.session.unacknowledged.len() < self.window()
    }

    fn window(&self) -> usize {
        MAX_IN_FLIGHT.min(self.terms.receive_maximum.into())
    }

    /// Makes sure that the timer fires then, or earlier.
    fn look_at(&mut self, time: Instant) {
        if time < self.timer.deadline() {
            self.timer.as_mut().reset(time);
        }
    }
}

/// A packet of our own that cannot be built: a topic of more than 65 535 bytes, which no answer has.
fn log_unsent<E: std::fmt::Debug>(packet: &str, sent: Result<(), E>) {
    if let Err(error) = sent {
        tracing::error!(packet, ?error, "a packet could not be built");
    }
}
