//! When freed memory is given back to the operating system.
//!
//! The C library keeps most of what was freed for the next allocation: after one heavy moment a worker
//! would hold it for good. To give back 650 MB takes 0.3 s, in which nothing is served, and it cannot
//! be done in parts; so it is done while the worker *rests*: for a second the processor had little to
//! do for it, and hardly a request came. A worker that never rests does it, too, when there is much to
//! gain and it was not busy for a minute.

use std::time::{Duration, Instant};

use lowmem_base::sys::memory::Heap;

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(1);

/// The most requests of a period in which the worker rests: a health check or two.
const RESTING_REQUESTS: u64 = 2;

/// The same for a worker that does not rest.
const LIGHT_REQUESTS: u64 = 50;

/// The part of a period that the processor may be busy for a worker that rests, or nearly does.
const RESTING_PART: u32 = 10;

/// The least gain that is worth it. Less comes and goes with every request of some size.
const WORTH_IT: u64 = 4 << 20;

/// The least gain without a rest, and the time after which it is looked for.
const WORTH_A_STALL: u64 = 32 << 20;
const RESTLESS: Duration = Duration::from_secs(60);

/// Between two looks at the heap that find too little to give back.
const STOCK_EVERY: Duration = Duration::from_secs(5);

/// How long the worker looks on after its last request, and while there seems to be something to gain:
/// what runs on in the background may free it late.
const SETTLES: Duration = Duration::from_secs(5);
const SETTLES_LATE: Duration = Duration::from_secs(120);

/// The observations of one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) now: Instant,
    /// The processor time that the process has used.
    pub(super) cpu: Duration,
    /// The requests that it has answered.
    pub(super) served: u64,
    /// Its resident memory.
    pub(super) resident: u64,
}

/// Whether to give back.
#[derive(Debug, Default)]
pub(super) struct Reclaim {
    last: Option<Sample>,
    /// The resident memory after the last time, or at first.
    base: u64,
    /// The last sample of a worker that did something.
    active: Option<Instant>,
    /// Since when there seems to be much to gain.
    wanting: Option<Instant>,
    stock: Option<Instant>,
}

impl Reclaim {
    /// Whether it is time for [`Self::look`].
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.last.is_none_or(|last| now - last.now >= PERIOD)
    }

    /// Whether to take stock now, which [`Self::is_worth_it`] judges.
    pub(super) fn look(&mut self, sample: Sample) -> bool {
        let Some(last) = self.last.replace(sample) else {
            self.base = sample.resident;
            self.active = Some(sample.now);
            return false;
        };
        let took = sample.now - last.now;
        let requests = sample.served - last.served;
        let is_idle = sample.cpu.saturating_sub(last.cpu) * RESTING_PART <= took;
        if requests > 0 || !is_idle {
            self.active = Some(sample.now);
        }
        self.base = self.base.min(sample.resident);
        let gain = sample.resident - self.base;
        if gain < WORTH_A_STALL {
            self.wanting = None;
        } else {
            self.wanting.get_or_insert(sample.now);
        }
        let has_waited = self
            .wanting
            .is_some_and(|since| sample.now - since >= RESTLESS);
        let rests = is_idle && requests <= RESTING_REQUESTS;
        let is_light = is_idle && requests <= LIGHT_REQUESTS && has_waited;
        let is_new = self.stock.is_none_or(|at| sample.now - at >= STOCK_EVERY);
        let takes_stock = gain >= WORTH_IT && is_new && (rests || is_light);
        if takes_stock {
            self.stock = Some(sample.now);
        }
        takes_stock
    }

    /// Whether to give back what is free.
    pub(super) fn is_worth_it(&self, heap: Heap) -> bool {
        heap.free.min(heap.resident.saturating_sub(self.base)) >= WORTH_IT
    }

    /// It has been given back, and so much is resident now.
    pub(super) fn given_back(&mut self, resident: u64) {
        self.base = resident;
        self.wanting = None;
    }

    /// Whether to look on, though no connection is open.
    pub(super) fn is_unsettled(&self, now: Instant) -> bool {
        let Some((last, active)) = self.last.zip(self.active) else {
            return false;
        };
        let has_gain = last.resident.saturating_sub(self.base) >= WORTH_IT;
        let time = if has_gain { SETTLES_LATE } else { SETTLES };
        now - active < time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    /// A worker by the second.
    struct Story {
        reclaim: Reclaim,
        sample: Sample,
    }

    fn story() -> Story {
        let sample = Sample {
            now: Instant::now(),
            cpu: Duration::ZERO,
            served: 0,
            resident: 20 * MB,
        };
        let mut reclaim = Reclaim::default();
        assert!(!reclaim.look(sample));
        Story { reclaim, sample }
    }

    impl Story {
        /// A second later: so busy, in percent, with so many requests, and with so much memory.
        fn second(&mut self, busy: u64, requests: u64, resident: u64) -> bool {
            self.sample.now += PERIOD;
            self.sample.cpu += Duration::from_millis(busy * 10);
            self.sample.served += requests;
            self.sample.resident = resident * MB;
            self.reclaim.look(self.sample)
        }
    }

    fn heap(resident: u64, free: u64) -> Heap {
        Heap {
            resident: resident * MB,
            free: free * MB,
        }
    }

    #[test]
    fn it_is_given_back_in_the_first_second_of_rest() {
        let mut story = story();
        for _ in 0..100 {
            assert!(!story.second(90, 1_000, 600));
        }
        assert!(story.second(1, 0, 600));
        assert!(story.reclaim.is_worth_it(heap(600, 580)));
        story.reclaim.given_back(24 * MB);
        assert!(!story.second(1, 0, 24));
    }

    #[test]
    fn what_is_in_use_is_looked_at_again_later() {
        let mut story = story();
        assert!(story.second(1, 0, 600));
        assert!(!story.reclaim.is_worth_it(heap(600, 2)));
        for _ in 0..4 {
            assert!(!story.second(1, 0, 600));
        }
        assert!(story.second(1, 0, 600));
        assert!(story.reclaim.is_worth_it(heap(600, 580)));
    }

    #[test]
    fn what_was_given_back_and_is_still_free_gains_nothing() {
        let mut story = story();
        story.second(1, 0, 600);
        story.reclaim.given_back(24 * MB);
        assert!(!story.reclaim.is_worth_it(heap(25, 580)));
        assert!(!story.second(1, 0, 26));
    }

    #[test]
    fn steady_light_requests_are_not_disturbed_but_once_a_minute() {
        let mut story = story();
        let mut times = 0;
        for _ in 0..120 {
            if story.second(5, 30, 600) {
                times += 1;
                story.reclaim.given_back(24 * MB);
            }
        }
        assert_eq!(times, 1);
        for _ in 0..120 {
            assert!(!story.second(5, 1_000, 600));
        }
    }

    #[test]
    fn it_settles() {
        let mut story = story();
        story.second(50, 10, 22);
        let after = |story: &Story, seconds| {
            let now = story.sample.now + Duration::from_secs(seconds);
            story.reclaim.is_unsettled(now)
        };
        assert_eq!((after(&story, 4), after(&story, 6)), (true, false));
        story.second(50, 10, 80);
        assert_eq!((after(&story, 60), after(&story, 121)), (true, false));
    }
}
