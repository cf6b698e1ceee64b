//! What is done for a client, one thing after the other, and what it is sent.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::time::Instant;

use super::super::codec::{Delivery, Qos, Reason};
use super::super::topic;
use super::{Connection, End, log_unsent};
use crate::jobs::{BlockSource, Notice, Publication, Reply};

pub(super) type Future<T> = Pin<Box<dyn std::future::Future<Output = T> + Send>>;

/// Something to be done for the client, in its turn.
pub(super) enum Waiting {
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
pub(super) enum Work {
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

impl<S> Connection<S> {
    pub(super) fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
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

    pub(super) fn poll_notices(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
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
    pub(super) fn repeat_unacknowledged(&mut self) {
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
}

/// Requests that make the server write. The others are answered from memory.
pub(super) fn is_change(rest: &str) -> bool {
    rest.starts_with("jobs/")
}
