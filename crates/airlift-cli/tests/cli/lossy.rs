//! A bad network between an MQTT server and a client: messages with QoS 0 get lost, come twice, and in another order.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

/// Stands between a client and a server.
pub(crate) struct Lossy {
    address: SocketAddr,
    counts: Arc<Counts>,
}

/// What happened to messages.
#[derive(Default)]
pub(crate) struct Counts {
    lost: AtomicU64,
    doubled: AtomicU64,
    late: AtomicU64,
    down: AtomicU64,
    refused: AtomicBool,
    gate: Gate,
}

impl Counts {
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::SeqCst)
    }

    pub(crate) fn doubled(&self) -> u64 {
        self.doubled.load(Ordering::SeqCst)
    }

    pub(crate) fn late(&self) -> u64 {
        self.late.load(Ordering::SeqCst)
    }

    /// Bytes that went to the client.
    pub(crate) fn down(&self) -> u64 {
        self.down.load(Ordering::SeqCst)
    }
}

/// Where messages wait.
#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    waited: bool,
    open: bool,
}

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock().expect("the gate");
        state.waited = true;
        drop(self.changed.wait_while(state, |state| !state.open));
    }
}

/// How bad it is.
#[derive(Clone, Copy)]
pub(crate) struct Weather {
    pub(crate) seed: u64,
    /// Of 100 messages, so many are lost, doubled, or come after the next one.
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) late: u64,
    /// The connection breaks for good when so many bytes have gone to the client.
    pub(crate) breaks_at: Option<u64>,
    /// Nothing more comes to the client after so many bytes, until [`Lossy::go_on`].
    pub(crate) stops_at: Option<u64>,
}

impl Weather {
    pub(crate) const FINE: Self = Self {
        seed: 1,
        lost: 0,
        doubled: 0,
        late: 0,
        breaks_at: None,
        stops_at: None,
    };
}

impl Lossy {
    /// A way to `server` (`HOST:PORT`).
    pub(crate) fn to(server: &str, weather: Weather) -> Self {
        let server = server.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let counts = Arc::<Counts>::default();
        let shared = Arc::clone(&counts);
        std::thread::spawn(move || {
            for (number, client) in listener.incoming().enumerate() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(&server)) else {
                    // The client finds that the server is not there.
                    shared.refused.store(true, Ordering::SeqCst);
                    continue;
                };
                for (from, to, down) in [(&client, &server, false), (&server, &client, true)] {
                    let mut way = Way {
                        to: to.try_clone().expect("a clone"),
                        down,
                        counts: Arc::clone(&shared),
                        weather,
                        random: weather.seed ^ (number as u64) << 32 ^ u64::from(down) << 63,
                        held: None,
                    };
                    let from = from.try_clone().expect("a clone");
                    std::thread::spawn(move || way.pass(from));
                }
            }
        });
        Self { address, counts }
    }

    pub(crate) fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Whether a client came while the server was not there.
    pub(crate) fn has_refused(&self) -> bool {
        self.counts.refused.load(Ordering::SeqCst)
    }

    /// Whether messages wait for [`go_on`](Self::go_on).
    pub(crate) fn has_stopped(&self) -> bool {
        self.counts.gate.state.lock().expect("the gate").waited
    }

    pub(crate) fn go_on(&self) {
        self.counts.gate.state.lock().expect("the gate").open = true;
        self.counts.gate.changed.notify_all();
    }
}

/// One direction of a connection.
struct Way {
    to: TcpStream,
    down: bool,
    counts: Arc<Counts>,
    weather: Weather,
    random: u64,
    /// A message that comes late.
    held: Option<Vec<u8>>,
}

impl Way {
    fn pass(&mut self, mut from: TcpStream) {
        while let Some(packet) = packet(&mut from) {
            // PUBLISH with QoS 0; all else is the business of TCP.
            let fate = if packet[0] & 0xF6 == 0x30 {
                self.roll()
            } else {
                100
            };
            let Weather {
                lost,
                doubled,
                late,
                ..
            } = self.weather;
            let sent = if fate < lost {
                self.counts.lost.fetch_add(1, Ordering::SeqCst);
                true
            } else if fate < lost + doubled {
                self.counts.doubled.fetch_add(1, Ordering::SeqCst);
                self.send(&packet) && self.send(&packet)
            } else if fate < lost + doubled + late && self.held.is_none() {
                self.counts.late.fetch_add(1, Ordering::SeqCst);
                self.held = Some(packet);
                true
            } else {
                let held = self.held.take();
                self.send(&packet) && held.is_none_or(|held| self.send(&held))
            };
            if !sent {
                break;
            }
        }
        let _ = self.to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }

    fn send(&mut self, packet: &[u8]) -> bool {
        if self.down {
            let before = self
                .counts
                .down
                .fetch_add(packet.len() as u64, Ordering::SeqCst);
            if self.weather.breaks_at.is_some_and(|at| before >= at) {
                return false;
            }
            if self.weather.stops_at.is_some_and(|at| before >= at) {
                self.counts.gate.pass();
            }
        }
        self.to.write_all(packet).is_ok()
    }

    /// 0 to 99.
    fn roll(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ mixed >> 31) % 100
    }
}

/// A whole MQTT packet: type, length in up to four bytes of seven bits, content.
pub(crate) fn packet(from: &mut TcpStream) -> Option<Vec<u8>> {
    let mut packet = vec![0];
    from.read_exact(&mut packet).ok()?;
    let (mut length, mut shift) = (0, 0);
    loop {
        let mut byte = [0];
        from.read_exact(&mut byte).ok()?;
        packet.push(byte[0]);
        length |= usize::from(byte[0] & 0x7F) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 || shift == 28 {
            break;
        }
    }
    let head = packet.len();
    packet.resize(head + length, 0);
    from.read_exact(&mut packet[head..]).ok()?;
    Some(packet)
}
