//! One HTTP/1.1 connection: heads in, responses out, one request after the other.

mod body;
mod closing;
mod due;
mod input;
mod next;
mod output;
mod own;
mod run;
mod start;
mod time;
mod whose;

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::between_requests::Resting;
use super::connections::{Entry, Guard};
use super::exchange::Ending;
use super::head;
use super::shared::Shared;
use super::stream::Stream;
use super::websocket::{Conversation, Session};
use crate::peers::Peers;
use crate::server::application::Application;
use input::Input;
use lowmem_base::config::HttpVersions;
use next::Next;
use whose::Whose;

/// The connection after its requests.
pub(super) enum Left {
    /// Nothing: it has ended.
    Nothing,
    /// A connection that has nothing to do here.
    Rest(Resting),
    /// A connection whose next request is another application's.
    Elsewhere(Resting),
    /// A connection whose client knew that this server speaks HTTP/2.
    Http2(Resting),
    /// A WebSocket.
    WebSocket(Box<Session>),
}

/// Serves requests until the connection ends, or has nothing to do here.
pub(super) async fn converse<A: Application>(
    server: &Rc<Shared<A>>,
    guard: Guard,
    resting: Resting,
) -> Left {
    let mut connection = Connection {
        server,
        entry: Rc::clone(&guard.entry),
        stream: resting.stream,
        input: Input::from(resting.input),
        peers: resting.peers,
        application: None,
        since: Instant::now(),
        answered: None,
        fresh: resting.fresh,
        decided: resting.decided,
        root: 0,
        upgraded: None,
        guard,
    };
    loop {
        let next = match connection.next_head().await {
            Next::Head(range) if connection.is_http2(&range) => {
                return Left::Http2(connection.into_resting());
            }
            Next::Head(range) => match connection.whose(&range) {
                Whose::Own => connection.request(range).await,
                Whose::Others => return Left::Elsewhere(connection.into_resting()),
                Whose::Misdirected => connection.refuse(head::Refused::Misdirected).await,
            },
            Next::Refused(refused) => connection.refuse(refused).await,
            Next::Rest => return Left::Rest(connection.into_resting()),
            Next::End => {
                connection.stream.farewell();
                return Left::Nothing;
            }
        };
        match next {
            Ending::KeepAlive => {}
            Ending::Close => {
                server.end(&connection.entry, &mut connection.stream).await;
                return Left::Nothing;
            }
            Ending::Cut => return Left::Nothing,
            Ending::Upgrade => return connection.into_session(),
        }
    }
}

struct Connection<'a, A: Application> {
    server: &'a Shared<A>,
    entry: Rc<Entry>,
    stream: Stream,
    input: Input,
    peers: Peers,
    application: Option<A::Connection>,
    /// Start of the current wait for a head.
    since: Instant,
    /// When the last response was written, if the clock was read for it.
    answered: Option<Instant>,
    /// No request has been read yet.
    fresh: bool,
    /// The router has decided whose the next request is.
    decided: bool,
    /// Bytes of the request's path at which the application is mounted.
    root: usize,
    /// The WebSocket that it has become.
    upgraded: Option<Arc<Conversation>>,
    guard: Guard,
}

impl<A: Application> Connection<'_, A> {
    /// Whether the first head is no request but the beginning of HTTP/2.
    fn is_http2(&self, head: &Range<usize>) -> bool {
        self.fresh
            && self.server.versions == HttpVersions::Auto
            && &self.input.unused()[head.clone()] == head::PREFACE
    }

    fn into_resting(self) -> Resting {
        let input = self.input.unused().to_vec();
        Resting {
            stream: self.stream,
            peers: self.peers,
            input,
            fresh: self.fresh,
            decided: self.decided,
            idle_until: Some(self.since + self.server.limits.keep_alive),
        }
    }

    fn into_session(self) -> Left {
        let (Some(conversation), Some(settings)) = (self.upgraded, &self.server.websockets) else {
            return Left::Nothing;
        };
        Left::WebSocket(Box::new(Session::new(
            Box::new(self.stream),
            self.guard,
            Rc::clone(&self.server.buffers),
            (conversation, settings),
            self.input.unused().to_vec(),
        )))
    }
}
