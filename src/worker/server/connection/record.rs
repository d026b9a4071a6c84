//! What the access log wants to know of a request.

use std::cell::RefMut;
use std::net::SocketAddr;
use std::time::Instant;

use super::run::Run;
use crate::telemetry::{self, AccessLine, AccessLog};
use crate::worker::application::Application;
use crate::worker::server::{Client, RequestHead, Server, response};

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
}

impl<A: Application> Server<A> {
    /// Logs the response if it has started, or keeps what the log will want.
    pub(super) fn note(&self, head: &RequestHead<'_>, client: Option<SocketAddr>, run: &mut Run) {
        if self.access.is_none() && !run.handshake {
            return;
        }
        let mut target = head.path.to_vec();
        if !head.query.is_empty() {
            target.push(b'?');
            target.extend_from_slice(head.query);
        }
        let record = OwnedRecord {
            client,
            proxied: head.forwarded.as_ref().and_then(|f| f.client.clone()),
            method: head.method.to_owned(),
            target,
            http10: head.http10,
            handshake: run.handshake,
            started: Instant::now(),
        };
        run.record = Some(Box::new(record));
    }

    pub(super) fn log(&self, run: &mut Run, status: u16) {
        let Some(record) = run.record.take() else {
            return;
        };
        let client: &dyn std::fmt::Display = match (&record.proxied, &record.client) {
            (Some(client), _) => client,
            (None, Some(client)) => client,
            (None, None) => &"",
        };
        if record.handshake {
            return log_handshake(client, &record.target, status);
        }
        let Some(mut access) = self.access() else {
            return;
        };
        access.record(&AccessLine {
            client,
            method: &record.method,
            target: &record.target,
            version: if record.http10 { "1.0" } else { "1.1" },
            status,
            duration: Some(record.started.elapsed()),
            bytes: None,
        });
    }

    fn access(&self) -> Option<RefMut<'_, AccessLog>> {
        self.access.as_ref().map(std::cell::RefCell::borrow_mut)
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
