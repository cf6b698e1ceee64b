//! The app side of boot selection as ESP-IDF does it (`esp_ota_*`), defects included.
//!
//! For tools and the simulator, which must say what a device in the field will do. What Airlift itself writes comes from
//! [`plan_switch`](super::plan_switch), never from here.

use super::{Build, Efuse, Images, Record, Rewrite, Slot, State, active, pick};

/// How a call into ESP-IDF ends when it does not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdfError {
    /// `ESP_FAIL`: "Running firmware is factory".
    Fail,
    /// `ESP_ERR_INVALID_ARG`: there is no such slot.
    InvalidArg,
    /// `ESP_ERR_NOT_FOUND`: no record describes the slot.
    NotFound,
    /// `ESP_ERR_NOT_SUPPORTED`: not an OTA slot.
    NotSupported,
    /// `ESP_ERR_OTA_ROLLBACK_FAILED`: nothing to roll back to.
    RollbackFailed,
    /// Not an error code: the search for a sequence number wraps around 2^32 and finds none, so the call never returns.
    NeverReturns,
}

impl IdfError {
    /// The value of `esp_err_t`; none if there is no return at all.
    #[must_use]
    pub const fn code(self) -> Option<i32> {
        match self {
            Self::Fail => Some(-1),
            Self::InvalidArg => Some(0x102),
            Self::NotFound => Some(0x105),
            Self::NotSupported => Some(0x106),
            Self::RollbackFailed => Some(0x1505),
            Self::NeverReturns => None,
        }
    }
}

impl core::fmt::Display for IdfError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Fail => "ESP_FAIL: no record selects the running app",
            Self::InvalidArg => "ESP_ERR_INVALID_ARG: there is no such slot",
            Self::NotFound => "ESP_ERR_NOT_FOUND: no record describes this slot",
            Self::NotSupported => "ESP_ERR_NOT_SUPPORTED: not an OTA slot",
            Self::RollbackFailed => "ESP_ERR_OTA_ROLLBACK_FAILED: no other app can be booted",
            Self::NeverReturns => "the search for a sequence number wraps and never ends",
        })
    }
}

impl core::error::Error for IdfError {}

/// `esp_ota_set_boot_partition`, the record-writing half: image and secure version are checked before it.
///
/// `slots` are those counted contiguously from `ota_0`. The written sequence number can be 0xFFFFFFFF, which means "empty":
/// then the switch is silently ignored.
///
/// # Errors
/// [`IdfError::InvalidArg`] for a slot that does not exist, [`IdfError::NeverReturns`] if the reference hangs.
pub fn set_boot(
    build: Build,
    records: &[Record; 2],
    slots: u8,
    target: u8,
) -> Result<Rewrite, IdfError> {
    if target >= slots {
        return Err(IdfError::InvalidArg);
    }
    let (sector, seq) = match active(records) {
        None => (0, u32::from(target) + 1),
        Some(sector) => {
            let record = pick(records, sector);
            if record.slot(slots) == Some(target) {
                (sector, record.seq)
            } else {
                let seq = searched_seq(record.seq, slots, target).ok_or(IdfError::NeverReturns)?;
                (1 - sector, seq)
            }
        }
    };
    let state = if build.has_rollback() {
        State::New
    } else {
        State::Undefined
    };
    let record = Record {
        label: pick(records, sector).label,
        ..Record::new(seq, state)
    };
    Ok(Rewrite { sector, record })
}

/// The first `(target + 1) mod slots + i * slots`, i = 0, 1, ..., that is not below `current`, all in 32 bits.
///
/// The reference counts i up. Here each lap around 2^32 is one step, and after as many laps as there are slots every
/// number that can come has come.
fn searched_seq(current: u32, slots: u8, target: u8) -> Option<u32> {
    let slots = u32::from(slots);
    let mut start = (u32::from(target) + 1).checked_rem(slots)?;
    for _ in 0..slots {
        let Some(gap) = current.checked_sub(start) else {
            return Some(start);
        };
        let beyond = gap.checked_rem(slots)?;
        if beyond == 0 {
            return Some(current);
        }
        match current.checked_add(slots - beyond) {
            Some(seq) => return Some(seq),
            None => start = current.wrapping_add(slots - beyond),
        }
    }
    None
}

/// `esp_ota_mark_app_valid_cancel_rollback`. It acts on the active record, whichever slot is running.
///
/// `None`: the record is VALID already, nothing is written. After a rewrite an anti-rollback build also burns the running
/// app's secure version ([`Efuse::raised`]).
///
/// # Errors
/// [`IdfError::Fail`] without an active record or without slots.
pub fn mark_valid(records: &[Record; 2], slots: u8) -> Result<Option<Rewrite>, IdfError> {
    let (sector, record) = current(records, slots)?;
    Ok((record.state != State::Valid).then(|| with_state(sector, record, State::Valid)))
}

