//! Answers that are there at once are written together.
//!
//! Writing to a client that sleeps wakes it, which costs this side's processor several times what
//! the write itself does where both are on one machine, and leaves the application's code and data
//! cold. So an answer is *held* until the connections that were ready with its own have been
//! served: the first write wakes the client, and the others find it at work.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

/// An answer is not held for longer than this because of one more application call. A slow
/// application's clients would notice; for a fast one it is a good many answers.
const PATIENCE: Duration = Duration::from_millis(1);

/// What the connections of a worker know of each other's answers.
#[derive(Debug)]
pub(super) struct Turn {
    /// Answers that are held.
    held: Cell<usize>,
    /// When the first of them was there.
    since: Cell<Instant>,
    clock: fn() -> Instant,
}

impl Turn {
    pub(super) fn new(clock: fn() -> Instant) -> Self {
        Self {
            held: Cell::new(0),
            since: Cell::new(clock()),
            clock,
        }
    }

    /// Lets those be written first that have been held for long. To be awaited before the
    /// application is called.
    ///
    /// Who gives way comes after everybody who is ready, and is more patient each time: thousands
    /// of connections that are ready at once do not give way for each other's sake for ever.
    pub(super) async fn give_way(&self) {
        let mut patience = PATIENCE;
        while self.held.get() > 0 && (self.clock)() - self.since.get() >= patience {
            others_first().await;
            patience *= 2;
        }
    }

    /// Holds an answer until those that are ready now have been served.
    pub(super) async fn hold(&self) {
        if self.held.get() == 0 {
            self.since.set((self.clock)());
        }
        self.held.set(self.held.get() + 1);
        others_first().await;
        self.held.set(self.held.get() - 1);
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

    /// What connections do that are ready at once, each with an application that takes `takes`:
    /// `a` for an answer, `w` for its being written, with the connection's number.
    fn serve(connections: usize, takes: Duration) -> String {
        let runtime = Builder::new_current_thread().build().unwrap();
        let turn = Rc::new(Turn::new(clock));
        let log = Rc::new(RefCell::new(String::new()));
        LocalSet::new().block_on(&runtime, async {
            let serving: Vec<_> = (0..connections)
                .map(|number| {
                    let (turn, log) = (Rc::clone(&turn), Rc::clone(&log));
                    spawn_local(async move {
                        turn.give_way().await;
                        NOW.set(NOW.get() + takes);
                        *log.borrow_mut() += &format!("a{number} ");
                        turn.hold().await;
                        *log.borrow_mut() += &format!("w{number} ");
                    })
                })
                .collect();
            for connection in serving {
                connection.await.unwrap();
            }
        });
        assert_eq!(turn.held.get(), 0);
        log.take()
    }

    #[test]
    fn answers_of_one_turn_are_written_together_in_their_order() {
        assert_eq!(serve(3, PATIENCE / 10), "a0 a1 a2 w0 w1 w2 ");
    }

    #[test]
    fn an_answer_waits_for_one_slow_application_at_most() {
        assert_eq!(serve(3, PATIENCE), "a0 a1 w0 w1 a2 w2 ");
    }

    #[test]
    fn who_has_given_way_is_more_patient() {
        assert_eq!(
            serve(7, PATIENCE),
            "a0 a1 w0 w1 a2 a3 a4 w2 w3 w4 a5 a6 w5 w6 "
        );
    }

    #[test]
    fn who_is_alone_is_not_held_up() {
        assert_eq!(serve(1, PATIENCE), "a0 w0 ");
    }
}
