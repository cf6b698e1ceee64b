//! The server as its users meet it: a real one on a loopback port, spoken to over real HTTP.
//!
//! One binary with a module a subject, so that it is linked once.

mod check_in;
mod connections;
mod curl;
mod data;
mod fairness;
mod first_steps;
mod full_disk;
mod golden_requests;
mod harness;
mod images;
mod jobs;
mod killed;
mod matter;
mod mqtt;
mod no_io;
mod old_database;
mod partitions;
mod publishing;
mod raw;
mod rollouts;
mod tokens;
mod updates;
