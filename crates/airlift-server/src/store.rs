//! Where things are kept: rows in a database, image bytes in an object store.
//!
//! Nothing in here knows HTTP. Query texts are constants in the subset of SQL that `SQLite` and `PostgreSQL` share
//! (`$1` parameters, `ON CONFLICT`, `RETURNING`), so that a second engine needs migrations and a pool, not new queries.

pub(crate) mod cache;
pub(crate) mod catalog;
pub(crate) mod credentials;
pub(crate) mod database;
pub(crate) mod fleet;
pub(crate) mod jobs;
pub(crate) mod objects;
pub(crate) mod rollouts;
pub(crate) mod things;
pub(crate) mod tokens;
