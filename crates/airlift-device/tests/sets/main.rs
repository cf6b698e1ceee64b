//! Several parts as one, from a Matter OTA image to flash, other flash and back.

mod apply;
mod bench;
mod failing;
mod manifest;
mod many;
mod refused;
mod resume;
mod slot;
