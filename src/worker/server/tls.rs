//! TLS over a byte stream, by rustls (RFC 8446, RFC 5246).
//!
//! rustls only turns bytes into bytes here (its unbuffered interface), so that a connection that
//! waits holds what a session cannot do without, and no buffer: what arrives is read into one that
//! all connections of the thread share, and only what is left of an incomplete record is kept.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::ServerConfig;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus,
    WriteTraffic,
};

use super::socket::Socket;
use crate::worker::application::TlsFacts;

/// The largest record (RFC 5246 section 6.2.3 allows it 2 KiB more than RFC 8446 does).
const MAX_RECORD: usize = 16 * 1024 + 2048 + 5;

/// Plain bytes in one record.
const FRAGMENT: usize = 16 * 1024;

/// Plain bytes that are encrypted at once: four records in one system call.
const MAX_SEALED: usize = 4 * FRAGMENT;

/// Buffers of [`MAX_RECORD`] kept for the next use.
const KEPT: usize = 4;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    /// Where small pieces are put together: one record costs less than two.
    static GATHERED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// An encrypted connection.
#[derive(Debug)]
pub(super) struct TlsStream {
    socket: Socket,
    session: Session,
}

/// What is left of an encrypted connection without its socket.
pub(super) struct Session {
    connection: UnbufferedServerConnection,
    /// Received, of a record that is not complete.
    incoming: Vec<u8>,
    /// Decrypted, and not read yet.
    surplus: Vec<u8>,
    outgoing: Outgoing,
    /// Plain bytes whose records are in `outgoing`, and which the caller does not know of yet.
    sealed: usize,
    /// The peer has sent something.
    touched: bool,
    /// The peer sends nothing more.
    ended: bool,
}

/// What came of a handshake.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shaken {
    Hands,
    /// What the client sent is an HTTP request and no TLS.
    PlainHttp,
}

type Traffic<'a> = WriteTraffic<'a, ServerConnectionData>;

/// Encrypted, and not written yet.
#[derive(Debug, Default)]
struct Outgoing {
    buffer: Vec<u8>,
    written: usize,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("touched", &self.touched)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl Session {
    pub(super) fn new(config: &Arc<ServerConfig>) -> io::Result<Self> {
        let connection =
            UnbufferedServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        Ok(Self {
            connection,
            incoming: Vec::new(),
            surplus: Vec::new(),
            outgoing: Outgoing::default(),
            sealed: 0,
            touched: false,
            ended: false,
        })
    }

    /// Whether nothing waits to be written.
    pub(super) fn is_quiet(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// Whether nothing has come from the peer.
    pub(super) fn is_untouched(&self) -> bool {
        !self.touched
    }

    fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether both ends have agreed on HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.connection.alpn_protocol() == Some(b"h2")
    }

    /// What the handshake has settled.
    pub(super) fn facts(&self, certificate: Arc<[u8]>) -> TlsFacts {
        let clients = self.connection.peer_certificates().unwrap_or_default();
        TlsFacts {
            certificate,
            client_chain: clients.iter().map(|der| der.as_ref().to_vec()).collect(),
            version: self.connection.protocol_version().map(u16::from),
            cipher_suite: self
                .connection
                .negotiated_cipher_suite()
                .map(|suite| u16::from(suite.suite())),
        }
    }

    /// Decrypts what has been received, to the end of `plain`, and takes the protocol's own steps.
    fn open(&mut self, plain: &mut Vec<u8>) -> io::Result<()> {
        let mut used = 0;
        let result = loop {
            let UnbufferedStatus { mut discard, state } = self
                .connection
                .process_tls_records(&mut self.incoming[used..]);
            let more = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(io::Error::other)?;
                        discard += record.discard;
                        plain.extend_from_slice(record.payload);
                    }
                    true
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    self.outgoing.put(0, |room| data.encode(room))?;
                    true
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    true
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.ended = true;
                    true
                }
                Ok(ConnectionState::Closed) => {
                    self.ended = true;
                    false
                }
                // Waits for more from the peer.
                Ok(_) => false,
                Err(error) => break Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            };
            used += discard;
            if !more {
                break Ok(());
            }
        };
        self.incoming.drain(..used.min(self.incoming.len()));
        give(&mut self.incoming);
        result
    }

    /// The alert that says why the session failed.
    fn put_alert(&mut self) {
        if let Ok(ConnectionState::EncodeTlsData(mut data)) =
            self.connection.process_tls_records(&mut []).state
        {
            // Without it the peer finds the connection closed, as it would next.
            let _ = self.outgoing.put(0, |room| data.encode(room));
        }
    }

    /// Encrypts some of `slices`; says how many bytes.
    fn seal(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            [] => Ok(0),
            [one] => self.seal_piece(&one[..one.len().min(MAX_SEALED)]),
            [first, ..] if first.len() >= FRAGMENT => {
                self.seal_piece(&first[..first.len().min(MAX_SEALED)])
            }
            pieces => GATHERED.with_borrow_mut(|gathered| {
                gathered.clear();
                for piece in pieces {
                    let room = FRAGMENT - gathered.len();
                    gathered.extend_from_slice(&piece[..piece.len().min(room)]);
                }
                self.seal_piece(gathered)
            }),
        }
    }

    fn seal_piece(&mut self, plain: &[u8]) -> io::Result<usize> {
        self.put(plain.len(), |traffic, room| traffic.encrypt(plain, room))?;
        Ok(plain.len())
    }

    /// Says that nothing more comes (RFC 8446 section 6.1), once.
    fn put_close_notify(&mut self) {
        // A session that can say nothing any more has failed, and its peer knows.
        let _ = self.put(0, |traffic, room| traffic.queue_close_notify(room));
    }

    /// Puts what `encode` makes of the application's traffic behind what the protocol has to say.
    fn put(
        &mut self,
        plain: usize,
        mut encode: impl FnMut(&mut Traffic<'_>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> io::Result<()> {
        loop {
            let UnbufferedStatus { discard, state } =
                self.connection.process_tls_records(&mut self.incoming);
            debug_assert_eq!(discard, 0, "complete records are opened when they are read");
            match state.map_err(io::Error::other)? {
                ConnectionState::WriteTraffic(mut traffic) => {
                    return self.outgoing.put(plain, |room| encode(&mut traffic, room));
                }
                ConnectionState::EncodeTlsData(mut data) => {
                    self.outgoing.put(0, |room| data.encode(room))?;
                }
                ConnectionState::TransmitTlsData(data) => data.done(),
                _ => return Err(io::ErrorKind::BrokenPipe.into()),
            }
        }
    }

    /// The last words to a peer whose idle connection is closed, for the caller to write.
    pub(super) fn farewell(&mut self) -> &[u8] {
        self.put_close_notify();
        self.outgoing.unwritten()
    }
}

