//! The access log's record of a request.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use super::exchange::Exchange;
use super::head::RequestHead;
use super::proxy::Client;
use super::request_id;
use crate::asgi::http::Version;
use lowmem_base::config::ServerSettings;
use lowmem_base::status::reason_phrase;
use lowmem_base::telemetry::{self, AccessLine, AccessLog};

/// The status of a request whose client left before any of its response was sent; nginx's, which log
/// analysers know.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// The field that says which trace a request belongs to.
const TRACEPARENT: &str = "traceparent";

/// The part of an access record that outlives the read buffer.
pub(super) struct OwnedRecord {
    client: Option<SocketAddr>,
    /// The client behind a proxy, which counts instead.
    proxied: Option<Client>,
    method: String,
    target: Vec<u8>,
    version: Version,
    /// It is logged as a WebSocket's handshake.
    handshake: bool,
    started: Instant,
    /// The fields that the log's format names.
    headers: Vec<Option<Box<[u8]>>>,
    request_id: Option<Box<[u8]>>,
    traceparent: Option<Box<[u8]>>,
    /// The response's, while the line waits for its end.
    status: Option<u16>,
}

/// The access log, if there is one, and the lines about handshakes.
#[derive(Debug)]
pub(super) struct Records {
    log: Option<AccessLog>,
    /// The server makes requests to itself, which are in no log.
    is_muted: Cell<bool>,
}

impl Records {
    /// # Errors
    /// The log's file cannot be opened.
    pub(super) fn new(config: &ServerSettings) -> io::Result<Self> {
        if !config.access.enabled {
            return Ok(Self {
                log: None,
                is_muted: Cell::new(false),
            });
        }
        let log = AccessLog::new(&config.access)?;
        Ok(Self {
            log: Some(log),
            is_muted: Cell::new(false),
        })
    }

    /// From now on nothing is written, or something is again.
    pub(super) fn mute(&self, is_muted: bool) {
        self.is_muted.set(is_muted);
    }

    /// Writes what the access log holds back.
    pub(super) fn flush(&self) {
        if let Some(access) = &self.log {
            access.flush();
        }
    }

    /// When a request began, if the access log wants to know.
    pub(super) fn clock(&self) -> Option<Instant> {
        self.log.as_ref().map(|_| Instant::now())
    }

    /// Keeps what the log will want of a request that began at `started`.
    pub(super) fn note(
        &self,
        head: &RequestHead<'_>,
        client: Option<SocketAddr>,
        started: Option<Instant>,
        handshake: bool,
    ) -> Option<Box<OwnedRecord>> {
        if (self.log.is_none() && !handshake) || self.is_muted.get() {
            return None;
        }
        let mut target = head.path.to_vec();
        if !head.query.is_empty() {
            target.push(b'?');
            target.extend_from_slice(head.query);
        }
        let shown = |name: &str| head.header(name).map(Box::from);
        let headers = match &self.log {
            Some(access) => access.format().headers().map(shown).collect(),
            None => Vec::new(),
        };
        let traced = self
            .log
            .as_ref()
            .is_some_and(|access| access.format().shows_trace());
        let traced = traced || telemetry::is_redirected();
        Some(Box::new(OwnedRecord {
            client,
            proxied: head.forwarded.as_ref().and_then(|f| f.client.clone()),
            method: head.method.to_owned(),
            target,
            version: head.version,
            handshake,
            started: started.unwrap_or_else(Instant::now),
            headers,
            request_id: shown(request_id::NAME),
            traceparent: traced.then(|| shown(TRACEPARENT)).flatten(),
            status: None,
        }))
    }

    /// The response has started.
    pub(super) fn log(&self, noted: &mut Option<Box<OwnedRecord>>, status: u16) {
        if let Some(handshake) = noted.take_if(|record| record.handshake) {
            return handshake.log(status);
        }
        let (Some(record), Some(access)) = (noted.as_mut(), &self.log) else {
            return;
        };
        if access.format().waits_for_end() {
            record.status = Some(status);
        } else if let Some(record) = noted.take() {
            record.write(status, None, access);
        }
    }

    /// The client has left before any of its response was sent.
    pub(super) fn log_left(&self, noted: Option<Box<OwnedRecord>>) {
        let requests = noted.filter(|record| !record.handshake);
        if let (Some(record), Some(access)) = (requests, &self.log) {
            record.write(CLIENT_CLOSED_REQUEST, Some(0), access);
        }
    }

    /// The response has ended, whether it is whole or not.
    pub(super) fn log_end(&self, noted: Option<Box<OwnedRecord>>, exchange: &Exchange) {
        let (Some(record), Some(access)) = (noted, &self.log) else {
            return;
        };
        if let Some(status) = record.status {
            let bytes = exchange.body_length();
            record.write(status, Some(bytes), access);
        }
    }
}

impl OwnedRecord {
    fn client(&self) -> &dyn std::fmt::Display {
        match (&self.proxied, &self.client) {
            (Some(client), _) => client,
            (None, Some(client)) => client,
            (None, None) => &"",
        }
    }

    /// Uvicorn's two lines about a handshake; they are no access lines, and go to stderr.
    fn log(&self, status: u16) {
        let (client, target) = (self.client(), telemetry::printable(&self.target));
        let accepted = match self.version {
            // RFC 8441 section 5
            Version::Http2 => 200,
            Version::Http10 | Version::Http11 => 101,
        };
        if status == accepted {
            tracing::info!("{client} - \"WebSocket {target}\" [accepted]");
            tracing::info!("connection open");
        } else {
            let phrase = reason_phrase(i64::from(status));
            tracing::info!("{client} - \"WebSocket {target}\" {status}");
            tracing::info!("connection rejected ({status} {phrase})");
        }
    }

    fn write(&self, status: u16, bytes: Option<u64>, access: &AccessLog) {
        access.record(&AccessLine {
            client: self.client(),
            method: &self.method,
            target: &self.target,
            version: self.version.name(),
            status,
            duration: Some(self.started.elapsed()),
            bytes,
            headers: &self.headers,
            request_id: self.request_id.as_deref(),
            traceparent: self.traceparent.as_deref(),
        });
    }
}
