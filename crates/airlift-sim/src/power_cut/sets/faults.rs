//! Every error that a flash driver can report without a power cut.

use super::super::judge::Loss;
use super::super::machine::Machine;
use super::super::sweep::Life as _;
use super::life::Next;
use super::{Faulty, SetWorld, Stop};
use crate::flash::{CutGrain, Fault, FaultExtent};

/// Boots after which a device with a sector that is worn out has shown what it has to say.
const BOOTS: u32 = 20;

/// What a sweep of errors did.
#[derive(Debug, Clone, Default)]
pub struct FaultTally {
    /// Operations of the scenario when nothing fails.
    pub operations: u64,
    /// Lives with an error.
    pub lives: u64,
    /// Lives at whose end a set is in place that is not the last good one: only with a sector that is worn out.
    pub unfinished: u64,
    /// Errors that broke a promise.
    pub losses: Vec<(Fault, Loss)>,
}

/// Lives `base` through once for each operation of it, which fails: once, until the next boot, and for good, done all the same or not.
///
/// # Panics
///
/// If it fails without any error.
pub fn fault_sweep<M: Machine, const W: usize, const S: usize>(
    base: &SetWorld<'_, M, W, S>,
) -> FaultTally {
    let mut whole = base.copy();
    whole.flash().lock().start_trace();
    if let Err(loss) = whole.live(&mut |_| {}) {
        panic!("the scenario fails without any error: {loss}");
    }
    let operations = whole.flash().lock().take_trace().len(CutGrain::Call);
    let mut tally = FaultTally {
        operations,
        ..FaultTally::default()
    };
    for at in 0..operations {
        for extent in [
            FaultExtent::Once,
            FaultExtent::UntilReset,
            FaultExtent::Sector,
        ] {
            for done in [false, true] {
                let fault = Fault { at, extent, done };
                tally.lives += 1;
                match live_with(base, fault) {
                    Ok(finished) => tally.unfinished += u64::from(!finished),
                    Err(loss) => tally.losses.push((fault, loss)),
                }
            }
        }
    }
    tally
}

/// Lives with an error. Whether it came to its end.
///
/// # Errors
/// The first promise that is broken.
pub fn live_with<M: Machine, const W: usize, const S: usize>(
    base: &SetWorld<'_, M, W, S>,
    fault: Fault,
) -> Result<bool, Loss> {
    let mut life = base.copy();
    life.faulty = match fault.extent {
        FaultExtent::Sector => Faulty::Worn,
        _ => Faulty::Passing,
    };
    life.flash().lock().fail(fault);
    for _ in 0..BOOTS {
        match life.boot() {
            Ok(Next::Done) => {
                life.judge_end()?;
                return Ok(true);
            }
            Ok(Next::Reboot) | Err(Stop::Failed) => {}
            Err(Stop::Loss(loss)) => return Err(loss),
            Err(Stop::Power) => return Err(Loss("the power went by itself".into())),
        }
        life.flash().lock().reset();
    }
    match fault.extent {
        FaultExtent::Sector => Ok(false),
        _ => Err(Loss(format!(
            "after {BOOTS} boots the sets are not at their end, and the flash is good"
        ))),
    }
}
