//! The memory budget as it is kept: [`super::budget`] decides, once a second, and when a client asks for an
//! application that sleeps.

use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::Supervisor;
use super::application::Application;
use super::budget::{Action, Budget, Key, Measured, Notice, Seen, Stage};
use super::scales::Scales;
use crate::config::MemoryBudget;
use crate::figures::Megabytes;
use crate::operator::BudgetStatus;
use crate::sys::weight;
use crate::telemetry;

/// Between two weighings, while anything is awake.
const EVERY: Duration = Duration::from_secs(1);

/// The same when something has just become ready, which should be measured before another one wakes.
const AT_LEAST: Duration = Duration::from_millis(20);

/// While a client waits, those are looked at again that were in use a moment ago.
const AGAIN: Duration = Duration::from_millis(200);

/// Memory is short where everything waits for it for so many percent of the time.
const PRESSURE: f64 = 10.0;

/// A budget, and what it takes to keep it.
#[derive(Debug)]
pub(super) struct Budgeting {
    budget: Budget,
    asked: MemoryBudget,
    scales: Scales,
    measured: Option<Instant>,
    /// When everything is weighed next, and when a client that waits is answered at the latest.
    due: Option<Instant>,
}

impl Budgeting {
    pub(super) fn new(asked: MemoryBudget) -> Box<Self> {
        info!("Memory budget: {asked}");
        Box::new(Self {
            budget: Budget::new(asked.bytes()),
            asked,
            scales: Scales::default(),
            measured: None,
            due: Some(Instant::now()),
        })
    }

    /// When there is something to do, if nothing else happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// As operators see it.
    pub(super) fn status(&self) -> BudgetStatus {
        BudgetStatus {
            limit: self.budget.limit(),
            used: self.budget.used(),
        }
    }

    /// Whether an application may start beside those that are awake; `None` is not yet.
    pub(super) fn fits(&self, key: Key, now: Instant) -> Option<bool> {
        self.budget.fits(key, now)
    }

    /// An application is started, whether it fits or not.
    pub(super) fn starts(&mut self, key: Key, now: Instant) {
        self.budget.starts(key, now);
    }

    /// Weighs everything, if it is time to.
    fn measure(&mut self, is_awake: bool, now: Instant) -> Option<Measured> {
        let pause = match (self.budget.wants_measure(), is_awake) {
            (true, _) => AT_LEAST,
            (_, true) => EVERY,
            _ => return None,
        };
        if self.measured.is_some_and(|last| now - last < pause) {
            return None;
        }
        self.measured = Some(now);
        self.scales.weigh(rustix::process::getpid(), now);
        Some(Measured {
            used: self.scales.used(),
            is_pressed: weight::pressure().is_some_and(|percent| percent >= PRESSURE),
        })
    }

    fn look(
        &mut self,
        applications: &[Application<'_>],
        templates: u64,
        now: Instant,
    ) -> Vec<Action> {
        self.budget.makes(templates, false);
        let mut seen = self.see(applications);
        let mut actions = self.budget.look(&seen, None, now);
        let is_up = |own: &Seen| own.stage != Stage::Down || own.asks.is_some();
        let is_awake = seen.iter().any(is_up);
        // One look at a time: what it has decided is not done yet.
        if actions.is_empty()
            && let Some(measured) = self.measure(is_awake, now)
        {
            self.budget.makes(templates, true);
            seen = self.see(applications);
            actions = self.budget.look(&seen, Some(measured), now);
        }
        let last = self.measured.unwrap_or(now);
        let asks = seen.iter().filter_map(|own| own.asks);
        let asks = asks.map(|asks| match asks.until > now {
            true => asks.until.min(now + AGAIN),
            false => now + AGAIN,
        });
        let fresh = self.budget.wants_measure().then(|| last + AT_LEAST);
        let next = is_awake.then(|| last + EVERY);
        self.due = asks.chain(fresh).chain(next).min();
        actions
    }

    fn see(&self, applications: &[Application<'_>]) -> Vec<Seen> {
        let applications = applications.iter();
        let seen = applications.map(|own| own.seen(self.scales.private(&own.pids())));
        seen.collect()
    }
}

impl Supervisor<'_> {
    /// Keeps the budget, if there is one.
    pub(super) fn turn_budget(&mut self) {
        self.follow_budget();
        let now = Instant::now();
        let ends = self.ends();
        let Some(budgeting) = self.budgeting.as_mut().filter(|_| !ends) else {
            return;
        };
        self.applications.iter_mut().for_each(Application::budget);
        let templates = self.fleet.iter().flat_map(|fleet| &fleet.templates);
        let made = templates.filter(|own| own.borrow().is_making());
        let actions = budgeting.look(&self.applications, made.count() as u64, now);
        let (used, limit) = (budgeting.budget.used(), budgeting.budget.limit());
        let room = budgeting.budget.room();
        for application in &mut self.applications {
            application.leave_room(room);
        }
        for action in actions {
            self.keep_budget(action, used, limit);
        }
    }

    fn keep_budget(&mut self, action: Action, used: u64, limit: u64) {
        let (key, act): (Key, &dyn Fn(&mut Application<'_>)) = match action {
            Action::Say(notice) => return say(notice, used, limit),
            Action::Sleep(key) => (key, &|own| own.sleep_for_the_budget(used, limit)),
            Action::Wake(key) => (key, &|own| own.wake_for_the_budget()),
            Action::Refuse(key) => (key, &|own| own.refuse_for_the_budget(used, limit)),
            Action::GiveBack(key) => (key, &|own| own.give_back()),
            Action::Replace(key, growth) => (key, &move |own| own.shed(growth, used, limit)),
        };
        let mut applications = self.applications.iter_mut();
        if let Some(application) = applications.find(|own| own.key() == key) {
            act(application);
        }
    }

    /// The settings file may have another budget by now.
    fn follow_budget(&mut self) {
        let Some(fleet) = &self.fleet else {
            return;
        };
        let asked = fleet.memory_budget;
        if asked == self.budgeting.as_ref().map(|own| own.asked) {
            return;
        }
        telemetry::name_lines(None);
        match (asked, &mut self.budgeting) {
            (Some(asked), Some(budgeting)) => {
                info!("Memory budget: {asked}");
                budgeting.asked = asked;
                budgeting.budget.limit_to(asked.bytes());
            }
            (Some(asked), none) => *none = Some(Budgeting::new(asked)),
            (None, some) => {
                info!("There is no memory budget any more");
                *some = None;
                self.applications
                    .iter_mut()
                    .for_each(Application::forget_budget);
            }
        }
    }
}

fn say(notice: Notice, used: u64, limit: u64) {
    telemetry::name_lines(None);
    let (used, limit) = (Megabytes(used), Megabytes(limit));
    match notice {
        Notice::Held => warn!(
            "{used} of {limit} MB are used (memory-budget), and what holds the memory is in use, stays \
             awake, or has just been replaced; raise the budget, or bound single applications with max-rss"
        ),
        Notice::Kept => info!("{used} of {limit} MB are used: the memory budget is kept again"),
    }
}
