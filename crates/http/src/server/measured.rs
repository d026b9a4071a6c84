//! Counting requests, where the worker has a page for it.

use std::time::Instant;

use super::application::Application;
use super::head::RequestHead;
use super::shared::Shared;
use crate::asgi::http::Version;
use lowmem_base::counters::{self, Key};

/// A request that is counted when it has been answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    started: Instant,
    key: Key,
}

impl Measured {
    /// The response has started.
    pub(super) fn set_status(&mut self, status: u16) {
        self.key = self.key.with_status(status);
    }
}

impl<A: Application> Shared<A> {
    /// When a request began, if the access log or the counters want to know.
    pub(super) fn clock(&self) -> Option<Instant> {
        let read = || self.page.map(|_| Instant::now());
        self.access.clock().or_else(read)
    }

    /// Begins to count a request, if this worker counts. Without a response it has no status.
    pub(super) fn measured(
        &self,
        head: &RequestHead<'_>,
        started: Option<Instant>,
    ) -> Option<Measured> {
        self.page?;
        Some(Measured {
            started: started?,
            key: Key::new(head.method, 0, version(head.version), self.tls.is_some()),
        })
    }

    /// Counts the response. Returns the time that it read from the clock.
    pub(super) fn has_answered(&self, measured: Option<Measured>) -> Option<Instant> {
        let (page, measured) = (self.page?, measured?);
        let now = Instant::now();
        page.answered(measured.key, now - measured.started);
        page.used(now - self.counts_since);
        Some(now)
    }

    /// Says how many requests are being answered. Not only before the worker waits: it may hang in one.
    pub(super) fn tell_in_flight(&self) {
        if let Some(page) = self.page {
            counters::set(&page.now.active_requests, self.in_flight.get());
        }
    }
}

fn version(version: Version) -> usize {
    match version {
        Version::Http10 => 0,
        Version::Http11 => 1,
        Version::Http2 => 2,
    }
}
