//! The keys and the state of an encrypted connection: bytes in, bytes out.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncryptError, UnbufferedStatus, WriteTraffic};

use super::outgoing::Outgoing;
use super::{FRAGMENT, MAX_SEALED, spare};
use crate::peers::TlsFacts;

thread_local! {
    /// Where small pieces are put together: one record costs less than two.
    static GATHERED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// An encrypted connection without its socket.
pub(in crate::server) struct Session {
    connection: UnbufferedServerConnection,
    /// Received, of a record that is not complete.
    pub(super) incoming: Vec<u8>,
    /// Decrypted, and not read yet.
    pub(super) surplus: Vec<u8>,
    pub(super) outgoing: Outgoing,
    /// Plain bytes whose records are in `outgoing`, and which the caller does not know of yet.
    pub(super) sealed: usize,
    /// The peer has sent something.
    pub(super) touched: bool,
    /// The peer sends nothing more.
    pub(super) ended: bool,
}

type Traffic<'a> = WriteTraffic<'a, ServerConnectionData>;

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("touched", &self.touched)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl Session {
    pub(in crate::server) fn new(config: &Arc<ServerConfig>) -> io::Result<Self> {
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
    pub(in crate::server) fn is_quiet(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// Whether nothing has come from the peer.
    pub(in crate::server) fn is_untouched(&self) -> bool {
        !self.touched
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether both ends have agreed on HTTP/2.
    pub(in crate::server) fn is_http2(&self) -> bool {
        self.connection.alpn_protocol() == Some(b"h2")
    }

    /// The facts that the handshake has settled.
    pub(in crate::server) fn facts(&self, certificate: Arc<[u8]>) -> TlsFacts {
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
    pub(super) fn open(&mut self, plain: &mut Vec<u8>) -> io::Result<()> {
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
        spare::give(&mut self.incoming);
        result
    }

    /// The alert that says why the session failed, behind what of the handshake precedes it: with TLS 1.3
    /// the client cannot read the one without the other.
    pub(super) fn put_alert(&mut self) {
        loop {
            match self.connection.process_tls_records(&mut []).state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    if self.outgoing.put(0, |room| data.encode(room)).is_err() {
                        // The peer finds the connection closed, as it would next.
                        return;
                    }
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                _ => return,
            }
        }
    }

    /// Encrypts some of `slices`; says how many bytes.
    pub(super) fn seal(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
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
    pub(super) fn put_close_notify(&mut self) {
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
    pub(in crate::server) fn farewell(&mut self) -> &[u8] {
        self.put_close_notify();
        self.outgoing.unwritten()
    }
}
