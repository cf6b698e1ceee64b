//! Who is connected, and what is remembered of those who are not.
//!
//! A thing has one connection. A second one takes over: the first is told so and has left the registry before the second is in,
//! so a session is never in two hands. What a client that is to be remembered leaves behind (3.1.1: no clean session; 5: a session
//! expiry) is kept for an hour at most, in memory, within a budget for all: subscriptions, QoS 1 messages that it has not
//! acknowledged, and the mark of what it has been told of its jobs. A restart of the server forgets it, which MQTT allows: the
//! client is told that there is no session.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::codec::Reason;
use super::topic::Subscriptions;
use crate::jobs::{NoticeReceiver, Publication};

/// Longest time for which the session of a client is kept that is not connected.
pub(super) const MAX_EXPIRY: Duration = Duration::from_secs(3600);
/// Bytes of all sessions that are kept.
const MAX_KEPT: usize = 16 << 20;
/// What a kept session costs beside its texts and messages: maps, allocations, and the service's mark of what the thing knows.
const SESSION_COST: usize = 1024;
/// Most bytes of messages that one kept session holds.
const MAX_MESSAGES: usize = 64 << 10;

/// What belongs to a client and not to its connection.
#[derive(Default)]
pub(super) struct Session {
    pub(super) subscriptions: Subscriptions,
    /// QoS 1 messages that were sent and not acknowledged, oldest first.
    pub(super) unacknowledged: VecDeque<(u16, Publication)>,
    /// `None`: a new session.
    pub(super) notices: Option<Arc<tokio::sync::Mutex<NoticeReceiver>>>,
}

impl Session {
    /// Bytes that it costs to keep, about.
    fn cost(&self) -> usize {
        SESSION_COST + self.subscriptions.cost() + self.message_bytes()
    }

    fn message_bytes(&self) -> usize {
        let messages = self.unacknowledged.iter();
        messages
            .map(|(_, message)| message.topic_rest.len() + message.payload.len())
            .sum()
    }
}

/// The name of a thing in all of the server: organization and name.
pub(super) type Key = (i64, Box<str>);

/// The registry.
pub(super) struct Sessions {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    live: HashMap<Key, Live>,
    kept: HashMap<Key, Kept>,
    kept_bytes: usize,
    is_closed: bool,
}

struct Live {
    /// Taken when the connection was told to end.
    close: Option<oneshot::Sender<Reason>>,
    gone: Arc<Notify>,
}

struct Kept {
    client_id: Box<str>,
    session: Session,
    cost: usize,
    until: Instant,
}

/// What a client is given when it is in.
pub(super) struct Joined {
    pub(super) seat: Seat,
    /// When the connection is to end, and why.
    pub(super) close: oneshot::Receiver<Reason>,
    /// What was remembered of the client.
    pub(super) session: Option<Session>,
}

/// A client's place in the registry; given up when it is dropped.
pub(super) struct Seat {
    sessions: Arc<Sessions>,
    key: Key,
    client_id: Box<str>,
}

impl Seat {
    /// Gives the place up and leaves the session behind, for this long at most.
    pub(super) fn leave(self, session: Session, time: Duration) {
        let time = time.min(MAX_EXPIRY);
        let mut inner = self.sessions.lock();
        inner.keep(&self.key, session, time, &self.client_id);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(live) = self.sessions.lock().live.remove(&self.key) {
            live.gone.notify_waiters();
        }
    }
}

