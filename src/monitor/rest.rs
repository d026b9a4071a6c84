//! When the status server gives back the code that answering has brought into memory.
//!
//! hyper, Tokio and the formatting of figures are two megabytes of code. A scrape touches most of it within
//! milliseconds, and nothing until the next. [`Quiet`] is the policy: pure, and with no timer while
//! nothing happens. Code comes back from the page cache when it is next used.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::sleep;

use crate::sys::startup;

/// After so long without an answer. A probe that asks for three pages in a row reads the code once.
const QUIET: Duration = Duration::from_millis(300);

/// The use of the status server since its code was last given back.
#[derive(Debug, Default)]
struct Quiet {
    last_use: Option<Instant>,
}

impl Quiet {
    /// Something was answered. Returns whether that is the first since the code was given back.
    fn used(&mut self, now: Instant) -> bool {
        self.last_use.replace(now).is_none()
    }

    /// How long it has to stay unused from now on; none once there is nothing to give back.
    fn rest(&self, now: Instant) -> Option<Duration> {
        Some(QUIET.saturating_sub(now.saturating_duration_since(self.last_use?)))
    }

    /// Whether the code should be given back now.
    #[must_use]
    fn is_over(&mut self, now: Instant) -> bool {
        let is_over = self.rest(now).is_some_and(|rest| rest.is_zero());
        if is_over {
            self.last_use = None;
        }
        is_over
    }
}

/// The [`Quiet`] of a status server, and the task that waits for it.
#[derive(Debug, Default)]
pub struct Rest {
    quiet: RefCell<Quiet>,
    begun: Notify,
}

impl Rest {
    /// A client was answered, or has gone.
    pub fn used(&self) {
        if self.quiet.borrow_mut().used(Instant::now()) {
            self.begun.notify_one();
        }
    }

    /// A sample was taken. Its code is given back at once, unless clients are answered meanwhile: the
    /// thread need not wake again for it.
    pub fn sampled(&self) {
        if self.quiet.borrow().last_use.is_none() {
            startup::forget_code();
        }
    }

    /// Gives the code back whenever the status server has not been used for a moment.
    pub async fn give_back(&self) {
        loop {
            self.begun.notified().await;
            while !self.quiet.borrow_mut().is_over(Instant::now()) {
                let rest = self.quiet.borrow().rest(Instant::now());
                sleep(rest.unwrap_or_default()).await;
            }
            startup::forget_code();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_given_back_once_after_the_last_of_several_answers() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut quiet = Quiet::default();
        assert_eq!(quiet.rest(at(0)), None);
        assert!(!quiet.is_over(at(0)), "nothing was used");
        assert!(quiet.used(at(0)));
        assert!(!quiet.used(at(200)), "the timer has begun");
        assert!(!quiet.is_over(at(300)));
        assert_eq!(quiet.rest(at(300)), Some(Duration::from_millis(200)));
        assert!(quiet.is_over(at(500)));
        assert!(!quiet.is_over(at(900)), "there is nothing left");
        assert!(quiet.used(at(1_000)));
    }

    #[test]
    fn whatever_the_times_of_answers_are_it_ends_quiet_after_each_run_of_them() {
        // A walk of answers with pauses on both sides of the limit.
        let mut state = 7_u64;
        let (mut quiet, mut now) = (Quiet::default(), Instant::now());
        let (mut begun, mut given_back) = (0, 0);
        for _ in 0..1_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let pause = Duration::from_millis(state >> 33 & 1_023);
            begun += usize::from(quiet.used(now));
            let is_over = quiet.is_over(now + pause);
            assert_eq!(is_over, pause >= QUIET);
            given_back += usize::from(is_over);
            now += pause;
        }
        assert!(begun - given_back <= 1 && given_back > 0);
    }
}
