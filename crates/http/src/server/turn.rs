//! Answers that are there at once are written together.
//!
//! Writing to a client that sleeps wakes it, which costs this side's processor several times what
//! the write itself does where both are on one machine, and leaves the application's code and data
//! cold. So an answer is *held* until the connections that were ready with its own have been
//! served: the first write wakes the client, and the others find it at work. The first answer after
//! the runtime has waited is written at once: often it is the only one, and if not, its client can go
//! to work.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::tasks;

/// A request that comes when an answer has been held for this long waits for the next turn. Clients of a
/// slow application would notice a longer time; with a fast one it is enough for many answers.
const PATIENCE: Duration = Duration::from_millis(1);

/// Answers held at once, at most: each has its buffers.
const MOST: usize = 32;

/// The state by which the connections of a worker write their answers together.
#[derive(Debug)]
pub(super) struct Turn {
    /// Answers that are held.
    held: Cell<usize>,
    /// When the first of them was there.
    since: Cell<Instant>,
    /// How many there have been since then, those that were written included.
    together: Cell<usize>,
    /// The runtime's turn in which the last answer was there, held or not.
    answered: Cell<Option<u64>>,
    /// Connections that wait until they are written.
    waiting: Cell<usize>,
    /// Those of them that have been called, and have not come yet.
    called: Cell<usize>,
    written: Notify,
    clock: fn() -> Instant,
}

/// A request that is being answered now: from before the application is called until it has been, or
/// until its answer is no longer held.
#[must_use]
pub(super) struct Place<'a>(&'a Turn);

impl Turn {
    pub(super) fn new(clock: fn() -> Instant) -> Self {
        Self {
            held: Cell::new(0),
            since: Cell::new(clock()),
            answered: Cell::new(None),
            together: Cell::new(0),
            waiting: Cell::new(0),
            called: Cell::new(0),
            written: Notify::new(),
            clock,
        }
    }

    /// Takes part in the turn: the application is called next.
    pub(super) fn enter(&self) -> Place<'_> {
        Place(self)
    }

    /// Waits for the next turn. The future must not be dropped before it is ready: a waiting connection counts
    /// until it has been called. Nothing ends the task of a connection from outside.
    pub(super) async fn wait(&self) {
        self.waiting.set(self.waiting.get() + 1);
        self.written.notified().await;
        self.waiting.set(self.waiting.get() - 1);
        self.called.set(self.called.get() - 1);
    }

    /// Whether the held answers should be written before another application is called, or other connections
    /// wait already: a later one waits behind them.
    pub(super) fn should_wait(&self) -> bool {
        self.uncalled() > 0 || self.is_over()
    }

    fn uncalled(&self) -> usize {
        self.waiting.get() - self.called.get()
    }

    fn is_over(&self) -> bool {
        let held = self.held.get();
        held >= MOST || (held > 0 && self.lasts() >= PATIENCE)
    }

    fn lasts(&self) -> Duration {
        (self.clock)() - self.since.get()
    }

    /// Begins the next turn, if nothing is held of this one.
    ///
    /// It takes as many of the waiting connections as this one had, in their order, or more if this one
    /// was short.
    fn begin_next(&self) {
        let uncalled = self.uncalled();
        if self.held.get() > 0 || uncalled == 0 {
            return;
        }
        let together = self.together.get().max(1);
        let growth = if self.lasts() < PATIENCE / 2 { 2 } else { 1 };
        let next = (together * growth).min(MOST).min(uncalled);
        self.called.set(self.called.get() + next);
        for _ in 0..next {
            self.written.notify_one();
        }
    }
}

impl Place<'_> {
    /// Whether the answer, which is there, should be held. Called once.
    pub(super) fn should_hold(&self) -> bool {
        let now = Some(tasks::turns());
        self.0.answered.replace(now) == now
    }

    /// Holds the answer until the connections that are ready now have been served. The caller writes it
    /// afterwards.
    pub(super) async fn hold(self) {
        let Self(turn) = &self;
        if turn.held.get() == 0 {
            turn.since.set((turn.clock)());
            turn.together.set(0);
        }
        turn.held.set(turn.held.get() + 1);
        turn.together.set(turn.together.get() + 1);
        others_first().await;
        turn.held.set(turn.held.get() - 1);
    }
}

/// Also one that holds nothing: the connections called with it may be all that is left of a turn.
impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.begin_next();
    }
}

