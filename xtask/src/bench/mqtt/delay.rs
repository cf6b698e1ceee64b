//! A way to a server that takes time, in both directions.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

/// Listens on a port and passes every connection on to another, `one_way` later. Lives as long as the program.
///
/// # Errors
/// Fails if there is no port.
pub(super) fn listen(to: u16, one_way: Duration) -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            let _ = pass(near, to, one_way);
        }
    });
    Ok(port)
}

fn pass(near: TcpStream, to: u16, one_way: Duration) -> Result<()> {
    let far = TcpStream::connect((Ipv4Addr::LOCALHOST, to))?;
    for stream in [&near, &far] {
        stream.set_nodelay(true)?;
    }
    direction(near.try_clone()?, far.try_clone()?, one_way);
    direction(far, near, one_way);
    Ok(())
}

fn direction(mut from: TcpStream, mut to: TcpStream, one_way: Duration) {
    let (sender, receiver) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from.read(&mut bytes) {
            if sender
                .send((Instant::now() + one_way, bytes[..read].to_vec()))
                .is_err()
            {
                return;
            }
        }
    });
    thread::spawn(move || {
        for (due, bytes) in receiver {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                return;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
}
