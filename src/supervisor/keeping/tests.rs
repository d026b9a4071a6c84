//! Kept connections, over real sockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{RecvFlags, recv};

use super::*;
use crate::control::{Moved, Peers, Received, ServerAddress};
use crate::held::{MOST_SILENT, SWEEP_EVERY};
use crate::net::Listen;

struct Kept {
    keeper: Keeper,
    listeners: Listeners,
    now: Instant,
}

const KEEP_ALIVE: Duration = Duration::from_secs(5);

fn kept() -> Kept {
    let listen = [Listen::Tcp {
        host: "127.0.0.1".to_owned(),
        port: 0,
    }];
    let listeners = Listeners::open(&listen, None, 4096).unwrap();
    for listener in listeners.descriptors() {
        rustix::io::ioctl_fionbio(listener, true).unwrap();
    }
    let terms = Terms {
        keep_alive: KEEP_ALIVE,
        header_read: Duration::from_secs(60),
        most: 10_000,
        health: vec!["/healthz".to_owned()],
        is_plain: true,
    };
    Kept {
        keeper: Keeper::new(terms, &listeners).unwrap(),
        listeners,
        now: Instant::now(),
    }
}

impl Kept {
    fn address(&self) -> SocketAddr {
        let place = &self.listeners.places("http")[0];
        place.trim_start_matches("http://").parse().unwrap()
    }

    fn connect(&mut self) -> TcpStream {
        let client = TcpStream::connect(self.address()).unwrap();
        assert_eq!(self.turn(), None);
        client
    }

    /// Handles what has arrived; something has.
    fn turn(&mut self) -> Option<Cause> {
        let mut ready = [PollFd::new(&self.keeper, PollFlags::IN)];
        let limit = Timespec {
            tv_sec: 10,
            tv_nsec: 0,
        };
        assert_ne!(
            poll(&mut ready, Some(&limit)).unwrap(),
            0,
            "nothing arrives"
        );
        self.keeper.turn(&self.listeners, self.now)
    }

    /// Takes everything out, as a worker would.
    fn deliver(&mut self) -> Vec<(Moved, OwnedFd)> {
        let ends = self.keeper.deliver(&self.listeners, self.now);
        let mut delivered = Vec::new();
        for end in ends.into_iter().map(HandOver::over) {
            while let Received::Message(Lane, lanes) = end.receive().unwrap() {
                for lane in lanes.into_iter().map(LaneEnd::over) {
                    while let Received::Message(moved, sockets) = lane.receive().unwrap() {
                        delivered.extend(moved.into_iter().zip(sockets));
                    }
                }
            }
        }
        delivered
    }
}

use crate::control::Lane;

#[test]
fn a_connection_alone_wakes_nothing_and_its_first_byte_does() {
    let mut kept = kept();
    let mut client = kept.connect();
    client.write_all(b"G").unwrap();
    assert_eq!(kept.turn(), None, "it may become a health check");
    client.write_all(b"ET / HTTP/1.1\r\n").unwrap();
    assert_eq!(kept.turn(), Some(Cause::Request));
    let delivered = kept.deliver();
    assert_eq!(delivered.len(), 1);
    let (moved, socket) = &delivered[0];
    assert_eq!(moved.stage, Stage::Accepted);
    assert_eq!(moved.peers.client, Some(client.local_addr().unwrap()));
    let mut bytes = [0; 32];
    let (count, _) = recv(socket, &mut bytes[..], RecvFlags::DONTWAIT).unwrap();
    assert_eq!(&bytes[..count], b"GET / HTTP/1.1\r\n");
    assert!(kept.keeper.is_done());
}

#[test]
fn a_health_check_is_answered_again_and_again() {
    let mut kept = kept();
    let mut client = kept.connect();
    for _ in 0..3 {
        let check = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";
        client.write_all(check).unwrap();
        assert_eq!(kept.turn(), None);
        let mut answer = [0; 256];
        let count = client.read(&mut answer).unwrap();
        assert!(answer[..count].starts_with(b"HTTP/1.1 200 OK\r\n"));
    }
    assert_eq!(kept.keeper.places.len(), 1);
}

#[test]
fn what_was_handed_over_is_kept_for_as_long_as_it_had() {
    let mut kept = kept();
    let (mut client, socket) = pair();
    let moved = idle(Some(Duration::from_secs(2)));
    assert_eq!(kept.keeper.keep_moved(moved, socket, kept.now), None);
    kept.now += Duration::from_millis(1_900);
    kept.keeper.turn(&kept.listeners, kept.now);
    assert_eq!(kept.keeper.places.len(), 1);
    kept.now += SWEEP_EVERY;
    kept.keeper.turn(&kept.listeners, kept.now);
    assert_eq!(client.read(&mut [0]).unwrap(), 0, "it is closed");
}

#[test]
fn a_client_that_goes_is_forgotten() {
    let mut kept = kept();
    let client = kept.connect();
    drop(client);
    assert_eq!(kept.turn(), None);
    assert!(kept.keeper.places.is_empty());
}

#[test]
fn the_beginning_of_a_head_moves_on_with_its_connection() {
    let mut kept = kept();
    let (_client, socket) = pair();
    let moved = Moved {
        input: b"GET /".to_vec(),
        ..idle(None)
    };
    let knock = kept.keeper.keep_moved(moved, socket, kept.now);
    assert_eq!(knock, Some(Cause::KeptConnection));
    let delivered = kept.deliver();
    assert_eq!(delivered[0].0.input, b"GET /");
}

#[test]
fn of_a_scan_the_newest_are_held_and_nothing_knocks() {
    let mut kept = kept();
    let mut first = kept.connect();
    let clients: Vec<_> = (0..MOST_SILENT + 10).map(|_| kept.connect()).collect();
    assert_eq!(kept.keeper.places.len(), MOST_SILENT);
    assert_eq!(first.read(&mut [0]).unwrap(), 0, "the oldest is closed");
    drop(clients);
}

#[test]
fn a_refusal_reaches_the_client_that_waits_and_no_other() {
    let mut kept = kept();
    let mut waits = kept.connect();
    let silent = kept.connect();
    waits.write_all(b"POST / HTTP/1.1\r\n\r\nx").unwrap();
    assert_eq!(kept.turn(), Some(Cause::Request));
    kept.keeper.refuse(Duration::from_millis(1_200), kept.now);
    let mut answer = String::new();
    waits.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("\r\nretry-after: 2\r\n"), "{answer}");
    drop(waits);
    kept.turn();
    assert_eq!(kept.keeper.places.len(), 1);
    drop(silent);
}

#[test]
fn thousands_are_delivered_over_as_many_lanes_as_it_takes() {
    let mut kept = kept();
    let mut clients = Vec::new();
    for _ in 0..300 {
        let (client, socket) = pair();
        clients.push(client);
        kept.keeper.keep_moved(idle(None), socket, kept.now);
    }
    assert_eq!(kept.deliver().len(), 300);
    assert!(kept.keeper.is_done());
}

#[test]
fn a_kept_connection_takes_little() {
    assert!(size_of::<Option<(OwnedFd, held::Kept)>>() <= 112);
}

fn idle(left: Option<Duration>) -> Moved {
    Moved {
        peers: Peers {
            client: None,
            server: ServerAddress::Unix(PathBuf::from("/s").to_string_lossy().into_owned()),
            routed: false,
        },
        stage: Stage::Idle,
        input: Vec::new(),
        left,
        decided: false,
    }
}

fn pair() -> (std::os::unix::net::UnixStream, OwnedFd) {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    (ours, theirs.into())
}
