//! What the access log wants to know of a request.

use std::net::SocketAddr;
use std::time::Instant;

use super::run::Run;
use crate::telemetry::{self, AccessLine, AccessLog};
use crate::worker::application::Application;
use crate::worker::server::{Client, RequestHead, Server, request_id, response};

/// The part of an access record that outlives the read buffer.
pub(super) struct OwnedRecord {
    client: Option<SocketAddr>,
    /// The client behind a proxy, which counts instead.
    proxied: Option<Client>,
    method: String,
    target: Vec<u8>,
    http10: bool,
    /// It is told as a WebSocket's handshake.
    handshake: bool,
    started: Instant,
    /// The fields that the log's format names.
    headers: Vec<Option<Box<[u8]>>>,
    request_id: Option<Box<[u8]>>,
    /// The response's, while the line waits for its end.
    status: Option<u16>,
}

impl<A: Application> Server<A> {
    /// When a request began, if the access log wants to know.
    pub(super) fn clock(&self) -> Option<Instant> {
        self.access.as_ref().map(|_| Instant::now())
    }

    /// Keeps what the log will want of a request that began at `started`.
    pub(super) fn note(
        &self,
        head: &RequestHead<'_>,
        client: Option<SocketAddr>,
        started: Option<Instant>,
        run: &mut Run,
    ) {
        if self.access.is_none() && !run.handshake {
            return;
        }
        let mut target = head.path.to_vec();
        if !head.query.is_empty() {
            target.push(b'?');
            target.extend_from_slice(head.query);
        }
        let shown = |name: &str| head.header(name).map(Box::from);
        let headers = match &self.access {
            Some(access) => access.borrow().format().headers().map(shown).collect(),
            None => Vec::new(),
        };
        let record = OwnedRecord {
            client,
            proxied: head.forwarded.as_ref().and_then(|f| f.client.clone()),
            method: head.method.to_owned(),
            target,
            http10: head.http10,
            handshake: run.handshake,
            started: started.unwrap_or_else(Instant::now),
            headers,
            request_id: shown(request_id::NAME),
            status: None,
        };
        run.record = Some(Box::new(record));
    }

    /// The response has started.
    pub(super) fn log(&self, run: &mut Run, status: u16) {
        if let Some(handshake) = run.record.take_if(|record| record.handshake) {
            return log_handshake(handshake.client(), &handshake.target, status);
        }
        let (Some(record), Some(access)) = (&mut run.record, &self.access) else {
            return;
        };
        if access.borrow().format().waits_for_end() {
            record.status = Some(status);
        } else if let Some(record) = run.record.take() {
            record.write(status, None, &mut access.borrow_mut());
        }
    }

    /// The response has ended, whether it is whole or not.
    pub(super) fn log_end(&self, run: &mut Run) {
        let (Some(record), Some(access)) = (run.record.take(), &self.access) else {
            return;
        };
        if let Some(status) = record.status {
            let bytes = run.exchange.body_length();
            record.write(status, Some(bytes), &mut access.borrow_mut());
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

    fn write(&self, status: u16, bytes: Option<u64>, access: &mut AccessLog) {
        access.record(&AccessLine {
            client: self.client(),
            method: &self.method,
            target: &self.target,
            version: if self.http10 { "1.0" } else { "1.1" },
            status,
            duration: Some(self.started.elapsed()),
            bytes,
            headers: &self.headers,
            request_id: self.request_id.as_deref(),
        });
    }
}

/// Uvicorn's two lines about a handshake; they are no access lines, and go to stderr.
fn log_handshake(client: &dyn std::fmt::Display, target: &[u8], status: u16) {
    let target = telemetry::printable(target);
    if status == 101 {
        tracing::info!("{client} - \"WebSocket {target}\" [accepted]");
        tracing::info!("connection open");
    } else {
        let phrase = response::reason_phrase(i64::from(status));
        tracing::info!("{client} - \"WebSocket {target}\" {status}");
        tracing::info!("connection rejected ({status} {phrase})");
    }
}
