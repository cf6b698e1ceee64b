//! What a thing is told unasked: that its list of jobs has changed, or what comes first in it.
//!
//! A notice is no message that waits: it is the mark that there is something to tell. The message is made when the transport takes
//! it, of how things are then. So one mark of each kind is all that a slow thing ever costs, and the latest wins.

use std::sync::Arc;

use tokio::sync::watch;

use super::desk::Desk;
use super::reply::Publication;
use super::service::AwsService;
use super::thing::Thing;

/// The two kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `notify`
    List,
    /// `notify-next`
    Next,
}

/// How often there was something to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Signals {
    pub(super) list: u64,
    pub(super) next: u64,
    /// The thing may not be here any more.
    pub(super) is_over: bool,
}

/// The notices of one thing, for one connection.
pub(crate) struct NoticeReceiver {
    service: Arc<AwsService>,
    thing: Arc<Thing>,
    /// Held, so that it stays.
    _desk: Arc<Desk>,
    signals: watch::Receiver<Signals>,
    seen: Signals,
}

/// One notice.
pub(crate) struct Notice {
    service: Arc<AwsService>,
    thing: Arc<Thing>,
    kind: Kind,
}

impl NoticeReceiver {
    pub(super) fn new(service: Arc<AwsService>, thing: Arc<Thing>, desk: Arc<Desk>) -> Self {
        let mut signals = desk.signals();
        let seen = *signals.borrow_and_update();
        Self {
            service,
            thing,
            _desk: desk,
            signals,
            seen,
        }
    }

    /// Waits for the next notice. `None`: the thing was blocked, and its connection is to be closed.
    ///
    /// Safe to be dropped and called again, as `select!` does.
    #[allow(dead_code, reason = "for the MQTT door")]
    pub(crate) async fn recv(&mut self) -> Option<Notice> {
        loop {
            let now = *self.signals.borrow_and_update();
            if now.is_over {
                return None;
            }
            // The list first, as AWS was seen to do.
            if now.list != self.seen.list {
                self.seen.list = now.list;
                return Some(self.notice(Kind::List));
            }
            if now.next != self.seen.next {
                self.seen.next = now.next;
                return Some(self.notice(Kind::Next));
            }
            self.signals.changed().await.ok()?;
        }
    }

    fn notice(&self, kind: Kind) -> Notice {
        Notice {
            service: Arc::clone(&self.service),
            thing: Arc::clone(&self.thing),
            kind,
        }
    }
}

impl Notice {
    /// Where it is published, behind `$aws/things/NAME/`: nothing is to be made for who has not subscribed to that.
    #[allow(dead_code, reason = "for the MQTT door")]
    pub(crate) fn topic_rest(&self) -> &'static str {
        match self.kind {
            Kind::List => "jobs/notify",
            Kind::Next => "jobs/notify-next",
        }
    }

    /// Makes the message. `None`: the server cannot say at the moment; its log says why.
    #[allow(dead_code, reason = "for the MQTT door")]
    pub(crate) async fn publication(&self) -> Option<Publication> {
        let payload = self.service.notice(&self.thing, self.kind).await.ok()?;
        Some(Publication {
            topic_rest: self.topic_rest().to_owned(),
            payload,
        })
    }
}
