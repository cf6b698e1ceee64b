//! AWS IoT Jobs and streams: against what the AWS libraries emit and say, what the service was seen to send, and themselves.

#[path = "aws/golden.rs"]
mod golden;
#[path = "aws/round_trip.rs"]
mod round_trip;
#[path = "aws/stream_data.rs"]
mod stream_data;
#[path = "aws/stream_requests.rs"]
mod stream_requests;
