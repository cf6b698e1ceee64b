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

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::sync::{Mutex, oneshot};
use tokio::time::{Instant, Sleep};

use super::allowance::Allowance;
use super::codec::{Codec, Delivery, Fault, Packet, Publish, Qos, Reason, Subscribe, Version};
use super::sessions::{Joined, Seat, Session};
use super::topic;
use crate::jobs::{AwsService, BlockSource, Notice, NoticeReceiver, Publication, Reply, Thing};

/// Bytes that may wait for the client before nothing more is made for it. One message may go beyond.
const MAX_OUTPUT: usize = 64 << 10;
/// Most requests that wait for the ones before them.
pub(super) const MAX_WAITING: usize = 16;
/// Most bytes of such requests. One may go beyond.
const MAX_WAITING_BYTES: usize = 256 << 10;
/// Largest message that a client may publish: the limit of AWS. The largest request of the protocols has some 13 KiB.
const MAX_PAYLOAD: usize = 128 << 10;
/// Most QoS 1 messages that the client is sent before it acknowledges one; it may ask for fewer.
const MAX_IN_FLIGHT: usize = 16;
/// How much is read at once.
const READ: usize = 8 << 10;
/// How long a client may take to take the last bytes.
const GOODBYE: Duration = Duration::from_secs(1);
/// How long the requests of a client that is gone may take.
const AFTERWARDS: Duration = Duration::from_secs(10);

type Future<T> = Pin<Box<dyn std::future::Future<Output = T> + Send>>;

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

/// Something to be done for the client, in its turn.
enum Waiting {
    Request {
        rest: String,
        payload: Bytes,
        id: Option<u16>,
    },
    /// A message that was refused and is acknowledged as such, in its turn: acknowledgements go out in the order of the messages.
    Refused {
        id: u16,
        reason: Reason,
    },
    Notice(Notice),
}

