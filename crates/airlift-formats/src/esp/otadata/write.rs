//! What Airlift itself writes to otadata: strict where the reference is lax.

use super::{MAX_SLOTS, Record, Rewrite, State, active, crc, pick};

/// Why a switch to another slot is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SwitchError {
    /// The table has no such slot.
    NoSuchSlot {
        /// The slot that was asked for.
        slot: u8,
        /// How many there are.
        slots: u8,
    },
    /// The slot is the running one: there is nothing to switch to.
    Running {
        /// That slot.
        slot: u8,
    },
    /// No sequence number is left above this one.
    Exhausted {
        /// The highest sequence number in otadata.
        highest: u32,
    },
}

impl core::fmt::Display for SwitchError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoSuchSlot { slot, slots } => {
                write!(f, "there is no slot ota_{slot}, only {slots} slots")
            }
            Self::Running { slot } => write!(f, "ota_{slot} is the running slot"),
            Self::Exhausted { highest } => write!(
                f,
                "no sequence number is left above {highest:#x}: erase otadata and start again"
            ),
        }
    }
}

impl core::error::Error for SwitchError {}

/// The highest sequence number of an intact record, whatever its state; none if both are empty or torn.
#[must_use]
pub fn highest_seq(records: &[Record; 2]) -> Option<u32> {
    records
        .iter()
        .filter(|record| !record.is_virgin())
        .map(|record| record.seq)
        .max()
}

/// The smallest sequence number above `highest` that selects `slot`; never 0 and never 0xFFFFFFFF.
///
/// # Errors
/// [`SwitchError::NoSuchSlot`], or [`SwitchError::Exhausted`] where the reference would wrap around.
pub fn next_seq(highest: Option<u32>, slot: u8, slots: u8) -> Result<u32, SwitchError> {
    if slot >= slots || slots > MAX_SLOTS {
        return Err(SwitchError::NoSuchSlot { slot, slots });
    }
    // 0 counts as empty here: the search starts at 1 either way.
    let highest = highest.unwrap_or(0);
    let exhausted = SwitchError::Exhausted { highest };
    let (slot, slots) = (u32::from(slot), u32::from(slots));
    // Distance from the slot of the next number, highest + 1, to the wanted one.
    let ahead = highest.checked_rem(slots).ok_or(exhausted)?;
    let distance = (slot + slots - ahead).checked_rem(slots).ok_or(exhausted)?;
    highest
        .checked_add(1)
        .and_then(|next| next.checked_add(distance))
        .filter(|seq| *seq != u32::MAX)
        .ok_or(exhausted)
}

/// The one rewrite that makes `target` the slot to boot next, with `state` (NEW for a trial boot).
///
/// `running` is the OTA slot that is running and stays the fallback; none if the factory app runs. Its record is never
/// the one that is rewritten: where the reference keys on the highest sequence number and so overwrites the good record
/// after a fallback, this keeps the record of the running slot, and only if there is none the active one.
///
/// After a cut between erase and write the kept record decides. Read back what was written.
///
/// # Errors
/// See [`SwitchError`].
pub fn plan_switch(
    records: &[Record; 2],
    slots: u8,
    running: Option<u8>,
    target: u8,
    state: State,
) -> Result<Rewrite, SwitchError> {
    if running == Some(target) {
        return Err(SwitchError::Running { slot: target });
    }
    let seq = next_seq(highest_seq(records), target, slots)?;
    let sector = match kept(records, slots, running) {
        Some(kept) => 1 - kept,
        None => 0,
    };
    Ok(Rewrite {
        sector,
        record: Record {
            seq,
            label: [0xFF; 20],
            state,
            crc: crc(seq),
        },
    })
}

/// The sector to erase before the image in `slot` is overwritten: its record must not select a half-written image.
///
/// None if no record selects the slot, or if no other bootable record would remain.
#[must_use]
pub fn plan_invalidate(records: &[Record; 2], slots: u8, slot: u8) -> Option<usize> {
    let [first, second] = records.map(|record| record.is_valid().then(|| record.slot(slots)));
    match (first, second) {
        (Some(a), Some(b)) if a == Some(slot) && b != Some(slot) => Some(0),
        (Some(a), Some(b)) if b == Some(slot) && a != Some(slot) => Some(1),
        _ => None,
    }
}

