//! A timer of the wall clock: it also goes off when that clock is set, and when the machine wakes up
//! after its time.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use jiff::Timestamp;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

#[derive(Debug)]
pub(super) struct Alarm {
    timer: OwnedFd,
    /// The time that it is set to, so that a turn of the loop that changes nothing sets nothing.
    due: Option<Timestamp>,
}

impl Alarm {
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Ok(Self {
            timer: timerfd_create(TimerfdClockId::Realtime, flags)?,
            due: None,
        })
    }

    /// Takes note that it went off.
    pub(super) fn hear(&mut self) {
        // With ECANCELED the clock was set; it is told once, and the timer has to be set again, as it
        // has after its time.
        let read = rustix::io::read(&self.timer, &mut [0; 8]);
        if !matches!(read, Err(rustix::io::Errno::AGAIN)) {
            self.due = None;
        }
    }

    /// Goes off at this time, or whenever the clock is set.
    pub(super) fn set(&mut self, due: Option<Timestamp>) -> io::Result<()> {
        // Far in the future the clock is only watched.
        let due = due.unwrap_or(Timestamp::MAX);
        if self.due == Some(due) {
            return Ok(());
        }
        let at = Timespec {
            tv_sec: due.as_second().max(0),
            tv_nsec: due.subsec_nanosecond().max(0).into(),
        };
        let never = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        let timer = Itimerspec {
            it_interval: never,
            it_value: at,
        };
        timerfd_settime(&self.timer, flags, &timer)?;
        self.due = Some(due);
        Ok(())
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}