/// `esp_ota_mark_app_invalid_rollback`, on the active record.
///
/// # Errors
/// [`IdfError::Fail`] without an active record or without slots; [`IdfError::RollbackFailed`] if nothing else boots, and
/// then the state stays what it is.
pub fn mark_invalid(
    build: Build,
    records: &[Record; 2],
    slots: u8,
    factory: bool,
    efuse: Efuse,
    images: &mut impl Images,
) -> Result<Rewrite, IdfError> {
    let (sector, record) = current(records, slots)?;
    if !rollback_is_possible(build, records, slots, factory, efuse, images) {
        return Err(IdfError::RollbackFailed);
    }
    Ok(with_state(sector, record, State::Invalid))
}

/// `esp_ota_check_rollback_is_possible`: whether the app of the other record, or the factory app, would boot.
pub fn rollback_is_possible(
    build: Build,
    records: &[Record; 2],
    slots: u8,
    factory: bool,
    efuse: Efuse,
    images: &mut impl Images,
) -> bool {
    let Ok((sector, _)) = current(records, slots) else {
        return false;
    };
    let other = pick(records, 1 - sector);
    if !other.is_valid() {
        return build != Build::AntiRollback && factory && images.verifies(Slot::Factory);
    }
    let Some(slot) = other.slot(slots).map(Slot::Ota) else {
        return false;
    };
    images.verifies(slot)
        && (build != Build::AntiRollback
            || images
                .secure_version(slot)
                .is_some_and(|version| efuse.permits(version)))
}

/// `esp_ota_begin` of v5.5 and later, in rollback builds: the sector that it erases after the image area, if any.
///
/// It is the other record's, if that has a sequence number and a right CRC and its slot is not the `running` one; the slot
/// need not be the one that will be written.
#[must_use]
pub fn inval_inactive(records: &[Record; 2], slots: u8, running: Slot) -> Option<usize> {
    let sector = 1 - active(records)?;
    let other = pick(records, sector);
    let slot = other.slot(slots)?;
    (!other.is_virgin() && Slot::Ota(slot) != running).then_some(sector)
}

/// `esp_ota_get_state_partition`: the state in the first record that selects the slot and has a right CRC.
///
/// # Errors
/// [`IdfError::NotSupported`] for the factory or test app, [`IdfError::NotFound`] without such a record.
pub fn state_of(records: &[Record; 2], slots: u8, slot: Slot) -> Result<State, IdfError> {
    let Slot::Ota(slot) = slot else {
        return Err(IdfError::NotSupported);
    };
    records
        .iter()
        .find(|record| record.slot(slots) == Some(slot) && record.is_crc_valid())
        .map(|record| record.state)
        .ok_or(IdfError::NotFound)
}

/// The record that `esp_ota_get_last_invalid_partition` looks at: INVALID or ABORTED with a right CRC; of two, the
/// **smaller** sequence number.
///
/// The reference then returns the slot's partition only if its image still verifies.
#[must_use]
pub fn last_invalid(records: &[Record; 2]) -> Option<usize> {
    let [first, second] = records;
    match records.map(|record| !record.is_virgin() && record.state.is_rejected()) {
        [true, true] => Some(usize::from(second.seq < first.seq)),
        [true, false] => Some(0),
        [false, true] => Some(1),
        [false, false] => None,
    }
}

/// The active record, if there are slots at all.
fn current(records: &[Record; 2], slots: u8) -> Result<(usize, &Record), IdfError> {
    match active(records) {
        Some(sector) if slots > 0 => Ok((sector, pick(records, sector))),
        _ => Err(IdfError::Fail),
    }
}

fn with_state(sector: usize, record: &Record, state: State) -> Rewrite {
    let record = Record { state, ..*record };
    Rewrite { sector, record }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The loop of the reference, with a bound on what it may take.
    fn linear_search(current: u32, slots: u8, target: u8) -> u32 {
        let slots = u32::from(slots);
        let start = (u32::from(target) + 1) % slots;
        let mut i = 0u32;
        while current > start.wrapping_add(i.wrapping_mul(slots)) {
            i += 1;
        }
        start.wrapping_add(i.wrapping_mul(slots))
    }

    #[test]
    fn the_search_finds_what_the_loop_of_the_reference_finds() {
        for slots in 1..=16 {
            for target in 0..slots {
                for current in 0..200 {
                    assert_eq!(
                        searched_seq(current, slots, target),
                        Some(linear_search(current, slots, target)),
                        "{slots} slots, slot {target}, sequence number {current}"
                    );
                }
            }
        }
    }

    #[test]
    fn near_the_end_the_search_writes_the_empty_number_or_never_returns() {
        let records = [Record::new(u32::MAX - 1, State::Valid), Record::ERASED];
        let switch = |slots, target| {
            set_boot(Build::Plain, &records, slots, target).map(|rewrite| rewrite.record.seq)
        };
        assert_eq!(switch(2, 0), Ok(u32::MAX));
        assert_eq!(switch(4, 2), Ok(u32::MAX));
        assert_eq!(switch(4, 0), Err(IdfError::NeverReturns));
        assert_eq!(switch(4, 3), Err(IdfError::NeverReturns));
        // Three does not divide 2^32: after a lap the search meets other numbers.
        assert_eq!(switch(3, 2), Ok(u32::MAX));
        assert_eq!(switch(3, 0), Ok(u32::MAX));
        assert_eq!(switch(3, 3), Err(IdfError::InvalidArg));
    }
}