impl Sessions {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a client in, after the one before it has left. `None`: the server is stopping.
    ///
    /// A session belongs to a client identifier: another one gets a new session, as does a clean start.
    pub(super) async fn join(
        self: &Arc<Self>,
        key: &Key,
        client_id: &str,
        clean_start: bool,
    ) -> Option<Joined> {
        loop {
            let gone = {
                let mut inner = self.lock();
                if inner.is_closed {
                    return None;
                }
                let Some(before) = inner.live.get_mut(key) else {
                    let kept = inner.take(key);
                    let resumes = |kept: &Kept| {
                        !clean_start && *kept.client_id == *client_id && kept.until > Instant::now()
                    };
                    let session = kept.filter(resumes).map(|kept| kept.session);
                    let (sender, close) = oneshot::channel();
                    let live = Live {
                        close: Some(sender),
                        gone: Arc::default(),
                    };
                    inner.live.insert(key.clone(), live);
                    let seat = Seat {
                        sessions: Arc::clone(self),
                        key: key.clone(),
                        client_id: client_id.into(),
                    };
                    return Some(Joined {
                        seat,
                        close,
                        session,
                    });
                };
                if let Some(close) = before.close.take() {
                    let _ = close.send(Reason::SessionTakenOver);
                }
                // Made while the registry is locked: a notice that comes right after is not missed.
                Arc::clone(&before.gone).notified_owned()
            };
            gone.await;
        }
    }

    /// Ends the connection of a thing and forgets its session.
    pub(super) fn evict(&self, key: &Key, reason: Reason) {
        let mut inner = self.lock();
        inner.take(key);
        if let Some(close) = inner.live.get_mut(key).and_then(|live| live.close.take()) {
            let _ = close.send(reason);
        }
    }

    /// Ends every connection, and lets nobody in any more.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.is_closed = true;
        for live in inner.live.values_mut() {
            if let Some(close) = live.close.take() {
                let _ = close.send(Reason::ServerShuttingDown);
            }
        }
    }
}

impl Inner {
    fn take(&mut self, key: &Key) -> Option<Kept> {
        let kept = self.kept.remove(key)?;
        self.kept_bytes -= kept.cost;
        Some(kept)
    }

    fn keep(&mut self, key: &Key, mut session: Session, time: Duration, client_id: &str) {
        // The oldest go first: what is new matters more to a device that was away.
        while session.message_bytes() > MAX_MESSAGES {
            session.unacknowledged.pop_front();
        }
        if time.is_zero() || (session.subscriptions.is_empty() && session.unacknowledged.is_empty())
        {
            return;
        }
        let cost = session.cost() + key.1.len() + client_id.len();
        if self.kept_bytes + cost > MAX_KEPT {
            self.forget_expired();
        }
        if self.kept_bytes + cost > MAX_KEPT {
            tracing::debug!(thing = %key.1, "no room to keep a session");
            return;
        }
        self.kept_bytes += cost;
        let kept = Kept {
            client_id: client_id.into(),
            session,
            cost,
            until: Instant::now() + time,
        };
        self.kept.insert(key.clone(), kept);
    }

