//! A driver that reports an error: the flash has power, and does not do what it should.

use core::fmt;

/// An error to come: at the operation number `at`, counted from [`Nor::fail`](super::Nor::fail), the first being 0. An operation is a write call, or the erase
/// of a sector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Number of the operation.
    pub at: u64,
    /// What fails from then on.
    pub extent: FaultExtent,
    /// The operation is done all the same, and only its report is wrong.
    pub done: bool,
}

/// How far an error reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultExtent {
    /// The one operation.
    Once,
    /// All that follow, until [`Nor::reset`](super::Nor::reset): a driver, or a bus, that hangs.
    UntilReset,
    /// All that follow on the same sector, for good: it is worn out.
    Sector,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, extent, done } = self;
        write!(f, "error at operation {at}, {extent:?}")?;
        if *done {
            f.write_str(", although it is done")?;
        }
        Ok(())
    }
}

/// The error that is to come, and what has failed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// With the number of operations that are left before it.
    armed: Option<(Fault, u64)>,
    /// What fails, and whether it is done all the same.
    failing: Option<(Failing, bool)>,
}

#[derive(Debug, Clone, Copy)]
enum Failing {
    All,
    /// The sector with this number.
    Sector(usize),
}

impl Faults {
    pub(crate) fn arm(&mut self, fault: Fault) {
        self.armed = Some((fault, fault.at));
    }

    pub(crate) fn reset(&mut self) {
        self.failing
            .take_if(|(failing, _)| matches!(failing, Failing::All));
    }

    /// Counts one operation on a sector down. `Some`: it fails, and is done all the same or not.
    pub(crate) fn strike(&mut self, sector: usize) -> Option<bool> {
        if let Some((failing, done)) = self.failing {
            match failing {
                Failing::Sector(worn) if worn != sector => {}
                _ => return Some(done),
            }
        }
        let (fault, left) = self.armed.as_mut()?;
        if *left > 0 {
            *left -= 1;
            return None;
        }
        let Fault { extent, done, .. } = *fault;
        self.armed = None;
        self.failing = match extent {
            FaultExtent::Once => None,
            FaultExtent::UntilReset => Some((Failing::All, done)),
            FaultExtent::Sector => Some((Failing::Sector(sector), done)),
        };
        Some(done)
    }
}