/// What is being done.
enum Work {
    Nothing,
    /// Until a request may be begun.
    Pausing(Instant),
    Answering {
        reply: Future<Reply>,
        id: Option<u16>,
    },
    Telling(Future<Option<Publication>>),
    Sending(BlockSource),
    Pulling(Future<(BlockSource, Option<Publication>)>),
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
        tracing::debug!(thing = %self.thing.name, %end, "connection ended");
        let reason = match end {
            End::Told(reason) => Some(reason),
            End::Fault(fault) => Some(fault.reason),
            End::Disconnected | End::Gone(_) | End::Stalled => None,
        };
        self.leave(reason);
        if let Some(reason) = reason {
            let _ = self.version.disconnect(reason, &mut self.output);
            let goodbye = async {
                self.io.write_all(&self.output).await?;
                self.io.shutdown().await
            };
            let _ = tokio::time::timeout(GOODBYE, goodbye).await;
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

    /// Makes sure that the timer fires then, or earlier.
    fn look_at(&mut self, time: Instant) {
        if time < self.timer.deadline() {
            self.timer.as_mut().reset(time);
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

    fn take(&mut self, packet: Packet) -> Result<(), End> {
        match packet {
            // The codec lets no second one through.
            Packet::Connect(_) => Ok(()),
            Packet::Publish(message) => self.take_message(message).map_err(End::Fault),
            Packet::Puback(id) => {
                let known = &mut self.session.unacknowledged;
                // One that is not known was acknowledged twice, which does no harm.
                known.retain(|(sent, _)| *sent != id);
                Ok(())
            }
            Packet::Subscribe(request) => {
                self.subscribe(&request);
                Ok(())
            }
            Packet::Unsubscribe { id, filters } => {
                let subscriptions = &mut self.session.subscriptions;
                let existed: Vec<bool> = filters
                    .iter()
                    .map(|filter| subscriptions.remove(filter, &self.thing.name))
                    .collect();
                let sent = self.version.unsuback(id, &existed, &mut self.output);
                log_unsent("UNSUBACK", sent);
                Ok(())
            }
            Packet::Pingreq => {
                self.version.pingresp(&mut self.output);
                Ok(())
            }
            Packet::Disconnect { session_expiry } => {
                // Section 3.14.2.2.2: a session that was to end with the connection cannot be kept after all.
                if let Some(seconds) = session_expiry
                    && !self.terms.session_expiry.is_zero()
                {
                    self.terms.session_expiry = Duration::from_secs(seconds.into());
                }
                Err(End::Disconnected)
            }
        }
    }

    /// Asks the rule before anything is answered.
    fn take_message(&mut self, message: Publish) -> Result<(), Fault> {
        let Publish { topic, id, payload } = message;
        let refused = match topic::own(&topic, &self.thing.name) {
            None => Some(Reason::NotAuthorized),
            Some(_) if payload.len() > MAX_PAYLOAD => Some(Reason::QuotaExceeded),
            Some(_) => None,
        };
        if let Some(reason) = refused {
            let topic: String = topic.escape_debug().take(200).collect();
            tracing::debug!(thing = %self.thing.name, topic, ?reason, "a message is refused");
            // Only the acknowledgement of MQTT 5 can say no; otherwise the end of the connection does.
            let (Version::V5, Some(id)) = (self.version, id) else {
                let what = "a message that the client may not publish";
                return Err(Fault { reason, what });
            };
            self.waiting.push_back(Waiting::Refused { id, reason });
            return Ok(());
        }
        let rest = topic::own(&topic, &self.thing.name).unwrap_or_default();
        self.waiting_bytes += rest.len() + payload.len();
        self.waiting.push_back(Waiting::Request {
            rest: rest.to_owned(),
            payload,
            id,
        });
        Ok(())
    }

    fn subscribe(&mut self, request: &Subscribe) {
        let subscriptions = &mut self.session.subscriptions;
        let verdicts: Vec<_> = request
            .filters
            .iter()
            .map(|(filter, qos)| subscriptions.add(filter, &self.thing.name, *qos))
            .collect();
        let sent = self.version.suback(request.id, &verdicts, &mut self.output);
        log_unsent("SUBACK", sent);
    }

    fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        // An answer that is made already waits in its future while there is no room for it.
        if !self.may_send() {
            return Poll::Pending;
        }
        match std::mem::replace(&mut self.work, Work::Nothing) {
            Work::Nothing => {
                let Some(next) = self.waiting.pop_front() else {
                    return Poll::Pending;
                };
                self.begin(next);
            }
            Work::Pausing(until) => {
                if Instant::now() < until {
                    self.work = Work::Pausing(until);
                    return Poll::Pending;
                }
            }
            Work::Answering { mut reply, id } => match reply.as_mut().poll(cx) {
                Poll::Pending => {
                    self.work = Work::Answering { reply, id };
                    return Poll::Pending;
                }
                Poll::Ready(reply) => {
                    if let Some(id) = id {
                        self.acknowledge(id, None);
                    }
                    match reply {
                        Reply::None => {}
                        Reply::One(publication) => self.send(publication),
                        Reply::Blocks(blocks) => self.work = Work::Sending(blocks),
                    }
                }
            },
            Work::Telling(mut notice) => match notice.as_mut().poll(cx) {
                Poll::Pending => {
                    self.work = Work::Telling(notice);
                    return Poll::Pending;
                }
                Poll::Ready(Some(publication)) => self.send(publication),
                Poll::Ready(None) => {}
            },
            Work::Sending(mut blocks) => {
                self.work = Work::Pulling(Box::pin(async move {
                    let block = blocks.next().await;
                    (blocks, block)
                }));
            }
            Work::Pulling(mut pull) => match pull.as_mut().poll(cx) {
                Poll::Pending => {
                    self.work = Work::Pulling(pull);
                    return Poll::Pending;
                }
                Poll::Ready((blocks, Some(block))) => {
                    self.send(block);
                    self.work = Work::Sending(blocks);
                }
                Poll::Ready((_, None)) => {}
            },
        }
        Poll::Ready(Ok(()))
    }

    fn begin(&mut self, next: Waiting) {
        self.work = match next {
            Waiting::Request { rest, payload, id } => {
                if is_change(&rest)
                    && let Err(until) = self.allowance.take(Instant::now())
                {
                    self.waiting
                        .push_front(Waiting::Request { rest, payload, id });
                    self.work = Work::Pausing(until);
                    self.look_at(until);
                    return;
                }
                self.waiting_bytes -= rest.len() + payload.len();
                let (service, thing) = (Arc::clone(&self.service), Arc::clone(&self.thing));
                let reply = async move { service.request(&thing, &rest, &payload).await };
                Work::Answering {
                    reply: Box::pin(reply),
                    id,
                }
            }
            Waiting::Refused { id, reason } => {
                self.acknowledge(id, Some(reason));
                Work::Nothing
            }
            Waiting::Notice(notice) => {
                Work::Telling(Box::pin(async move { notice.publication().await }))
            }
        };
    }

    fn poll_notices(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        // One at a time, and in turn: the next mark waits where it costs nothing.
        let is_told = matches!(self.work, Work::Telling(_));
        let waits = |waiting: &Waiting| matches!(waiting, Waiting::Notice(_));
        if self.is_closing || is_told || self.waiting.iter().any(waits) {
            return Poll::Pending;
        }
        let notices = &self.notices;
        let next = self.next_notice.get_or_insert_with(|| {
            let notices = Arc::clone(notices);
            Box::pin(async move { notices.lock_owned().await.recv().await })
        });
        let Poll::Ready(notice) = next.as_mut().poll(cx) else {
            return Poll::Pending;
        };
        self.next_notice = None;
        let Some(notice) = notice else {
            return Poll::Ready(Err(End::Told(Reason::AdministrativeAction)));
        };
        if self
            .session
            .subscriptions
            .qos(notice.topic_rest())
            .is_some()
        {
            self.waiting.push_back(Waiting::Notice(notice));
        }
        Poll::Ready(Ok(()))
    }

    fn acknowledge(&mut self, id: u16, refused: Option<Reason>) {
        let sent = self.version.puback(id, refused, &mut self.output);
        log_unsent("PUBACK", sent);
    }

    /// Sends a message of this server, to this client, subscribed or not. The QoS is that of the subscription, and 0 without one.
    fn send(&mut self, publication: Publication) {
        match self.session.subscriptions.qos(&publication.topic_rest) {
            None | Some(Qos::AtMostOnce) => {
                self.emit(&publication, None, false);
            }
            Some(Qos::AtLeastOnce) => {
                let id = self.fresh_id();
                if self.emit(&publication, Some(id), false) {
                    self.session.unacknowledged.push_back((id, publication));
                }
            }
        }
    }

    /// What the client had not acknowledged when it was here last.
    fn repeat_unacknowledged(&mut self) {
        let window = self.window();
        let mut messages = std::mem::take(&mut self.session.unacknowledged);
        messages.drain(..messages.len().saturating_sub(window));
        for (id, message) in messages {
            if self.emit(&message, Some(id), true) {
                self.next_id = id;
                self.session.unacknowledged.push_back((id, message));
            }
        }
    }

    /// Whether the message was sent: one that is larger than the client takes is not, as the standard wants it
    /// (MQTT 5, section 3.1.2.11.4).
    fn emit(&mut self, publication: &Publication, id: Option<u16>, is_repeated: bool) -> bool {
        let topic = topic::full(&self.thing.name, &publication.topic_rest);
        let before = self.output.len();
        let message = Delivery {
            topic: &topic,
            payload: &publication.payload,
            id,
            is_repeated,
        };
        let sent = self.version.publish(&message, &mut self.output);
        let limit = usize::try_from(self.terms.maximum_packet).unwrap_or(usize::MAX);
        let fits = sent.is_ok() && self.output.len() - before <= limit;
        log_unsent("PUBLISH", sent);
        if !fits {
            self.output.truncate(before);
        }
        fits
    }

    fn fresh_id(&mut self) -> u16 {
        loop {
            self.next_id = self.next_id.checked_add(1).unwrap_or(1);
            let known = &self.session.unacknowledged;
            if known.iter().all(|(id, _)| *id != self.next_id) {
                return self.next_id;
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

/// Requests that make the server write. The others are answered from memory.
fn is_change(rest: &str) -> bool {
    rest.starts_with("jobs/")
}

/// A packet of our own that cannot be built: a topic of more than 65 535 bytes, which no answer has.
fn log_unsent<E: std::fmt::Debug>(packet: &str, sent: Result<(), E>) {
    if let Err(error) = sent {
        tracing::error!(packet, ?error, "a packet could not be built");
    }
}
