//! Bodies of answers: text that is there, and server-sent events.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::view::Monitor;

/// Between two events. A page shows what has happened within two seconds.
const EVERY: Duration = Duration::from_secs(2);

/// An answer's body.
pub enum Answer {
    /// All of it.
    Whole(Full<Bytes>),
    /// The page's events.
    Events(Events),
}

/// Everything that the page shows, again and again.
pub struct Events {
    monitor: Rc<Monitor>,
    ticks: Interval,
}

impl Events {
    /// The first event is there at once.
    pub fn new(monitor: Rc<Monitor>) -> Self {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { monitor, ticks }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(cx),
            Self::Events(events) => events.ticks.poll_tick(cx).map(|_| {
                events.monitor.rest.used();
                let event = format!("data: {}\n\n", events.monitor.everything());
                Some(Ok(Frame::data(Bytes::from(event))))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Events(_) => SizeHint::default(),
        }
    }
}
