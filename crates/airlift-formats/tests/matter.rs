//! Matter OTA images and NXP payloads: against the official tools' files, the reference's verdicts, and themselves.

#[path = "matter/golden.rs"]
mod golden;
#[path = "matter/header.rs"]
mod header;
#[path = "matter/judge.rs"]
mod judge;
#[path = "matter/manifest.rs"]
mod manifest;
#[path = "matter/payload.rs"]
mod payload;
#[path = "matter/pieces.rs"]
mod pieces;
#[path = "matter/verdicts.rs"]
mod verdicts;
#[path = "matter/writers.rs"]
mod writers;