impl Outgoing {
    fn is_empty(&self) -> bool {
        self.written == self.buffer.len()
    }

    fn unwritten(&self) -> &[u8] {
        &self.buffer[self.written..]
    }

    /// Has `encode` write behind what is here, in as much room as it needs.
    fn put<E: NeedsRoom>(
        &mut self,
        plain: usize,
        mut encode: impl FnMut(&mut [u8]) -> Result<usize, E>,
    ) -> io::Result<()> {
        let end = self.buffer.len();
        // What each record adds: its header, a nonce, the content's type and the tag.
        let mut room = plain + 64 * (plain / FRAGMENT + 1);
        loop {
            take(&mut self.buffer);
            self.buffer.resize(end + room, 0);
            match encode(&mut self.buffer[end..]) {
                Ok(written) => {
                    self.buffer.truncate(end + written);
                    return Ok(());
                }
                Err(error) => {
                    self.buffer.truncate(end);
                    room = error
                        .room()
                        .filter(|needed| *needed > room)
                        .ok_or_else(|| io::Error::other("the session's keys are used up"))?;
                }
            }
        }
    }
}

/// An encoder's error that may ask for a larger buffer.
trait NeedsRoom {
    fn room(&self) -> Option<usize>;
}

impl NeedsRoom for EncodeError {
    fn room(&self) -> Option<usize> {
        match self {
            Self::InsufficientSize(InsufficientSizeError { required_size }) => Some(*required_size),
            Self::AlreadyEncoded => None,
        }
    }
}

impl NeedsRoom for EncryptError {
    fn room(&self) -> Option<usize> {
        match self {
            Self::InsufficientSize(InsufficientSizeError { required_size }) => Some(*required_size),
            Self::EncryptExhausted => None,
        }
    }
}

