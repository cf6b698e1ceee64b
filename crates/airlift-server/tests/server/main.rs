//! The server as its users meet it: a real one on a loopback port, spoken to over real HTTP.

mod first_steps;
mod harness;
