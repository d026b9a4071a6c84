//! HTTP/2 (RFC 9113), and WebSockets over it (RFC 8441).
//!
//! One task for a connection: it reads what is there, takes all frames of it, starts the requests and
//! answers those that can be answered, and writes all of that at once. `protocol` and `hpack` are the
//! protocol as values without I/O; `head` is between fields and what the rest of the server calls a
//! request. What streams share with HTTP/1.1 is everything behind the
//! [`Exchange`](super::exchange::Exchange).

mod cycle;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod head;
pub(super) mod protocol;
mod requests;
mod session;
mod tunnel;
mod waiting;

use std::future::poll_fn;
use std::rc::Rc;

use super::between_requests::Resting;
use super::connections::Guard;
use super::shared::Shared;
use crate::server::application::Application;
use crate::tasks;
use session::{Session, Step};

/// Serves a connection in a task of its own until it ends. `resting.input` is what has been read of
/// it.
pub(super) fn begin<A: Application>(server: Rc<Shared<A>>, guard: Guard, resting: Resting) {
    tasks::spawn(serve(server, guard, resting));
}

async fn serve<A: Application>(server: Rc<Shared<A>>, guard: Guard, resting: Resting) {
    let mut session = Session::new(Rc::clone(&server), Rc::clone(&guard.entry), resting);
    loop {
        match poll_fn(|cx| session.poll(cx, &server.turn)).await {
            Step::Wait => server.turn.wait().await,
            Step::Hold(place) => place.hold().await,
            Step::End => break,
        }
    }
    let mut stream = session.into_stream();
    server.end(&guard.entry, &mut stream).await;
}
