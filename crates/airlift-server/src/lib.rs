//! The update server.
