//! Idle keep-alive connections, held as bare descriptors.
//!
//! A connection that has been idle for a moment gives up its task, its place in tokio and its
//! buffers; only its descriptor, in an epoll instance of the parking lot, and its addresses are kept.
//! It becomes a task again when its client sends something, or ends it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use tokio::io::unix::AsyncFd;

use super::tls::Session;
use crate::peers::Peers;
use lowmem_base::sys::watch;

/// Connections taken out in one go before others get their turn.
const BATCH: usize = 64;

/// The number of obsolete deadlines below which a look at all deadlines is not worth it.
const LEAST_FORGOTTEN: usize = 64;

/// A deadline, and the place that it is about.
type Order = VecDeque<(Instant, u32)>;

/// A connection that waits for its client.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) socket: OwnedFd,
    pub(super) peers: Peers,
    /// When it has been idle for too long.
    pub(super) deadline: Instant,
    /// Its TLS session.
    pub(super) session: Option<Box<Session>>,
}

impl Parked {
    /// Closes it, properly where the protocol asks for words.
    pub(super) fn close(self) {
        if let Some(mut session) = self.session {
            // A socket whose buffer is full, or whose peer is gone, misses nothing.
            let _ = rustix::io::write(&self.socket, session.farewell());
        }
    }
}

/// All parked connections.
#[derive(Debug)]
pub(super) struct Lot {
    ready: AsyncFd<OwnedFd>,
    places: RefCell<Vec<Option<Parked>>>,
    free: RefCell<Vec<u32>>,
    /// Deadlines in their order, which is that of parking; the place may be another's by then.
    order: RefCell<Order>,
    count: Cell<usize>,
}

