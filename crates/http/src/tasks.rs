//! Spawning the worker's tasks.
//!
//! A loop that is not ours (`--loop uvloop`) turns the tokio runtime for a moment at a time and
//! must know, before it waits, that no task is left that could run. Tokio does not say; so there
//! the wakers of all tasks are counted. Where the runtime turns itself, tasks are spawned as they are.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Wake-ups of counted tasks, from any thread.
static WOKEN: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static COUNTED: Cell<bool> = const { Cell::new(false) };
    static TURNS: Cell<u64> = const { Cell::new(0) };
}

/// The runtime is about to wait: everything that was ready has been done.
pub fn end_turn() {
    TURNS.set(TURNS.get().wrapping_add(1));
}

/// How often this thread's runtime has waited.
#[must_use]
pub fn turns() -> u64 {
    TURNS.get()
}

/// From now on the wake-ups of tasks spawned on this thread are counted.
pub fn count_wakeups() {
    COUNTED.set(true);
}

/// Wake-ups so far: while this stays the same across a turn, no task is left that could run.
#[must_use]
pub fn wakeups() -> u64 {
    WOKEN.load(Ordering::Relaxed)
}

/// Spawns a task on the worker's runtime.
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    if COUNTED.get() {
        WOKEN.fetch_add(1, Ordering::Relaxed);
        tokio::task::spawn_local(Counted {
            future: Box::pin(future),
            waker: None,
        });
    } else {
        tokio::task::spawn_local(future);
    }
}

/// A future whose wake-ups are counted.
struct Counted {
    future: Pin<Box<dyn Future<Output = ()>>>,
    /// The last waker given, and the one made of it.
    waker: Option<(Waker, Waker)>,
}

impl Future for Counted {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let waker = match &this.waker {
            Some((inner, counting)) if inner.will_wake(cx.waker()) => counting.clone(),
            _ => {
                let counting = Waker::from(Arc::new(Counting(cx.waker().clone())));
                this.waker = Some((cx.waker().clone(), counting.clone()));
                counting
            }
        };
        this.future.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

struct Counting(Waker);

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        WOKEN.fetch_add(1, Ordering::Relaxed);
        self.0.wake_by_ref();
    }
}
