//! The worker's tokio runtime: one thread, and the GIL held while it turns.
//!
//! The runtime is turned from inside Python (a method of the event loop), so the thread is attached
//! to the interpreter all the time; only when tokio is about to wait in the kernel does it let go,
//! and takes the GIL again before any task runs. For a WSGI application the runtime is turned without
//! the GIL altogether ([`block_on_detached`]). In between no Rust code touches Python: tokio only
//! dispatches readiness to wakers, and those of asyncio's futures are never registered with it.

use std::cell::{Cell, OnceCell, RefCell};
use std::fs;
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::task::Waker;

use pyo3::ffi;
use pyo3::prelude::*;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

use lowmem_base::counters;
use lowmem_http::tasks;

thread_local! {
    static RUNTIME: OnceCell<LocalRuntime> = const { OnceCell::new() };
    /// The runtime turns without the interpreter.
    static DETACHED: Cell<bool> = const { Cell::new(false) };
    static SAVED: Cell<*mut ffi::PyThreadState> = const { Cell::new(std::ptr::null_mut()) };
    static EPOLL: Cell<Option<RawFd>> = const { Cell::new(None) };
    static BEFORE_WAIT: RefCell<Option<Rc<dyn Fn()>>> = const { RefCell::new(None) };
    static ON_SIGNAL_ERROR: RefCell<Option<Waker>> = const { RefCell::new(None) };
    static SIGNAL_ERROR: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Builds this thread's runtime. Called once.
///
/// # Errors
/// The kernel gives no epoll instance or eventfd.
pub fn build() -> io::Result<()> {
    let before = epoll_descriptors()?;
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .on_thread_park(release)
        .on_thread_unpark(acquire)
        .build_local(LocalOptions::default())?;
    let ours = epoll_descriptors()?
        .into_iter()
        .find(|fd| !before.contains(fd));
    EPOLL.set(ours);
    RUNTIME.with(|slot| {
        let again = slot.set(runtime);
        debug_assert!(again.is_ok(), "the runtime is built once");
    });
    Ok(())
}

/// Whether this thread has the runtime.
pub fn is_built() -> bool {
    RUNTIME.with(|runtime| runtime.get().is_some())
}

/// Turns the runtime until `future` is ready.
///
/// # Panics
/// Before [`build`], or from within a turn.
pub fn block_on<F: Future>(future: F) -> F::Output {
    RUNTIME.with(|runtime| runtime.get().expect("built at start").block_on(future))
}

/// The same with the interpreter let go: what needs Python attaches.
///
/// # Safety
/// The future holds nothing that is bound to an attached thread, and reaches nothing of the kind.
///
/// # Panics
/// Before [`build`], or from within a turn.
pub unsafe fn block_on_detached<F: Future>(py: Python<'_>, future: F) -> F::Output
where
    F::Output: Send,
{
    struct Here<T>(T);
    // SAFETY: `detach` asks for `Send` to keep what is bound to an attached thread out of the call,
    // which the caller promises; it calls on this thread.
    unsafe impl<T> Send for Here<T> {}
    let here = Here(future);
    DETACHED.set(true);
    let output = py.detach(move || {
        let Here(future) = { here };
        block_on(future)
    });
    DETACHED.set(false);
    output
}

/// Runs `then` in the runtime's context, where tasks and sockets can be created.
///
/// # Panics
/// Before [`build`].
pub fn enter<R>(then: impl FnOnce() -> R) -> R {
    RUNTIME.with(|runtime| {
        let _context = runtime.get().expect("built at start").enter();
        then()
    })
}

/// Has `run` called each time before the thread waits, with the GIL held.
pub fn before_wait(run: Rc<dyn Fn()>) {
    BEFORE_WAIT.set(Some(run));
}

/// Has `waker` woken when there is something for [`take_signal_error`].
pub fn on_signal_error(waker: &Waker) {
    ON_SIGNAL_ERROR.set(Some(waker.clone()));
}

/// The exception that a Python signal handler raised while the thread waited, if any did.
pub fn take_signal_error() -> Option<PyErr> {
    SIGNAL_ERROR.take()
}

/// The runtime's own epoll instance, which tokio does not tell: the one that appeared with it.
pub fn epoll() -> Option<RawFd> {
    EPOLL.get()
}

fn epoll_descriptors() -> io::Result<Vec<RawFd>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        let target = fs::read_link(entry.path());
        if target.is_ok_and(|target| target.as_os_str() == "anon_inode:[eventpoll]")
            && let Some(number) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
        {
            found.push(number);
        }
    }
    Ok(found)
}

/// Calls what [`before_wait`] was given.
pub fn run_before_wait() {
    let run = BEFORE_WAIT.with_borrow(Clone::clone);
    if let Some(run) = run {
        run();
    }
}

fn release() {
    tasks::end_turn();
    run_before_wait();
    if let Some(page) = counters::mine() {
        counters::set(&page.now.is_busy, 0);
    }
    if DETACHED.get() {
        return;
    }
    // SAFETY: this hook runs on the thread that turns the runtime, which is attached; the state is
    // restored by `acquire` before anything else runs on it.
    SAVED.set(unsafe { ffi::PyEval_SaveThread() });
}

fn acquire() {
    if let Some(page) = counters::mine() {
        counters::set(&page.now.is_busy, 1);
        counters::step(&page.now.turns);
    }
    let saved = SAVED.replace(std::ptr::null_mut());
    if saved.is_null() {
        return;
    }
    // SAFETY: `saved` is this thread's own state, from the `PyEval_SaveThread` in `release`.
    unsafe { ffi::PyEval_RestoreThread(saved) };
    // A signal interrupts the wait without waking a task: its Python handler is due now.
    Python::attach(|py| {
        if let Err(error) = py.check_signals() {
            SIGNAL_ERROR.set(Some(error));
            if let Some(waker) = ON_SIGNAL_ERROR.take() {
                waker.wake();
            }
        }
    });
}
