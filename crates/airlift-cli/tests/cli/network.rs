//! A network that can be cut: passes connections on, and holds an answer back after so many bytes.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Stands between a client and a server.
pub(crate) struct Network {
    address: SocketAddr,
    passed: Arc<AtomicU64>,
    cut: Arc<AtomicBool>,
}

/// Which direction is limited.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Bytes of requests.
    Up(u64),
    /// Bytes of answers.
    Down(u64),
}

impl Network {
    /// A way to `server` (`HOST:PORT`) that passes so many bytes and then stalls until it is [cut](Self::cut).
    pub(crate) fn to(server: &str, limit: Limit) -> Self {
        let server = server.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (passed, cut) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (counter, scissors) = (Arc::clone(&passed), Arc::clone(&cut));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(&server)) else {
                    return;
                };
                let (up, down) = match limit {
                    Limit::Up(bytes) => (bytes, u64::MAX),
                    Limit::Down(bytes) => (u64::MAX, bytes),
                };
                for (from, to, bytes) in [(&client, &server, up), (&server, &client, down)] {
                    let (from, to) = (
                        from.try_clone().expect("a clone"),
                        to.try_clone().expect("a clone"),
                    );
                    let (counter, scissors) = (Arc::clone(&counter), Arc::clone(&scissors));
                    std::thread::spawn(move || pass(from, to, bytes, &counter, &scissors));
                }
            }
        });
        Self {
            address,
            passed,
            cut,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Bytes that went through in the limited direction.
    pub(crate) fn passed(&self) -> u64 {
        self.passed.load(Ordering::SeqCst)
    }

    /// Closes what is stalled.
    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, limit: u64, passed: &AtomicU64, cut: &AtomicBool) {
    let mut buffer = [0; 1024];
    let mut left = limit;
    while left > 0 {
        let room = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let Ok(count @ 1..) = from.read(&mut buffer[..room]) else {
            break;
        };
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
        if limit < u64::MAX {
            left -= count as u64;
            passed.fetch_add(count as u64, Ordering::SeqCst);
        }
    }
    while left == 0 && !cut.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = to.shutdown(Shutdown::Write);
    if left == 0 {
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}
