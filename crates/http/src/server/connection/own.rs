//! Reading a request body straight to where the application receives it from.
//!
//! The application receives an object of its own language, whose size can't be changed once it is made.
//! So the kernel is asked how much there is before an object of that size is made: a system call that
//! costs less than copying the bytes that the next one reads.

use std::task::{Context, Poll};

use super::Connection;
use super::run::Run;
use crate::own_body::OwnBody;
use crate::server::application::Application;
use crate::server::exchange::READ_HIGH_WATER;
use crate::server::stream::Stream;

/// From so many bytes on that is worth a system call; less is copied from the read buffer.
const OWN_FROM: usize = 8 * 1024;

impl<A: Application> Connection<'_, A> {
    /// Reads the next part of a body of which nothing waits to be received. Says whether there was
    /// enough for that.
    pub(super) fn fill_own(&mut self, cx: &mut Context<'_>, run: &mut Run) -> bool {
        let left = run.body.plain_bytes();
        let stream = &mut self.stream;
        let own = read(&self.server.application, cx, stream, &[], left);
        let found = own.is_some();
        if let Some(own) = own {
            run.exchange.arrived_in(&mut run.body, own);
        }
        found
    }
}

/// Makes one part of the bytes in `begun` and of those that can be read now, if reading is worth it. `left`
/// bytes are missing, including those in `begun`.
///
/// A part has at most as much as may wait to be received. Larger ones were tried: they take fewer
/// system calls and more time, as their memory does not stay in the processor's cache.
pub(super) fn read<A: Application>(
    application: &A,
    cx: &mut Context<'_>,
    stream: &mut Stream,
    begun: &[u8],
    left: u64,
) -> Option<OwnBody> {
    let Stream::Plain(socket) = stream else {
        return None;
    };
    let most = usize::try_from(left).map_or(READ_HIGH_WATER, |left| left.min(READ_HIGH_WATER));
    if most < begun.len() + OWN_FROM {
        return None;
    }
    let Poll::Ready(Ok(readable)) = socket.poll_readable_bytes(cx) else {
        return None;
    };
    let readable = usize::try_from(readable).unwrap_or(usize::MAX);
    let size = begun.len().saturating_add(readable).min(most);
    if size < begun.len() + OWN_FROM {
        return None;
    }
    let own = application.own_body(size, &mut |buffer| {
        buffer.put_slice(begun);
        // An error, or missing data, is met again by the next read.
        let _ = socket.poll_read_into(cx, buffer);
    });
    own.filter(|own| own.length > begun.len())
}
