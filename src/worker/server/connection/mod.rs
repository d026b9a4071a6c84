//! One HTTP/1.1 connection: heads in, responses out, one request after the other.

mod closing;
mod input;
mod next;
mod record;
mod run;

use std::rc::Rc;
use std::time::Instant;

use super::Server;
use super::connections::{Entry, Guard};
use super::exchange::Ending;
use super::stream::Stream;
use crate::worker::application::{Application, Peers};
use input::Input;
use next::Next;

pub(super) use next::LAST_CALL;

/// A connection between two requests: new, woken, or handed over.
pub(super) struct Resting {
    pub(super) stream: Stream,
    pub(super) peers: Peers,
    /// What has been read of the next head.
    pub(super) input: Vec<u8>,
    /// No request has been read yet.
    pub(super) fresh: bool,
    /// When it will have been idle for too long, where that is known.
    pub(super) idle_until: Option<Instant>,
}

/// Serves one connection until it ends or rests.
pub(super) async fn serve<A: Application>(server: Rc<Server<A>>, resting: Resting) {
    if let Some(resting) = converse(&server, resting).await {
        server.rest(resting);
    }
}

/// Serves requests until the connection ends, or has nothing to do here.
async fn converse<A: Application>(server: &Rc<Server<A>>, resting: Resting) -> Option<Resting> {
    let guard = server.connections.add();
    let mut connection = Connection {
        server,
        entry: Rc::clone(&guard.entry),
        stream: resting.stream,
        input: Input::from(resting.input),
        peers: resting.peers,
        application: None,
        since: Instant::now(),
        fresh: resting.fresh,
        _guard: guard,
    };
    loop {
        let next = match connection.next_head().await {
            Next::Head(range) => connection.request(range).await,
            Next::Refused(refused) => connection.refuse(refused).await,
            Next::Rest => return Some(connection.into_resting()),
            Next::End => {
                connection.stream.farewell();
                return None;
            }
        };
        match next {
            Ending::KeepAlive => {}
            Ending::Close => {
                connection.linger().await;
                return None;
            }
            Ending::Cut => return None,
        }
    }
}

struct Connection<'a, A: Application> {
    server: &'a Server<A>,
    entry: Rc<Entry>,
    stream: Stream,
    input: Input,
    peers: Peers,
    application: Option<A::Connection>,
    /// Start of the current wait for a head.
    since: Instant,
    /// No request has been read yet.
    fresh: bool,
    _guard: Guard<'a>,
}

impl<A: Application> Connection<'_, A> {
    fn into_resting(self) -> Resting {
        let input = self.input.unused().to_vec();
        Resting {
            stream: self.stream,
            peers: self.peers,
            input,
            fresh: self.fresh,
            idle_until: Some(self.since + self.server.limits.keep_alive),
        }
    }
}