    fn forget_expired(&mut self) {
        let now = Instant::now();
        let kept_bytes = &mut self.kept_bytes;
        self.kept.retain(|_, kept| {
            let stays = kept.until > now;
            if !stays {
                *kept_bytes -= kept.cost;
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::Qos;
    use super::*;

    fn key(name: &str) -> Key {
        (1, name.into())
    }

    fn subscribed(to: &str) -> Session {
        let mut session = Session::default();
        let added = session.subscriptions.add(to, "t", Qos::AtLeastOnce);
        assert!(added.is_ok());
        session
    }

    #[tokio::test]
    async fn the_second_is_in_when_the_first_has_left() {
        let sessions = Sessions::new();
        let mut first = sessions.join(&key("t"), "c", true).await.unwrap();
        let second = tokio::spawn({
            let sessions = Arc::clone(&sessions);
            async move { sessions.join(&key("t"), "c", false).await.unwrap() }
        });
        assert_eq!((&mut first.close).await, Ok(Reason::SessionTakenOver));
        assert!(!second.is_finished());
        first.seat.leave(subscribed("$aws/things/t/#"), MAX_EXPIRY);
        let second = second.await.unwrap();
        let session = second.session.expect("the session goes on");
        let qos = session.subscriptions.qos("jobs/notify");
        assert_eq!(qos, Some(Qos::AtLeastOnce));
    }

    #[tokio::test]
    async fn of_many_that_come_at_once_the_last_stays() {
        let sessions = Sessions::new();
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let sessions = Arc::clone(&sessions);
            all.spawn(async move {
                let joined = sessions.join(&key("t"), "c", true).await.unwrap();
                let told = joined.close.await;
                drop(joined.seat);
                told
            });
        }
        for _ in 0..49 {
            let told = all.join_next().await.unwrap().unwrap();
            assert_eq!(told, Ok(Reason::SessionTakenOver));
        }
        sessions.close();
        let last = all.join_next().await.unwrap().unwrap();
        assert_eq!(last, Ok(Reason::ServerShuttingDown));
        assert!(sessions.join(&key("t"), "c", true).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_is_kept_for_its_client_and_its_time() {
        let sessions = Sessions::new();
        for (client_id, clean, wait, is_kept) in [
            ("c", false, 3599, true),
            ("c", false, 3601, false),
            ("c", true, 0, false),
            ("other", false, 0, false),
        ] {
            let case = format!("{client_id} {clean} {wait}");
            let joined = sessions.join(&key("t"), "c", true).await.unwrap();
            let a_day = Duration::from_secs(86_400);
            joined.seat.leave(subscribed("$aws/things/t/#"), a_day);
            tokio::time::advance(Duration::from_secs(wait)).await;
            let joined = sessions.join(&key("t"), client_id, clean).await.unwrap();
            assert_eq!(joined.session.is_some(), is_kept, "{case}");
            drop(joined);
            let again = sessions.join(&key("t"), "c", false).await.unwrap();
            assert!(again.session.is_none(), "taken once, {case}");
        }
    }

    #[tokio::test]
    async fn who_is_evicted_is_forgotten() {
        let sessions = Sessions::new();
        let joined = sessions.join(&key("t"), "c", true).await.unwrap();
        joined.seat.leave(subscribed("$aws/things/t/#"), MAX_EXPIRY);
        sessions.evict(&key("t"), Reason::AdministrativeAction);
        let joined = sessions.join(&key("t"), "c", false).await.unwrap();
        assert!(joined.session.is_none());
        sessions.evict(&key("t"), Reason::AdministrativeAction);
        assert_eq!(joined.close.await, Ok(Reason::AdministrativeAction));
    }

    #[tokio::test(start_paused = true)]
    async fn kept_sessions_cost_a_bounded_sum() {
        let sessions = Sessions::new();
        let message = Publication {
            topic_rest: "jobs/notify".into(),
            payload: vec![0; 48 << 10].into(),
        };
        let keep = async |name: &str| {
            let mut session = subscribed("$aws/things/t/#");
            session.unacknowledged.push_back((1, message.clone()));
            session.unacknowledged.push_back((2, message.clone()));
            let joined = sessions.join(&key(name), "c", true).await.unwrap();
            joined.seat.leave(session, MAX_EXPIRY);
        };
        for number in 0..1000 {
            keep(&format!("n{number}")).await;
        }
        let (kept, bytes) = {
            let inner = sessions.lock();
            (inner.kept.len(), inner.kept_bytes)
        };
        assert!(kept > 100 && kept < 1000, "{kept}");
        assert!(bytes <= MAX_KEPT && bytes > MAX_KEPT / 2, "{bytes}");
        let first = sessions.join(&key("n0"), "c", false).await.unwrap();
        let messages = first.session.unwrap().unacknowledged;
        let ids: Vec<u16> = messages.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, [2], "the older of two that are too much went");
        // Time makes room.
        tokio::time::advance(MAX_EXPIRY).await;
        for number in 0..300 {
            keep(&format!("late-{number}")).await;
        }
        let inner = sessions.lock();
        assert_eq!(inner.kept.len(), 300);
        let sum: usize = inner.kept.values().map(|kept| kept.cost).sum();
        assert_eq!(inner.kept_bytes, sum);
    }
}
