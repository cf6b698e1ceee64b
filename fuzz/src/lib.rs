//! What must hold for any input: one function a parser, which panics if it does not.
//!
//! Each function runs in two ways: libFuzzer drives it for as long as one likes (`fuzz_targets/`, `cargo xtask fuzz`), and
//! `tests/short_run.rs` feeds it the golden vectors and some thousand damaged copies of them in every test run.
//!
//! A parser has to do more than not to panic: what it accepts must be written back to the same bytes, must not depend on
//! the pieces in which it came, and must keep the promises that the rest of the code builds on.

mod app_image;
mod aws;
mod data_image;
mod http_head;
mod journal;
mod matter;
mod otadata;
mod partition_csv;
mod partition_table;

pub use app_image::app_image;
pub use aws::{aws_job_document, aws_job_message, aws_stream_cbor, aws_stream_json, aws_topic};
pub use data_image::data_image;
pub use http_head::http_head;
pub use journal::journal;
pub use matter::{manifest, matter_image, matter_tlv, nxp_payload};
pub use otadata::otadata;
pub use partition_csv::partition_csv;
pub use partition_table::partition_table;

/// Cuts `bytes` into pieces whose lengths follow `seed`: mostly short ones, because the ends of pieces find mistakes.
fn pieces(bytes: &[u8], seed: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    let mut state = u32::from(seed) + 1;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let len = match state >> 29 {
            0 => 1,
            1 => 7,
            2 => 4096,
            3 => 64,
            _ => (state >> 16) as usize % 300 + 1,
        };
        let (piece, tail) = rest.split_at(len.min(rest.len()));
        rest = tail;
        Some(piece)
    })
}