/// The sector that a switch must not touch.
fn kept(records: &[Record; 2], slots: u8, running: Option<u8>) -> Option<usize> {
    let newest = active(records);
    let describes_running = |sector: &usize| {
        let record = pick(records, *sector);
        running.is_some() && record.is_valid() && record.slot(slots) == running
    };
    newest
        .filter(describes_running)
        .or_else(|| [0, 1].into_iter().find(describes_running))
        .or(newest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sequence_numbers_run_out_instead_of_wrapping() {
        assert_eq!(next_seq(None, 1, 2), Ok(2));
        assert_eq!(next_seq(Some(0), 0, 2), Ok(1));
        assert_eq!(next_seq(Some(1), 0, 2), Ok(3));
        assert_eq!(next_seq(Some(4), 2, 3), Ok(6));
        let highest = u32::MAX - 2;
        assert_eq!(next_seq(Some(highest), 1, 2), Ok(u32::MAX - 1));
        for (highest, slot, slots) in [
            (u32::MAX - 2, 0, 2),
            (u32::MAX - 1, 0, 2),
            (u32::MAX - 1, 3, 4),
            (u32::MAX, 0, 1),
        ] {
            let refused = Err(SwitchError::Exhausted { highest });
            assert_eq!(next_seq(Some(highest), slot, slots), refused);
        }
        let missing = SwitchError::NoSuchSlot { slot: 2, slots: 2 };
        assert_eq!(next_seq(None, 2, 2), Err(missing));
    }

    #[test]
    fn after_a_fallback_the_record_of_the_running_slot_stays() {
        // The image of slot 1 is corrupt, its record is newer; slot 0 runs.
        let records = [
            Record::new(1, State::Valid),
            Record::new(2, State::PendingVerify),
        ];
        let rewrite = plan_switch(&records, 3, Some(0), 2, State::New).unwrap();
        assert_eq!(rewrite.sector, 1);
        assert_eq!(rewrite.record, Record::new(3, State::New));
    }

    #[test]
    fn a_record_is_erased_early_only_if_another_one_boots() {
        let pair = |a, b| [Record::new(1, a), Record::new(2, b)];
        let both = pair(State::Valid, State::Valid);
        assert_eq!(plan_invalidate(&both, 2, 0), Some(0));
        assert_eq!(plan_invalidate(&both, 2, 1), Some(1));
        assert_eq!(plan_invalidate(&both, 3, 2), None);
        let refused = pair(State::Valid, State::Aborted);
        assert_eq!(plan_invalidate(&refused, 2, 0), None);
        let same = [Record::new(1, State::Valid), Record::new(3, State::Valid)];
        assert_eq!(plan_invalidate(&same, 2, 0), None);
    }

    fn record() -> impl Strategy<Value = Record> {
        let seq = prop_oneof![0..20u32, (u32::MAX - 20)..=u32::MAX, any::<u32>()];
        (seq, 0..6u32, any::<bool>()).prop_map(|(seq, state, intact)| {
            let mut record = Record::new(seq, State::from_u32(state));
            if !intact {
                record.crc ^= 1;
            }
            record
        })
    }

    proptest! {
        #[test]
        fn a_switch_selects_its_target_and_a_cut_keeps_the_running_slot(
            records in [record(), record()],
            slots in 1..=16u8,
            running in 0..16u8,
            target in 0..16u8,
        ) {
            let running = Some(running).filter(|slot| *slot < slots);
            if let Ok(rewrite) = plan_switch(&records, slots, running, target, State::New) {
                let mut after = records;
                rewrite.apply(&mut after);
                prop_assert!(![0, u32::MAX].contains(&rewrite.record.seq));
                prop_assert_eq!(active(&after), Some(rewrite.sector));
                prop_assert_eq!(rewrite.record.slot(slots), Some(target));
                // Erased, not written: whatever described the running slot still does.
                let described = |records: &[Record; 2]| {
                    records.iter().any(|r| r.is_valid() && running.is_some() && r.slot(slots) == running)
                };
                let mut cut = records;
                Rewrite { record: Record::ERASED, ..rewrite }.apply(&mut cut);
                prop_assert_eq!(described(&cut), described(&records));
            }
        }
    }
}
