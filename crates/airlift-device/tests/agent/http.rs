//! Files over HTTP: the same agent, another source.

use std::{cell::RefCell, rc::Rc};

use airlift_device::agent::{AgentError, Ended, HttpClient, HttpSource};
use airlift_device::download::aws_stream::StreamError;
use airlift_formats::aws::{Text, job_document::Protocol};
use serde_json::{Value, json};

use super::device::{Device, RETRY, SLOTS, app, file};

/// A server with one file, whose connections break.
#[derive(Clone, Default)]
struct Server(Rc<RefCell<Hosted>>);

#[derive(Default)]
struct Hosted {
    file: Vec<u8>,
    /// Bytes that a connection carries before it breaks.
    carries: usize,
    /// After the next connection there is no other.
    last: bool,
    /// What is answered instead of the file.
    status: Option<Option<u16>>,
    /// Where each request began.
    requests: Vec<u32>,
    at: usize,
    left: usize,
}

impl HttpClient for Server {
    async fn get(&mut self, url: Text<'_>, from: u32) -> Result<(), Option<u16>> {
        assert_eq!(url, "https://files.example/fw.bin?a=1&b=/");
        let mut hosted = self.0.borrow_mut();
        hosted.requests.push(from);
        if let Some(status) = hosted.status {
            return Err(status);
        }
        (hosted.at, hosted.left) = (from as usize, hosted.carries);
        if hosted.last {
            hosted.status = Some(None);
        }
        Ok(())
    }

    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ()> {
        let mut hosted = self.0.borrow_mut();
        let rest = &hosted.file[hosted.at..];
        let len = rest.len().min(buffer.len()).min(hosted.left);
        if len == 0 && hosted.left == 0 {
            return Err(());
        }
        buffer[..len].copy_from_slice(&rest[..len]);
        hosted.at += len;
        hosted.left -= len;
        Ok(len)
    }
}

fn device_with(image: &[u8], carries: usize) -> (Device, Server) {
    let device = Device::new();
    let mut file = file(0, image);
    file["update_data_url"] = json!("https://files.example/fw.bin?a=1&b=/");
    let document: Value = json!({"afr_ota": {"protocols": ["HTTP"], "files": [file]}});
    device.cloud.job("job-1", document);
    let server = Server::default();
    server.0.borrow_mut().file = image.to_vec();
    server.0.borrow_mut().carries = carries;
    (device, server)
}

fn boot(
    device: &Device,
    server: &Server,
) -> Result<Ended, AgentError<airlift_sim::flash::FlashError, super::cloud::Cut>> {
    let mut buffer = [0; 700];
    let source = HttpSource::new(server.clone(), RETRY, &mut buffer);
    device.boot_from(source, Protocol::Http)
}

#[test]
fn a_file_comes_over_http_in_as_many_connections_as_it_takes() {
    for carries in [usize::MAX, 4000, 700] {
        let image = app("2", 9000);
        let (mut device, server) = device_with(&image, carries);
        assert_eq!(boot(&device, &server), Ok(Ended::Restart));
        assert_eq!(device.content(SLOTS[1], image.len()), image);
        let requests = server.0.borrow().requests.clone();
        assert!(requests.is_sorted() && requests[0] == 0);
        assert_eq!(
            requests.len(),
            image.len().div_ceil(carries),
            "{requests:?}"
        );
        device.restart();
        assert_eq!(boot(&device, &server), Ok(Ended::NoJob));
        assert_eq!(device.cloud.fate("job-1").0, "SUCCEEDED");
    }
}

#[test]
fn it_goes_on_where_a_restart_interrupted_it() {
    let image = app("2", 30_000);
    let (device, server) = device_with(&image, 20_000);
    server.0.borrow_mut().last = true;
    let first = boot(&device, &server);
    assert_eq!(first, Err(AgentError::Source(StreamError::Unanswered)));
    server.0.borrow_mut().last = false;
    server.0.borrow_mut().status = None;
    server.0.borrow_mut().requests.clear();
    assert_eq!(boot(&device, &server), Ok(Ended::Restart));
    let began = server.0.borrow().requests[0];
    assert!((16_384..=20_000).contains(&began), "{began}");
}

#[test]
fn a_status_that_stays_ends_the_job_and_one_that_passes_does_not() {
    let image = app("2", 3000);
    let (device, server) = device_with(&image, usize::MAX);
    server.0.borrow_mut().status = Some(Some(403));
    assert_eq!(boot(&device, &server), Ok(Ended::NoJob));
    let (status, details) = device.cloud.fate("job-1");
    assert_eq!(
        (status, &details["cause"]),
        ("FAILED", &json!("http-status"))
    );
    assert_eq!(details["reason"], "aborted: 0x00001193");

    let (device, server) = device_with(&image, usize::MAX);
    server.0.borrow_mut().status = Some(None);
    let expected = Err(AgentError::Source(StreamError::Unanswered));
    assert_eq!(boot(&device, &server), expected);
    assert_eq!(server.0.borrow().requests.len(), 12 + 1);
    assert_eq!(device.cloud.fate("job-1").0, "IN_PROGRESS");
}
