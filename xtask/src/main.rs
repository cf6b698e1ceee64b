//! Tasks of the project: `cargo xtask test`, `bench`, `size`.
fn main() {}
