//! What a boot selection says of a slot.

/// What the boot selection says of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlotState {
    /// Nothing names it.
    Unnamed,
    /// The next boot tries it.
    Armed,
    /// It was started on trial, and has not been confirmed.
    OnTrial,
    /// It boots.
    Confirmed,
    /// It was tried, or was to be tried, and given up.
    Rejected,
}
