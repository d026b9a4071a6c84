//! The beginning of a request: its head is taken apart, and its application called.

use std::future::poll_fn;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::run::Run;
use super::{Connection, own};
use crate::peers::Peers;
use crate::server::admission::under_id;
use crate::server::application::Application;
use crate::server::body::{BodyDecoder, BodyRefused};
use crate::server::counted::Counted;
use crate::server::head::{self, RequestHead};
use crate::server::shared::Shared;
use crate::server::stream::Stream;
use crate::server::websocket::{self, Asked, Opening};

impl<A: Application> Connection<'_, A> {
    /// Starts the application in its turn; an answer that is there at once may be written afterwards.
    pub(super) async fn begin(&mut self, range: Range<usize>) -> Result<Box<Run>, head::Refused> {
        let server = self.server;
        if server.turn.should_wait() {
            self.settle();
            server.turn.wait().await;
        }
        let place = server.turn.enter();
        let run = poll_fn(|cx| Poll::Ready(self.start(cx, range.clone()))).await?;
        if run.exchange.is_complete() && place.should_hold() {
            self.settle();
            if server.buffers.is_empty() {
                run.exchange.settle(&server.buffers);
            }
            place.hold().await;
        }
        Ok(run)
    }

    /// Parses the head, decodes what has come of the body, and starts the application.
    fn start(
        &mut self,
        cx: &mut Context<'_>,
        range: Range<usize>,
    ) -> Result<Box<Run>, head::Refused> {
        let end = range.end;
        let unused = self.input.unused();
        let begun = &unused[end..];
        let beginning = Beginning {
            server: self.server,
            stream: &mut self.stream,
            peers: &self.peers,
            application: &mut self.application,
            started: self.server.clock(),
            root: self.root,
        };
        let limits = self.server.limits.head;
        let (run, consumed) = head::parse(&unused[range], limits, |head| {
            beginning.name(cx, head, begun)
        })?;
        self.input.consume(end + consumed);
        Ok(run)
    }
}

/// The parts that a request begins with, besides its head and the bytes behind that.
struct Beginning<'a, A: Application> {
    server: &'a Shared<A>,
    stream: &'a mut Stream,
    peers: &'a Peers,
    application: &'a mut Option<A::Connection>,
    /// When the request was there, if the access log or the counters want to know.
    started: Option<Instant>,
    /// Bytes of the path at which the application is mounted.
    root: usize,
}

/// The request that has begun, and how many of the bytes behind the head belong to it. Boxed, since it goes
/// through several functions: copying it each time took 2 % of a small request's instructions.
type Begun = (Box<Run>, usize);

impl<A: Application> Beginning<'_, A> {
    /// Sets the client's address from proxies' fields and the request's id, and begins the request.
    fn name(self, cx: &mut Context<'_>, head: &mut RequestHead<'_>, behind: &[u8]) -> Begun {
        head.root = self.root.min(head.path.len());
        self.server.see_through(self.peers, head);
        let id = self.server.id_of(head);
        under_id(head, id.as_deref(), |head| {
            self.open(cx, head, id.clone(), behind)
        })
    }

    fn open(
        mut self,
        cx: &mut Context<'_>,
        head: &RequestHead<'_>,
        id: Option<Box<[u8]>>,
        behind: &[u8],
    ) -> Begun {
        let server = self.server;
        let counted = Counted::among(&server.in_flight);
        let exchange = server.exchange(head, id);
        let mut run = Box::new(Run::new(exchange, counted, head.expects_continue));
        server.tell_in_flight();
        run.measured = server.measured(head, self.started);
        if let Some(limit) = server.limits.request {
            run.due.begun(Some(Instant::now() + limit));
        }
        let consumed = match self.receive(cx, head, behind, &mut run) {
            Ok(consumed) => {
                self.answer(head, &mut run);
                consumed
            }
            Err(refused) => {
                run.break_off(refused);
                0
            }
        };
        run.record = server
            .access
            .note(head, self.peers.client, self.started, run.handshake);
        (run, consumed)
    }

    /// Takes what has come of the body.
    fn receive(
        &mut self,
        cx: &mut Context<'_>,
        head: &RequestHead<'_>,
        behind: &[u8],
        run: &mut Run,
    ) -> Result<usize, BodyRefused> {
        run.body = BodyDecoder::new(head.body, self.server.limits.body)?;
        let left = run.body.plain_bytes();
        if left > behind.len() as u64 && !head.expects_continue {
            // An application that is started with all that has arrived need not be woken for it.
            let application = &self.server.application;
            if let Some(own) = own::read(application, cx, self.stream, behind, left) {
                run.exchange.arrived_in(&mut run.body, own);
                return Ok(behind.len());
            }
        }
        run.exchange.arrived(&mut run.body, behind)
    }

    /// Answers the request, or calls the application that does.
    fn answer(&mut self, head: &RequestHead<'_>, run: &mut Run) {
        let server = self.server;
        if server.admit(head, false, &run.exchange) {
            let connect = || server.connect(self.peers, self.stream);
            let application = self.application.get_or_insert_with(connect);
            server.hand(application, head, run);
        }
    }
}

impl<A: Application> Shared<A> {
    /// Starts the application on a request.
    fn hand(&self, application: &A::Connection, head: &RequestHead<'_>, run: &mut Run) {
        if head.upgrade {
            self.upgrade(application, head, run);
        } else {
            let exchange = Arc::clone(&run.exchange);
            self.application.request(application, head, exchange);
        }
    }

    /// Starts it on one that asks for another protocol.
    fn upgrade(&self, application: &A::Connection, head: &RequestHead<'_>, run: &mut Run) {
        let takes = self.application.takes_websockets();
        let settings = self.websockets.as_ref().filter(|_| takes);
        let asked = settings.map(|s| websocket::examine(head, s.per_message_deflate));
        let exchange = Arc::clone(&run.exchange);
        run.handshake = !matches!(asked, Some(Asked::Other) | None);
        match asked {
            Some(Asked::WebSocket(handshake)) => {
                let opening = Opening {
                    exchange,
                    handshake,
                };
                run.conversation = Some(self.converse(application, head, opening));
            }
            Some(Asked::Refused(status, why)) => exchange.refuse(status, why),
            Some(Asked::Other) | None => {
                tracing::warn!("Unsupported upgrade request.");
                self.application.request(application, head, exchange);
            }
        }
    }
}
