//! One application's part in the memory budget: how it is seen, and what is done with it.

use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use super::Application;
use super::made::next_serial;
use crate::figures::{Age, Megabytes};
use crate::operator::{Serving, Stage as WorkerStage};
use crate::supervisor::budget::{Asks, Key, Seen, Stage};
use crate::supervisor::keeping::{Keeper, Terms};
use crate::supervisor::pool::{Cause, Event, Pool, Reason, Settings, Weighing};
use crate::sys::clock;

/// When clients should come back that were not served for want of memory.
const COME_BACK: Duration = Duration::from_secs(5);

/// Its part in the budget.
#[derive(Debug, Default)]
pub(super) struct Budgeted {
    /// How much is left for another worker.
    room: Option<u64>,
    /// A client waits for it, for what, and since when.
    asks: Option<(Cause, Instant)>,
}

impl Application<'_> {
    /// From now on clients that wake it wait for the budget's leave.
    pub(in crate::supervisor) fn budget(&mut self) {
        if self.budgeted.is_none() {
            self.budgeted = Some(Budgeted::default());
            self.count();
        }
    }

    /// There is no budget any more.
    pub(in crate::supervisor) fn forget_budget(&mut self) {
        if let Some(Budgeted {
            asks: Some((cause, _)),
            ..
        }) = self.budgeted.take()
        {
            self.on(Event::Wake(cause));
        }
    }

    pub(in crate::supervisor) fn key(&self) -> Key {
        Key(self.number)
    }

    /// So much is left of the budget.
    pub(in crate::supervisor) fn leave_room(&mut self, room: u64) {
        if let Some(own) = &mut self.budgeted {
            own.room = Some(room);
        }
    }

    /// A successor has no more room than the budget leaves.
    pub(super) fn bound_room(&self, weighing: &mut Weighing) {
        let room = self.budgeted.as_ref().and_then(|own| own.room);
        weighing.room = weighing.room.into_iter().chain(room).min();
    }

    /// A client has sent something while it sleeps; whether that is the budget's to decide on.
    pub(in crate::supervisor) fn asks_the_budget(&mut self, cause: Cause) -> bool {
        let is_asleep = self.pool.serving() == Serving::Asleep;
        match &mut self.budgeted {
            Some(own) if is_asleep => {
                own.asks.get_or_insert((cause, Instant::now()));
                true
            }
            _ => false,
        }
    }

    /// Its processes.
    pub(in crate::supervisor) fn pids(&self) -> Vec<i32> {
        let views = self.pool.views();
        views
            .filter_map(|view| self.workforce.own_pid(view.id))
            .collect()
    }

    /// How the budget sees it, with what its processes weigh.
    pub(in crate::supervisor) fn seen(&self, private: u64) -> Seen {
        let views: Vec<_> = self.pool.views().collect();
        let ready = views.iter().filter(|view| view.stage == WorkerStage::Ready);
        let gauges = views.iter().filter_map(|view| self.gauges(view.id));
        let asks = self.budgeted.as_ref().and_then(|own| own.asks);
        Seen {
            key: self.key(),
            stage: self.stage(),
            private,
            ready: ready.filter_map(|view| view.since).max(),
            last_use: self.last_use(),
            is_open: gauges
                .into_iter()
                .any(|now| now.active_requests + now.websockets > 0),
            stays: self.parts.keeps_awake || self.pool.keeps_awake(),
            is_quiet: self.pool.may_sleep(),
            asks: asks.map(|(_, since)| Asks {
                since,
                until: since + self.parts.settings.wake_timeout,
            }),
        }
    }

    fn stage(&self) -> Stage {
        match self.serving() {
            Serving::Starting | Serving::Waking => Stage::Rising,
            Serving::Serving => Stage::Up,
            _ if self.pool.is_empty() => Stage::Down,
            _ => Stage::Falling,
        }
    }

    /// When it last answered a request.
    pub(super) fn last_use(&self) -> Option<Instant> {
        let used = self.workforce.last_use()?;
        Instant::now().checked_sub(clock::monotonic().saturating_sub(used))
    }

    /// The budget has it sleep; `used` of `limit` are taken.
    pub(in crate::supervisor) fn sleep_for_the_budget(&mut self, used: u64, limit: u64) {
        self.speak();
        let idle = self.last_use().map_or_else(String::new, |at| {
            format!("; it was last used {} ago", Age(at.elapsed()))
        });
        info!(
            "Put to sleep: {} of {} MB are used (memory-budget){idle}",
            Megabytes(used),
            Megabytes(limit)
        );
        self.on(Event::Sleep);
    }

    /// The budget lets it wake.
    pub(in crate::supervisor) fn wake_for_the_budget(&mut self) {
        let asks = self.budgeted.as_mut().and_then(|own| own.asks.take());
        if let Some((cause, _)) = asks {
            self.on(Event::Wake(cause));
        }
    }

    /// Its clients have waited for long enough.
    pub(in crate::supervisor) fn refuse_for_the_budget(&mut self, used: u64, limit: u64) {
        let asks = self.budgeted.as_mut().and_then(|own| own.asks.take());
        let Some((_, since)) = asks else { return };
        self.speak();
        warn!(
            "Not woken within {} (--wake-timeout): {} of {} MB are used (memory-budget), by applications \
             that are in use or stay awake; its requests are answered with 503",
            Age(since.elapsed()),
            Megabytes(used),
            Megabytes(limit)
        );
        self.refuse(COME_BACK);
    }

    /// The budget has its workers replaced, which have grown by this much.
    pub(in crate::supervisor) fn shed(&mut self, growth: u64, used: u64, limit: u64) {
        self.speak();
        info!(
            "It has grown by {} MB, and {} of {} MB are used (memory-budget); its workers are replaced",
            Megabytes(growth),
            Megabytes(used),
            Megabytes(limit)
        );
        self.on(Event::Renew(Reason::Budget));
    }

    /// Its workers give back what they have freed.
    pub(in crate::supervisor) fn give_back(&self) {
        for view in self.pool.views() {
            self.workforce
                .tell(view.id, &crate::control::ToWorker::GiveBack);
        }
    }

    /// Whether it should be awake when the server starts, whatever the budget says.
    pub(in crate::supervisor) fn begins_awake(&self) -> bool {
        self.parts.keeps_awake
    }

    /// Whether its start starts no worker.
    pub(in crate::supervisor) fn begins_asleep(&self) -> bool {
        self.pool.begins_asleep()
    }

    /// It begins asleep, because the others leave no room for it. One that has been started before, and has
    /// failed, is started as without a budget.
    pub(in crate::supervisor) fn begin_asleep(&mut self) {
        if self.exit.is_none() && self.pool.is_empty() {
            self.pool = Pool::new(Settings {
                begins_asleep: true,
                serial: next_serial(),
                ..self.parts.settings
            });
        }
    }

    /// Accepts in the place of workers; without descriptors for that, a worker is started at once.
    pub(super) fn keep(&mut self) -> Option<Event> {
        let opened = self.keeper().map(drop);
        opened.err().map(|reason| {
            error!("Cannot keep connections: {reason}");
            Event::Wake(Cause::Operator)
        })
    }

    /// The keeper of its connections, which accepts.
    pub(in crate::supervisor) fn keeper(&mut self) -> std::io::Result<&mut Keeper> {
        let listeners = self.workforce.listeners();
        let keeper = match self.keeper.take() {
            Some(keeper) => keeper,
            None => {
                let terms = Terms::of(self.workforce.worker_config());
                Box::new(Keeper::new(terms, listeners)?)
            }
        };
        let keeper = self.keeper.insert(keeper);
        keeper.accept_again(listeners)?;
        Ok(keeper)
    }
}
