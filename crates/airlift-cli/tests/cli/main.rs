//! The real binary, run as a person or a script runs it.

mod bad_input;
mod by_hand;
mod data;
mod demo;
mod full_disk;
mod harness;
mod jobs;
mod killed;
mod lossy;
mod mqtt;
mod mqtt_client;
mod mqtt_device;
mod mqtt_foreign;
mod mqtt_troubles;
mod network;
mod partitions;
mod sets;
mod web;
mod works;
