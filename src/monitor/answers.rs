//! The answers of the status server.

use std::rc::Rc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::time::sleep;

use super::events::{Answer, Events};
use super::exposition::Format;
use super::metrics;
use super::orders::Order;
use super::view::Monitor;
use crate::operator::{self, Serving};

/// The longest turn of the supervisor's loop; it never waits for anything.
const LIVE_WITHIN: Duration = Duration::from_secs(2);

/// The pause between two looks at it. The first mostly suffices.
const LOOK: Duration = Duration::from_millis(1);

const PAGE: &str = include_str!("page.html");

const NOWHERE: &str =
    "there is no such page; there are / /metrics /livez /readyz /startupz /status /events\n";

const TEXT: &str = "text/plain; charset=utf-8";

/// No script or image of others, and no frame around the page.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      connect-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'";

type Reply = Response<Answer>;

impl Monitor {
    /// Answers a request.
    pub(super) async fn answer(self: Rc<Self>, request: Request<Incoming>) -> Reply {
        let (method, path) = (request.method(), request.uri().path());
        let is_reading = matches!(*method, Method::GET | Method::HEAD);
        if path.starts_with("/control/") {
            return self.control(&request);
        }
        if !is_reading {
            let mut reply = plain(StatusCode::METHOD_NOT_ALLOWED, "GET only\n");
            reply
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return reply;
        }
        match path {
            "/" => page(),
            "/livez" => verdict(self.lives().await),
            "/readyz" => verdict(self.is_ready()),
            "/startupz" => verdict(self.has_started()),
            "/metrics" => self.metrics(&request),
            "/status" => json(self.status()),
            "/events" => self.events(),
            _ => plain(StatusCode::NOT_FOUND, NOWHERE),
        }
    }

    /// Whether the supervisor's loop runs, and no worker is stalled.
    async fn lives(&self) -> Result<(), String> {
        let before = self.board.turns();
        self.orderer.give(Order::Turn);
        let mut waited = Duration::ZERO;
        while self.board.turns() == before {
            if waited >= LIVE_WITHIN {
                return Err("the supervisor's loop is blocked".to_owned());
            }
            sleep(LOOK).await;
            waited += LOOK;
        }
        let mut stalled = Vec::new();
        let published = self.board.published();
        for tally in published.iter().flat_map(|own| &own.tallies) {
            let counted = tally.counted();
            let live = counted.live.iter().filter(|live| live.is_stalled);
            stalled.extend(live.filter_map(|live| live.pid).map(|pid| pid.to_string()));
        }
        if stalled.is_empty() {
            return Ok(());
        }
        Err(format!("stalled: worker {}", stalled.join(", ")))
    }

    /// Whether every application has a worker that is ready.
    fn is_ready(&self) -> Result<(), String> {
        self.published()?.status.readiness()
    }

    fn has_started(&self) -> Result<(), String> {
        let published = self.published()?;
        let mut starting = published.status.applications.iter();
        match starting.find(|application| application.state == Serving::Starting) {
            Some(application) => Err(format!("{} is starting", application.name)),
            None => Ok(()),
        }
    }

    fn metrics(&self, request: &Request<Incoming>) -> Reply {
        let accept = request.headers().get(ACCEPT);
        let accept = accept.and_then(|accept| accept.to_str().ok());
        let format = Format::accepted(accept.unwrap_or_default());
        match self.published() {
            Ok(published) => {
                let text = metrics::text(&published, &self.samples, format);
                whole(StatusCode::OK, format.content_type(), text)
            }
            Err(why) => plain(StatusCode::SERVICE_UNAVAILABLE, &format!("{why}\n")),
        }
    }

    /// Recycles, adds or removes workers, if the request has the token.
    fn control(&self, request: &Request<Incoming>) -> Reply {
        let Some(token) = &self.token else {
            return plain(StatusCode::FORBIDDEN, "started without --status-control\n");
        };
        if *request.method() != Method::POST {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "POST only\n");
        }
        let shown = request.headers().get(AUTHORIZATION);
        let shown = shown.and_then(|shown| shown.as_bytes().strip_prefix(b"Bearer "));
        if !shown.is_some_and(|shown| is_same(shown, token.as_bytes())) {
            let mut reply = plain(StatusCode::UNAUTHORIZED, "the token is wrong\n");
            let asked = HeaderValue::from_static("Bearer");
            reply.headers_mut().insert("www-authenticate", asked);
            return reply;
        }
        match self.order(request.uri().path()) {
            Some(order) => {
                self.orderer.give(order);
                plain(StatusCode::ACCEPTED, "done\n")
            }
            None => plain(StatusCode::NOT_FOUND, "there is no such order\n"),
        }
    }

    /// The order of a path, if its subject exists.
    fn order(&self, path: &str) -> Option<Order> {
        let published = self.board.published()?;
        let status = &published.status;
        match path {
            "/control/recycle" => return Some(Order::Recycle),
            "/control/workers/more" if !status.is_fleet => return Some(Order::Grow),
            "/control/workers/fewer" if !status.is_fleet => return Some(Order::Shrink),
            _ => {}
        }
        let (name, word) = path.strip_prefix("/control/apps/")?.split_once('/')?;
        let is_served = status.applications.iter().any(|own| own.name == name);
        let order = operator::Order::named(word).filter(|_| status.is_fleet && is_served)?;
        Some(Order::Application(name.to_owned(), order))
    }

    fn events(self: Rc<Self>) -> Reply {
        let mut reply = Response::new(Answer::Events(Events::new(self)));
        let fields = reply.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        reply
    }
}

/// Compares without telling by the time how much was right.
fn is_same(shown: &[u8], token: &[u8]) -> bool {
    let differs = |(a, b): (&u8, &u8)| a ^ b;
    let difference = shown.iter().zip(token).map(differs);
    shown.len() == token.len() && difference.fold(0, |all, one| all | one) == 0
}

fn verdict(said: Result<(), String>) -> Reply {
    match said {
        Ok(()) => plain(StatusCode::OK, "ok\n"),
        Err(why) => plain(StatusCode::SERVICE_UNAVAILABLE, &format!("{why}\n")),
    }
}

fn plain(status: StatusCode, text: &str) -> Reply {
    whole(status, TEXT, text.to_owned())
}

fn json(text: String) -> Reply {
    whole(StatusCode::OK, "application/json", text)
}

fn page() -> Reply {
    let mut reply = Response::new(Answer::Whole(Full::new(Bytes::from_static(
        PAGE.as_bytes(),
    ))));
    let fields = reply.headers_mut();
    fields.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    fields.insert("content-security-policy", HeaderValue::from_static(POLICY));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

fn whole(status: StatusCode, kind: &'static str, text: String) -> Reply {
    let mut reply = Response::new(Answer::Whole(Full::new(Bytes::from(text))));
    *reply.status_mut() = status;
    let fields = reply.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_right_or_wrong() {
        assert!(is_same(b"secret", b"secret"));
        for wrong in [&b"secreT"[..], b"secre", b"secrets", b""] {
            assert!(!is_same(wrong, b"secret"));
        }
    }

    #[test]
    fn the_page_is_small_and_needs_nothing_else() {
        assert!(PAGE.len() <= 40_000, "{}", PAGE.len());
        for external in ["src=\"http", "href=\"http", "url(", "@import"] {
            assert!(!PAGE.contains(external), "{external}");
        }
    }
}
