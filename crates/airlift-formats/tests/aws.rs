//! AWS IoT Jobs and streams: against what the AWS libraries emit and say, what the service was seen to send, and themselves.

#[path = "aws/golden.rs"]
mod golden;
#[path = "aws/job_answers.rs"]
mod job_answers;
#[path = "aws/job_documents.rs"]
mod job_documents;
#[path = "aws/job_requests.rs"]
mod job_requests;
#[path = "aws/round_trip.rs"]
mod round_trip;
#[path = "aws/stream_data.rs"]
mod stream_data;
#[path = "aws/stream_requests.rs"]
mod stream_requests;
#[path = "aws/topics.rs"]
mod topics;