/// Goes to the end of the runtime's queue. Not `yield_now`, which has the runtime ask the kernel
/// for more to do before it comes back.
async fn others_first() {
    let mut has_yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::sync::LazyLock;

    use tokio::runtime::Builder;
    use tokio::task::{LocalSet, spawn_local};

    use super::*;

    thread_local! {
        static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    fn clock() -> Instant {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        *START + NOW.get()
    }

    /// Connections of a crowd, more than can be held; Miri takes seconds for each hundred.
    const CROWD: usize = if cfg!(miri) { 2 * MOST } else { 1000 };

    /// Connections with several requests each.
    const SOME: usize = if cfg!(miri) { 20 } else { 200 };

    /// The order of events on connections that are ready at once, each with an application that takes `takes`:
    /// `a` for its call, `w` for the write that follows, with the connection's number. One in `answered` is
    /// answered at once.
    fn serve(connections: usize, takes: Duration, answered: usize) -> String {
        serve_on(connections, takes, answered, 1)
    }

    /// As [`serve`], with so many requests on each connection.
    fn serve_on(connections: usize, takes: Duration, answered: usize, requests: usize) -> String {
        let runtime = Builder::new_current_thread().build().unwrap();
        let turn = Rc::new(Turn::new(clock));
        let log = Rc::new(RefCell::new(String::new()));
        LocalSet::new().block_on(&runtime, async {
            let serving: Vec<_> = (0..connections)
                .map(|number| {
                    let (turn, log) = (Rc::clone(&turn), Rc::clone(&log));
                    spawn_local(async move {
                        for _ in 0..requests {
                            answer(&turn, &log, number, takes, answered).await;
                        }
                    })
                })
                .collect();
            for connection in serving {
                connection.await.unwrap();
            }
        });
        assert_eq!((turn.held.get(), turn.waiting.get()), (0, 0));
        log.take()
    }

    async fn answer(
        turn: &Turn,
        log: &RefCell<String>,
        number: usize,
        takes: Duration,
        answered: usize,
    ) {
        if turn.should_wait() {
            turn.wait().await;
        }
        let place = turn.enter();
        NOW.set(NOW.get() + takes);
        *log.borrow_mut() += &format!("a{number} ");
        if number.is_multiple_of(answered) && place.should_hold() {
            place.hold().await;
        } else {
            drop(place);
        }
        *log.borrow_mut() += &format!("w{number} ");
    }

    /// The numbers of those whose step this is, in their order.
    fn order(log: &str, step: char) -> Vec<usize> {
        let steps = log.split_whitespace();
        let numbers = steps.filter_map(|it| it.strip_prefix(step));
        numbers.map(|it| it.parse().unwrap()).collect()
    }

    /// The most that were held at once.
    fn most_held(log: &str) -> usize {
        let (mut held, mut most) = (0, 0);
        for step in log.split_whitespace() {
            held = if step.starts_with('a') {
                held + 1
            } else {
                held - 1
            };
            most = most.max(held);
        }
        most
    }

    #[test]
    fn answers_after_the_first_are_written_together_in_their_order() {
        assert_eq!(serve(4, PATIENCE / 10, 1), "a0 w0 a1 a2 a3 w1 w2 w3 ");
    }

    #[test]
    fn an_answer_waits_for_one_slow_application_at_most() {
        assert_eq!(
            serve(6, PATIENCE, 1),
            "a0 w0 a1 a2 w1 w2 a3 a4 w3 w4 a5 w5 "
        );
    }

    #[test]
    fn turns_end_when_their_time_is_over() {
        let log = serve(CROWD, PATIENCE / 8, 1);
        assert_eq!(order(&log, 'a'), (0..CROWD).collect::<Vec<_>>());
        assert_eq!(most_held(&log), 9);
    }

    #[test]
    fn few_answers_are_held_however_fast_they_are() {
        let log = serve(CROWD, Duration::ZERO, 1);
        assert_eq!(order(&log, 'w'), (0..CROWD).collect::<Vec<_>>());
        assert_eq!(most_held(&log), MOST);
    }

    #[test]
    fn no_request_is_overtaken_by_a_later_one_of_another_connection() {
        let order = order(&serve_on(SOME, PATIENCE / 4, 1, 5), 'a');
        let mut counts = [0usize; SOME];
        for number in order {
            counts[number] += 1;
            let least = counts.iter().min().unwrap();
            assert!(counts[number] - least <= 2, "{counts:?}");
        }
    }

    #[test]
    fn no_connection_is_forgotten_where_only_some_are_answered_at_once() {
        for answered in [2, 7, 40] {
            for takes in [Duration::ZERO, PATIENCE / 3, PATIENCE] {
                let log = serve(CROWD, takes, answered);
                assert_eq!(order(&log, 'w').len(), CROWD);
            }
        }
    }

    #[test]
    fn who_is_alone_is_not_held_up() {
        assert_eq!(serve(1, PATIENCE, 1), "a0 w0 ");
    }
}
