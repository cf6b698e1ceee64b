//! The update engine of a device.
#![cfg_attr(not(test), no_std)]
