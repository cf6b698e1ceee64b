//! Values that come from and go to the outside: the compiler must neither guess the first nor drop the second.

use core::ptr;

const INPUT: *const u32 = 0x4000_0000 as *const u32;
const OUTPUT: *mut u32 = 0x4000_0004 as *mut u32;

/// A value that the compiler knows nothing about.
#[inline(never)]
pub fn get() -> u32 {
    // SAFETY: an aligned register address of the imagined board; a volatile read has no other condition.
    unsafe { ptr::read_volatile(INPUT) }
}

/// Makes a result count: whatever computed it is kept.
#[inline(never)]
pub fn put(value: u32) {
    // SAFETY: an aligned register address of the imagined board; a volatile write has no other condition.
    unsafe { ptr::write_volatile(OUTPUT, value) }
}
