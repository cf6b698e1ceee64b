//! The real binary, run as a person or a script runs it.

mod bad_input;
mod by_hand;
mod data;
mod demo;
mod full_disk;
mod harness;
mod jobs;
mod killed;
mod mqtt;
mod network;
mod partitions;
mod web;
