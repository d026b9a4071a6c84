//! Answers 503 at the places of an application that is not served, while others are.
//!
//! A request that has begun gets one constant answer, whatever it asks. Nothing blocks, at most
//! [`MOST`] clients are connected, the others wait in the listen queue; one that sends nothing, or does
//! not close, is dropped after [`PATIENCE`]. A client that begins with TLS or HTTP/2 is closed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, SocketFlags, accept_with, recv, send, shutdown};

use super::unavailable;
use crate::config::BoundListener;
use crate::net::Listeners;

const MOST: usize = 64;

const PATIENCE: Duration = Duration::from_secs(2);

/// After accepting has failed (no descriptor is left): the listener stays readable, and the loop would spin.
const PAUSE: Duration = Duration::from_secs(1);

const TEXT: &str = "Service Unavailable";
const RETRY_AFTER: u64 = 10;

/// The clients that are being answered.
#[derive(Debug, Default)]
pub(super) struct Refusing {
    clients: Vec<Client>,
    /// Nothing is accepted before.
    pauses_until: Option<Instant>,
}

#[derive(Debug)]
struct Client {
    socket: OwnedFd,
    deadline: Instant,
    /// It has its answer, and is read to its end: closed with something unread, the answer would be lost.
    is_answered: bool,
}

impl Refusing {
    /// Accepts and answers as far as it goes without waiting.
    pub(super) fn turn(&mut self, listeners: &Listeners, now: Instant) {
        self.pauses_until.take_if(|until| *until <= now);
        for (number, listener) in listeners.descriptors().into_iter().enumerate() {
            match listeners.kind(number) {
                Some(BoundListener::Routed) => self.take_routed(listeners, now),
                _ => self.accept(listener, now),
            }
        }
        self.clients.retain_mut(|client| client.step(now));
    }

    /// The descriptors to wait on for input.
    pub(super) fn sources<'a>(
        &'a self,
        listeners: &'a Listeners,
    ) -> impl Iterator<Item = BorrowedFd<'a>> {
        let accepts = self.clients.len() < MOST && self.pauses_until.is_none();
        let listening = accepts.then(|| listeners.descriptors());
        let clients = self.clients.iter().map(|client| client.socket.as_fd());
        listening.into_iter().flatten().chain(clients)
    }

    /// When something is due though nothing happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let clients = self.clients.iter().map(|client| client.deadline);
        clients.chain(self.pauses_until).min()
    }

    /// Takes what the router sends; the beginning of a request may have been read.
    fn take_routed(&mut self, listeners: &Listeners, now: Instant) {
        while self.clients.len() < MOST {
            let Ok(Some((moved, socket))) = listeners.take_routed() else {
                return;
            };
            let mut client = Client {
                socket,
                deadline: now + PATIENCE,
                is_answered: false,
            };
            if moved.input.is_empty() || client.answer(&moved.input, now) {
                self.clients.push(client);
            }
        }
    }

    fn accept(&mut self, listener: BorrowedFd<'_>, now: Instant) {
        while self.clients.len() < MOST && self.pauses_until.is_none() {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            match accept_with(listener, flags) {
                Ok(socket) => self.clients.push(Client {
                    socket,
                    deadline: now + PATIENCE,
                    is_answered: false,
                }),
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(_) => self.pauses_until = Some(now + PAUSE),
            }
        }
    }
}

impl Client {
    /// Goes on with it; whether it stays.
    fn step(&mut self, now: Instant) -> bool {
        let mut bytes = [0; 4096];
        loop {
            match recv(&self.socket, &mut bytes, RecvFlags::DONTWAIT) {
                Ok((_, 0)) => return false,
                Ok((_, read)) if !self.is_answered => {
                    if !self.answer(&bytes[..read], now) {
                        return false;
                    }
                }
                Ok(_) if self.deadline <= now => return false,
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return self.deadline > now,
                Err(_) => return false,
            }
        }
    }

    fn answer(&mut self, begun: &[u8], now: Instant) -> bool {
        const TLS_HANDSHAKE: u8 = 0x16;
        if begun[0] == TLS_HANDSHAKE || begun.starts_with(b"PRI * HTTP/2") {
            return false;
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        // A socket that nothing was written to has room for it.
        let answer = unavailable::answer(TEXT, RETRY_AFTER);
        let is_sent = send(&self.socket, answer.as_bytes(), flags) == Ok(answer.len());
        self.is_answered = true;
        self.deadline = now + PATIENCE;
        is_sent && shutdown(&self.socket, Shutdown::Write).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;
    use crate::net::Listen;

    fn listening() -> (Listeners, String) {
        let host = "127.0.0.1".to_owned();
        let listeners = Listeners::open(&[Listen::Tcp { host, port: 0 }], None, 16).unwrap();
        let place = listeners.places("http").remove(0);
        let address = place.strip_prefix("http://").unwrap().to_owned();
        (listeners, address)
    }

    #[test]
    fn a_request_is_answered_once_it_has_begun_and_a_silent_client_dropped() {
        let (listeners, address) = listening();
        let (mut refusing, now) = (Refusing::default(), Instant::now());
        let mut asking = TcpStream::connect(&address).unwrap();
        let silent = TcpStream::connect(&address).unwrap();
        asking
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            .unwrap();
        refusing.turn(&listeners, now);
        let mut answer = String::new();
        asking.read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"),
            "{answer}"
        );
        drop(asking);
        refusing.turn(&listeners, now);
        assert_eq!(refusing.clients.len(), 1);
        assert_eq!(refusing.deadline(), Some(now + PATIENCE));
        refusing.turn(&listeners, now + PATIENCE);
        assert!(refusing.clients.is_empty());
        drop(silent);
    }

    #[test]
    fn what_is_no_request_gets_no_answer() {
        let (listeners, address) = listening();
        let mut refusing = Refusing::default();
        for begun in [&b"\x16\x03\x01"[..], b"PRI * HTTP/2.0\r\n"] {
            let mut client = TcpStream::connect(&address).unwrap();
            client.write_all(begun).unwrap();
            refusing.turn(&listeners, Instant::now());
            let mut answer = Vec::new();
            let _ = client.read_to_end(&mut answer);
            assert_eq!(answer, b"");
        }
    }
}