impl Lot {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            ready: watch::for_input(epoll::create(epoll::CreateFlags::CLOEXEC)?)?,
            places: RefCell::default(),
            free: RefCell::default(),
            order: RefCell::default(),
            count: Cell::new(0),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.count.get()
    }

    /// Parks a connection. It is closed if the kernel can't watch it.
    pub(super) fn park(&self, parked: Parked) {
        let mut places = self.places.borrow_mut();
        let place = match self.free.borrow_mut().pop() {
            Some(place) => place,
            None => {
                places.push(None);
                // 2^32 descriptors are more than a process can have.
                u32::try_from(places.len() - 1).unwrap_or(u32::MAX)
            }
        };
        let data = epoll::EventData::new_u64(u64::from(place));
        let flags = epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ONESHOT;
        if let Err(error) = epoll::add(self.ready.get_ref(), &parked.socket, data, flags) {
            tracing::error!("Cannot watch an idle connection: {error}");
            self.free.borrow_mut().push(place);
            return;
        }
        self.order.borrow_mut().push_back((parked.deadline, place));
        places[place as usize] = Some(parked);
        self.count.set(self.count.get() + 1);
        drop(places);
        self.forget_woken();
    }

    /// Waits for connections whose clients have sent something, or gone.
    pub(super) async fn woken(&self) -> io::Result<Vec<Parked>> {
        loop {
            let mut ready = self.ready.readable().await?;
            let mut events = Vec::with_capacity(BATCH);
            let now = Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            epoll::wait(
                self.ready.get_ref(),
                spare_capacity(&mut events),
                Some(&now),
            )?;
            if events.is_empty() {
                ready.clear_ready();
                continue;
            }
            let places = events.iter().map(|event| event.data.u64());
            return Ok(places.filter_map(|place| self.take(place)).collect());
        }
    }

    /// Takes out what has been idle for too long; it is closed when dropped.
    pub(super) fn expired(&self, now: Instant) -> Vec<Parked> {
        let mut expired = Vec::new();
        let mut order = self.order.borrow_mut();
        while let Some((deadline, place)) = order.front().copied()
            && deadline <= now
        {
            order.pop_front();
            if self.is_parked(deadline, place) {
                expired.extend(self.take(u64::from(place)));
            }
        }
        self.shrink(&mut order);
        expired
    }

    /// Closes the connection that has been idle for the longest time; says whether there was one.
    pub(super) fn evict(&self) -> bool {
        let mut order = self.order.borrow_mut();
        while let Some((deadline, place)) = order.pop_front() {
            if self.is_parked(deadline, place) {
                let evicted = self.take(u64::from(place));
                self.shrink(&mut order);
                return evicted.is_some();
            }
        }
        false
    }

    /// Takes all connections out.
    pub(super) fn clear(&self) -> Vec<Parked> {
        let count = self.places.borrow().len() as u64;
        let all = (0..count).filter_map(|place| self.take(place)).collect();
        let mut order = self.order.borrow_mut();
        order.clear();
        self.shrink(&mut order);
        all
    }

    fn take(&self, place: u64) -> Option<Parked> {
        let index = usize::try_from(place).ok()?;
        let parked = self.places.borrow_mut().get_mut(index)?.take()?;
        self.count.set(self.count.get() - 1);
        self.free.borrow_mut().push(u32::try_from(place).ok()?);
        // The descriptor may live on in tokio or another process: it leaves this instance now.
        if let Err(error) = epoll::delete(self.ready.get_ref(), parked.socket.as_fd()) {
            tracing::error!("Cannot forget an idle connection: {error}");
        }
        Some(parked)
    }

    /// Whether the connection that was parked with this deadline is still in its place.
    fn is_parked(&self, deadline: Instant, place: u32) -> bool {
        let places = self.places.borrow();
        let parked = places.get(place as usize).and_then(Option::as_ref);
        parked.is_some_and(|parked| parked.deadline == deadline)
    }

    /// Connections that come and go leave deadlines behind, each until it has passed. Once those are
    /// the most of the list they are taken out: it grows with the connections, and not with their
    /// requests.
    fn forget_woken(&self) {
        let mut order = self.order.borrow_mut();
        if order.len() >= 2 * self.count.get() + LEAST_FORGOTTEN {
            order.retain(|(deadline, place)| self.is_parked(*deadline, *place));
        }
    }

    /// After a burst, the lists go back to the allocator.
    fn shrink(&self, order: &mut Order) {
        if self.count.get() == 0 {
            *self.places.borrow_mut() = Vec::new();
            *self.free.borrow_mut() = Vec::new();
            *order = Order::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;
    use crate::peers::ServerAddress;

    /// Runs `then` with an empty lot, in the runtime's context.
    fn with_lot(then: impl FnOnce(&Lot)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .unwrap();
        let _context = runtime.enter();
        then(&Lot::new().unwrap());
    }

    fn park(lot: &Lot, deadline: Instant) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().unwrap();
        lot.park(Parked {
            socket: ours.into(),
            peers: Peers {
                client: None,
                server: ServerAddress::Tcp((Ipv4Addr::LOCALHOST, 80).into()),
                routed: false,
            },
            deadline,
            session: None,
        });
        theirs
    }

    #[test]
    fn only_those_whose_time_is_up_are_taken_out() {
        with_lot(|lot| {
            let now = Instant::now();
            let seconds = |n| now + Duration::from_secs(n);
            let _clients: Vec<_> = (0..4).map(|n| park(lot, seconds(n))).collect();
            assert_eq!(lot.expired(seconds(1)).len(), 2);
            assert!(lot.evict());
            assert_eq!(lot.len(), 1);
            assert_eq!(lot.clear().len(), 1);
            assert!(!lot.evict() && lot.len() == 0);
        });
    }

    #[test]
    fn a_deadline_is_not_that_of_the_next_connection_in_its_place() {
        with_lot(|lot| {
            let now = Instant::now();
            let _first = park(lot, now);
            assert!(lot.take(0).is_some());
            let _second = park(lot, now + Duration::from_secs(9));
            assert!(lot.expired(now).is_empty());
            assert_eq!(lot.len(), 1);
        });
    }

    #[test]
    fn who_comes_and_goes_leaves_nothing_behind() {
        with_lot(|lot| {
            let start = Instant::now();
            let _stays = park(lot, start);
            for n in 1..10_000 {
                let _comes = park(lot, start + Duration::from_millis(n));
                assert!(lot.take(1).is_some());
                assert!(lot.order.borrow().len() <= 2 * 2 + LEAST_FORGOTTEN);
            }
            assert_eq!(lot.expired(start).len(), 1);
        });
    }
}
