//! Who gets a release when: rollouts, the language in which devices are chosen, the order of versions.
//!
//! ```text
//! version   the order of versions, as people mean it
//! filter    which devices: version<"2.0" and tag=lab and not group=beta
//! window    when in the week: mon-fri 22:00-05:00 Europe/Berlin
//! plan      what a person orders: stages, thresholds, rate, window
//! rollout   one rollout: a fold over what happened, and what may happen next
//! board     all rollouts of an organization: a device is in one unfinished update at most
//! ```
//!
//! No clock, no network, no database: time comes in with each event, and the same events make the same state. Whoever calls this
//! stores the [records](Record), and [applies](Board::apply) them in their order.
//!
//! ```
//! use airlift_rollout::{Ask, Board, Event, Millis, Outcome, Plan, Record, Verdict};
//!
//! let mut board = Board::default();
//! let mut at = 0;
//! let mut happened = |board: &mut Board, event| {
//!     at += 1000;
//!     board.apply(&Record { rollout: 7, at: Millis(at), by: Some(1), event });
//! };
//! // First one device of three, then the others.
//! let plan = Plan { stages: vec!["1".parse().unwrap()], ..Plan::of(12) };
//! happened(&mut board, Event::Created { plan });
//! happened(&mut board, Event::Joined { devices: vec!["a".into(), "b".into(), "c".into()] });
//! happened(&mut board, Event::Started);
//!
//! let may = |board: &Board, device| matches!(board.ask(7, device, Ask::default(), Millis(60_000)), Verdict::Offer(_));
//! let first: Vec<_> = ["a", "b", "c"].into_iter().filter(|device| may(&board, device)).collect();
//! assert_eq!(first.len(), 1);
//!
//! happened(&mut board, Event::Offered { device: first[0].into() });
//! happened(&mut board, Event::Reported { device: first[0].into(), outcome: Outcome::Confirmed });
//! let then = ["a", "b", "c"].into_iter().filter(|device| may(&board, device));
//! assert_eq!(then.count(), 2);
//! ```

mod board;
mod event;
pub mod filter;
mod plan;
mod rollout;
mod time;
mod version;
mod window;

pub use board::Board;
pub use event::{Event, Outcome, Record};
pub use filter::Filter;
pub use plan::{
    BadPlan, MAX_ANSWER_MINUTES, MAX_CANARIES, MAX_RATE, MAX_STAGES, NotAShare, Plan, Share,
};
pub use rollout::{
    Ask, Counts, Member, MemberState, No, Offer, Rollout, Stage, Status, StopReason, Verdict, Wait,
};
pub use time::{Millis, NotATime};
pub use version::Version;
pub use window::{NotAWindow, Window};