impl TlsStream {
    pub(super) fn new(socket: Socket, session: Session) -> Self {
        Self { socket, session }
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    pub(super) fn into_parts(self) -> (Socket, Session) {
        (self.socket, self.session)
    }

    /// Takes the handshake as far as it goes; what the client sent behind it goes to `early`.
    pub(super) fn poll_handshake(
        &mut self,
        cx: &mut Context<'_>,
        early: &mut Vec<u8>,
    ) -> Poll<io::Result<Shaken>> {
        loop {
            ready!(self.poll_flush(cx))?;
            if !self.session.is_handshaking() {
                return Poll::Ready(Ok(Shaken::Hands));
            }
            let is_first = self.session.is_untouched();
            if ready!(self.poll_receive(cx))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            // A method; a TLS record of a handshake begins with 22.
            if is_first && self.session.incoming[0].is_ascii_uppercase() {
                return Poll::Ready(Ok(Shaken::PlainHttp));
            }
            if let Err(error) = self.session.open(early) {
                self.session.put_alert();
                let _ = self.poll_flush(cx);
                return Poll::Ready(Err(error));
            }
        }
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Reads what is encrypted; `Ready(0)` is the end.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        take(&mut self.session.incoming);
        let room = MAX_RECORD.saturating_sub(self.session.incoming.len());
        let received = self
            .socket
            .poll_read(cx, &mut self.session.incoming, room.max(1));
        if matches!(received, Poll::Ready(Ok(1..))) {
            self.session.touched = true;
        } else {
            give(&mut self.session.incoming);
        }
        received
    }

    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<u8>,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            if !self.session.surplus.is_empty() {
                let count = self.session.surplus.len().min(limit);
                buffer.extend(self.session.surplus.drain(..count));
                if self.session.surplus.is_empty() {
                    self.session.surplus = Vec::new();
                }
                return Poll::Ready(Ok(count));
            }
            if self.session.ended {
                return Poll::Ready(Ok(0));
            }
            if self.poll_flush(cx)?.is_pending()
                && self.session.outgoing.unwritten().len() > 2 * MAX_SEALED
            {
                // The protocol's own answers, such as key updates, wait for a peer that reads.
                return Poll::Pending;
            }
            if ready!(self.poll_receive(cx))? == 0 {
                self.session.ended = true;
                return Poll::Ready(Ok(0));
            }
            let before = buffer.len();
            if let Err(error) = self.session.open(buffer) {
                self.session.put_alert();
                let _ = self.poll_flush(cx);
                return Poll::Ready(Err(error));
            }
            let count = buffer.len() - before;
            if count > limit {
                self.session.surplus = buffer.split_off(before + limit);
            }
            if count > 0 {
                return Poll::Ready(Ok(count.min(limit)));
            }
        }
    }

    /// Encrypts and writes some of `slices`. What it could not write of that yet is finished by the
    /// next call, which must bring the same bytes.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.session.sealed == 0 {
            self.session.sealed = self.session.seal(slices)?;
        }
        ready!(self.poll_flush(cx))?;
        Poll::Ready(Ok(std::mem::take(&mut self.session.sealed)))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outgoing = &mut self.session.outgoing;
        while !outgoing.is_empty() {
            let slices = [IoSlice::new(&outgoing.buffer[outgoing.written..])];
            match ready!(self.socket.poll_write(cx, &slices))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => outgoing.written += count,
            }
        }
        outgoing.buffer.clear();
        outgoing.written = 0;
        give(&mut outgoing.buffer);
        Poll::Ready(Ok(()))
    }

    /// Says that nothing more comes, and ends the sending side.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // rustls makes a second one no longer than the first: there is none.
        self.session.put_close_notify();
        ready!(self.poll_flush(cx))?;
        self.socket.poll_shutdown(cx)
    }

    /// Says goodbye to an idle peer, as far as the socket takes it at once.
    pub(super) fn farewell(&mut self) {
        let words = self.session.farewell();
        self.socket.try_write(words);
    }
}

/// Gives `buffer` room for a record, from the spare ones if it has none of its own.
fn take(buffer: &mut Vec<u8>) {
    if buffer.capacity() == 0 {
        *buffer = SPARE
            .with_borrow_mut(Vec::pop)
            .unwrap_or_else(|| Vec::with_capacity(MAX_RECORD));
    } else if buffer.capacity() < MAX_RECORD {
        buffer.reserve_exact(MAX_RECORD - buffer.len());
    }
}

/// Takes the room back: all of it from an empty buffer, what is not used from another.
fn give(buffer: &mut Vec<u8>) {
    if !buffer.is_empty() {
        buffer.shrink_to_fit();
        return;
    }
    let spare = std::mem::take(buffer);
    SPARE.with_borrow_mut(|kept| {
        if spare.capacity() == MAX_RECORD && kept.len() < KEPT {
            kept.push(spare);
        }
    });
}
