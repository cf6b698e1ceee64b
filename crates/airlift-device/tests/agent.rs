//! The agent, from a job's document to its outcome, against a service that is played here: with losses, cancellations and restarts.

mod agent {
    pub(crate) mod cloud;
    pub(crate) mod device;
    mod files;
    mod http;
    mod jobs;
    mod troubles;
}
