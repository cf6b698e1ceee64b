//! How long a connection lives.
//!
//! A connection ends when its client ends it, when it brings no request for too long, and when the server stops. All of
//! that is looked at here, and not by a timer for each request: most requests take less time than setting one.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Whether the server runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It does.
    Run,
    /// Connections finish the answer that they are at.
    Finish,
    /// They took too long for that.
    Cut,
}

/// Returns when the server is told to stop, or has forgotten to say so.
pub(crate) async fn ending(phase: &mut watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| *phase != Phase::Run).await;
}

/// What a connection has been doing. Shared by its parts, which all run in one task.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Requests begun and ended, and writes: changes with each.
    steps: AtomicU32,
    answering: AtomicBool,
    /// The server stops: what is being answered is the last.
    to_end: AtomicBool,
    /// A write waits for the client to take bytes. How long it may is the socket's business.
    pub(super) write_waits: AtomicBool,
}

/// Held while a request is being answered.
pub(super) struct Answering<'a>(&'a Activity);

impl Activity {
    pub(super) fn answering(&self) -> Answering<'_> {
        self.step();
        self.answering.store(true, Relaxed);
        Answering(self)
    }

    pub(super) fn step(&self) {
        // One task: no two at once.
        self.steps
            .store(self.steps.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// Asks for the connection to be closed behind the answer that is under way.
    pub(super) fn end(&self) {
        self.to_end.store(true, Relaxed);
    }

    pub(super) fn is_to_end(&self) -> bool {
        self.to_end.load(Relaxed)
    }

    /// Nothing is being done for the client but waiting for its next request.
    fn is_waiting(&self) -> bool {
        !self.answering.load(Relaxed) && !self.write_waits.load(Relaxed)
    }
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.0.step();
        self.0.answering.store(false, Relaxed);
    }
}

/// Runs what serves a connection to its end. One that waits for a request (its first, its next, or the rest of one) for
/// `patience` is closed, at the latest after twice that time. `None`: it was ended from here.
///
/// `finish` asks the connection to end behind the answer that it is at.
pub(super) async fn attend<F: Future>(
    mut connection: Pin<&mut F>,
    finish: impl Fn(Pin<&mut F>),
    activity: &Activity,
    patience: Duration,
    phase: &mut watch::Receiver<Phase>,
) -> Option<F::Output> {
    let mut look = std::pin::pin!(sleep_until(Instant::now() + patience));
    let mut steps_at_last_look = activity.steps.load(Relaxed);
    let mut glance = phase.clone();
    loop {
        glance.mark_unchanged();
        match *phase.borrow_and_update() {
            Phase::Run => {}
            Phase::Finish if activity.is_waiting() => return None,
            Phase::Finish => finish(connection.as_mut()),
            Phase::Cut => return None,
        }
        let mut changed = std::pin::pin!(phase.changed());
        let mut is_armed = false;
        let ended = poll_fn(|cx| {
            let steps = activity.steps.load(Relaxed);
            if let Poll::Ready(outcome) = connection.as_mut().poll(cx) {
                return Poll::Ready(Ended::Itself(outcome));
            }
            // Nearly always it was a request that woke this task. The timer and the notice of a change stay armed from the
            // first time on, and a glance tells whether one of them has come.
            let was_request = activity.steps.load(Relaxed) != steps;
            let has_changed = glance.has_changed().unwrap_or(true);
            if is_armed && was_request && !has_changed && !look.is_elapsed() {
                return Poll::Pending;
            }
            is_armed = true;
            if changed.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ended::PhaseChanged);
            }
            while look.as_mut().poll(cx).is_ready() {
                let steps = activity.steps.load(Relaxed);
                if activity.is_waiting() && steps == steps_at_last_look {
                    return Poll::Ready(Ended::TooQuiet);
                }
                steps_at_last_look = steps;
                look.as_mut().reset(Instant::now() + patience);
            }
            Poll::Pending
        });
        match ended.await {
            Ended::Itself(outcome) => return Some(outcome),
            Ended::TooQuiet => return None,
            Ended::PhaseChanged => {}
        }
    }
}

/// Why a connection is looked at.
enum Ended<T> {
    Itself(T),
    TooQuiet,
    PhaseChanged,
}
