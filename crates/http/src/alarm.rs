//! A timer that works under every event loop.
//!
//! A loop that is not ours learns of tokio's descriptors but not of its timers (see the bridge's
//! `event_loop/guest.rs`). This one is a descriptor.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::{Errno, read};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

use lowmem_base::sys::watch;

/// Rings once each time it is set.
#[derive(Debug)]
pub struct Alarm(AsyncFd<OwnedFd>);

impl Alarm {
    /// Called in the runtime's context.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        watch::for_input(timer).map(Self)
    }

    /// Waits until so much time has passed.
    ///
    /// # Errors
    /// The kernel does not take the time, or the runtime ends.
    pub async fn after(&self, time: Duration) -> io::Result<()> {
        let zero = Timespec::default();
        let setting = Itimerspec {
            it_interval: zero,
            // Zero would switch it off.
            it_value: Timespec::try_from(time.max(Duration::from_nanos(1)))
                .map_err(io::Error::other)?,
        };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &setting)?;
        loop {
            let mut ready = self.0.readable().await?;
            match read(&self.0, &mut [0; 8]) {
                Ok(_) => return Ok(()),
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
