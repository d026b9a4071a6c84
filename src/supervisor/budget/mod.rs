//! The memory that all applications together may use: which of them sleeps, which may wake, which is
//! replaced. Pure: (state, what is seen, now) -> actions.
//!
//! ```text
//!   limit ─────────────────────────────  above it: the least recently used application sleeps, then the
//!                                        next, down to the goal; else the one that has grown most is
//!   goal (90 %) ───────────────────────  replaced; else the log says what holds the memory
//!
//!   a request for one that sleeps:       it wakes if it fits; else others sleep first, and it waits
//!                                        for their end, but not for longer than `wake-timeout`
//! ```
//!
//! No application with an open request is put to sleep, and none that should stay awake. An application
//! is expected to need the memory that it had when it was last awake; a new one, the average of the
//! others. One application may always be awake, however small the budget: a budget that is too small
//! must not keep everything from being served.

mod known;
mod values;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::standing;
use known::Known;
pub(super) use values::{Action, Asks, Key, Measured, Notice, Seen, Stage};

/// How much is left of the budget when enough has been put to sleep: without it, one application more or
/// less would be put to sleep each second.
const GOAL_PERCENT: u64 = 90;

/// An application that was used so lately is as good as in use.
const REST: Duration = Duration::from_millis(200);

/// A first start that takes longer keeps no other waiting.
const START: Duration = standing::START;

/// For so long the memory of one that falls asleep counts as about to be free.
const FALL: Duration = Duration::from_secs(3);

/// One that has refused to sleep is asked again after this.
const REFUSED: Duration = Duration::from_secs(5);

/// One that was replaced for its memory is not replaced again before: if it needs this much, that would
/// go on for ever.
const REPLACED: Duration = Duration::from_secs(60);

/// Growth that is worth a replacement.
const WORTH: u64 = 8 << 20;

/// For so long the budget may be exceeded before the log says why.
const TOLERANCE: Duration = Duration::from_secs(2);

/// The kernel's average of the pressure follows slowly.
const PRESSED: Duration = Duration::from_secs(5);

/// The policy's memory.
#[derive(Debug)]
pub(super) struct Budget {
    limit: u64,
    /// All that is used, as it was measured, less what has gone since.
    used: u64,
    known: BTreeMap<Key, Known>,
    over: Option<Over>,
    pressed_at: Option<Instant>,
    /// Templates that are being made, or were when everything was weighed last.
    templates: u64,
}

/// The budget is exceeded.
#[derive(Debug, Clone, Copy)]
struct Over {
    since: Instant,
    has_trimmed: bool,
    is_told: bool,
}

/// The facts that one look goes by.
struct Look<'a> {
    seen: &'a [Seen],
    now: Instant,
    actions: Vec<Action>,
    /// Memory that wakes of this look, and those that wait for others' end, will need.
    claimed: u64,
}

impl Budget {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit,
            used: 0,
            known: BTreeMap::new(),
            over: None,
            pressed_at: None,
            templates: 0,
        }
    }

    /// So many templates are being made. Each counts as an application that starts, until it has been weighed.
    pub(super) fn makes(&mut self, templates: u64, is_weighed: bool) {
        let before = if is_weighed { 0 } else { self.templates };
        self.templates = before.max(templates);
    }

    /// Another limit holds from now on.
    pub(super) fn limit_to(&mut self, limit: u64) {
        self.limit = limit;
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    pub(super) fn used(&self) -> u64 {
        self.used
    }

    /// The memory that is left.
    pub(super) fn room(&self) -> u64 {
        self.limit.saturating_sub(self.expected())
    }

    /// Whether an application may start beside those that are awake: `None` as long as it is not known what
    /// those weigh.
    pub(super) fn fits(&self, key: Key, now: Instant) -> Option<bool> {
        if self.is_unsure(now) {
            return None;
        }
        let is_alone = self.known.values().all(|own| own.stage == Stage::Down);
        Some(is_alone || self.expected() + self.need(key) <= self.goal())
    }

    /// An application is started.
    pub(super) fn starts(&mut self, key: Key, now: Instant) {
        let known = self.known.entry(key).or_insert_with(Known::new);
        known.rise(now);
    }

    /// Whether something is awake that has not been measured.
    pub(super) fn wants_measure(&self) -> bool {
        let mut known = self.known.values();
        known.any(|own| own.stage == Stage::Up && !own.is_measured)
    }

    /// Whether the first applications have just started, so that the weight of one is not known.
    fn is_unsure(&self, now: Instant) -> bool {
        let is_new = |own: &Known| own.rises_since.is_some_and(|at| now - at < START);
        let mut known = self.known.values();
        known.all(|own| own.weight.is_none())
            && self.known.values().any(|own| match own.stage {
                Stage::Rising => is_new(own),
                Stage::Up => !own.is_measured,
                Stage::Down | Stage::Falling => false,
            })
    }

    /// Takes in how everything is, weighed anew or not, and says what to do.
    #[must_use]
    pub(super) fn look(
        &mut self,
        seen: &[Seen],
        measured: Option<Measured>,
        now: Instant,
    ) -> Vec<Action> {
        self.note(seen, measured, now);
        let mut look = Look {
            seen,
            now,
            actions: Vec::new(),
            claimed: 0,
        };
        self.answer(&mut look);
        if let Some(measured) = measured {
            self.shrink(&mut look, measured.is_pressed);
        }
        look.actions
    }

    fn goal(&self) -> u64 {
        self.limit / 100 * GOAL_PERCENT
    }

    fn note(&mut self, seen: &[Seen], measured: Option<Measured>, now: Instant) {
        self.known
            .retain(|key, _| seen.iter().any(|own| own.key == *key));
        for own in seen {
            let known = self.known.entry(own.key).or_insert_with(Known::new);
            let (before, after) = (known.stage, own.stage);
            if after == Stage::Rising && before != Stage::Rising {
                known.rise(now);
            }
            known.stage = after;
            match (before, after) {
                (Stage::Up | Stage::Falling, Stage::Down) => {
                    self.used = self.used.saturating_sub(known.weight.unwrap_or(0));
                }
                (Stage::Falling, Stage::Up) => known.refused = Some(now),
                (Stage::Up | Stage::Rising, Stage::Falling) => known.falls_since = Some(now),
                _ => {}
            }
            if after != Stage::Falling {
                known.falls_since = None;
            }
            if measured.is_some() && after == Stage::Up {
                known.weighed(own);
            }
        }
        if let Some(measured) = measured {
            self.used = measured.used;
        }
    }

    /// The memory in use once all that starts has started.
    fn expected(&self) -> u64 {
        let coming = self.known.iter().filter(|(_, own)| match own.stage {
            Stage::Rising => true,
            Stage::Up => !own.is_measured,
            Stage::Down | Stage::Falling => false,
        });
        let coming: u64 = coming.map(|(key, _)| self.need(*key)).sum();
        self.used + coming + self.templates * self.average()
    }

    /// The memory of an application, on average.
    fn average(&self) -> u64 {
        let weights: Vec<u64> = self.known.values().filter_map(|own| own.weight).collect();
        weights.iter().sum::<u64>() / (weights.len() as u64).max(1)
    }

    /// The memory that an application will need.
    fn need(&self, key: Key) -> u64 {
        let known = self.known.get(&key).and_then(|own| own.weight);
        known.unwrap_or_else(|| self.average())
    }

    /// The memory that will be free once those have ended that fall asleep.
    fn leaving(&self, now: Instant) -> u64 {
        let falling = self.known.values().filter(|own| {
            own.stage == Stage::Falling && own.falls_since.is_some_and(|at| now - at < FALL)
        });
        falling.filter_map(|own| own.weight).sum()
    }

    /// Wakes those that clients wait for, the first ones first.
    fn answer(&mut self, look: &mut Look<'_>) {
        let asking = look.seen.iter();
        let mut asking: Vec<(Asks, &Seen)> =
            asking.filter_map(|own| Some((own.asks?, own))).collect();
        asking.sort_by_key(|(asks, _)| asks.since);
        for (asks, own) in asking {
            match own.stage {
                // It is awake by now, or about to be; its pool knows what to do.
                Stage::Up | Stage::Rising => look.actions.push(Action::Wake(own.key)),
                Stage::Falling => {}
                Stage::Down => self.answer_one(own.key, asks, look),
            }
        }
    }

    fn answer_one(&mut self, key: Key, asks: Asks, look: &mut Look<'_>) {
        let need = self.need(key);
        let wanted = self.expected() + look.claimed + need;
        let is_alone = self.known.values().all(|own| own.stage == Stage::Down);
        let is_unsure = self.is_unsure(look.now);
        if is_alone || (wanted <= self.limit && !is_unsure) {
            self.starts(key, look.now);
            look.actions.push(Action::Wake(key));
            return;
        }
        if asks.until <= look.now {
            look.actions.push(Action::Refuse(key));
            return;
        }
        if is_unsure {
            return;
        }
        let shortage = (wanted - self.limit).saturating_sub(self.leaving(look.now));
        let Some(victims) = self.victims(shortage, look) else {
            return;
        };
        for victim in victims {
            self.put_to_sleep(victim, look);
        }
        look.claimed += need;
    }

    /// Those that were used least recently, so many that this much becomes free; none if that is not
    /// possible.
    fn victims(&self, shortage: u64, look: &Look<'_>) -> Option<Vec<Key>> {
        let mut victims = Vec::new();
        let mut left = shortage;
        for (key, weight) in self.idle(look) {
            if left == 0 {
                break;
            }
            left = left.saturating_sub(weight);
            victims.push(key);
        }
        (left == 0).then_some(victims)
    }

    /// Those that may sleep and what each would give back, the least recently used first.
    fn idle(&self, look: &Look<'_>) -> Vec<(Key, u64)> {
        let mut idle: Vec<(Instant, Key, u64)> = look
            .seen
            .iter()
            .filter_map(|own| {
                let known = self.known.get(&own.key)?;
                let used = own.last_use.max(own.ready)?;
                let has_refused = known.refused.is_some_and(|at| look.now - at < REFUSED);
                let may_sleep = known.stage == Stage::Up
                    && own.is_quiet
                    && !own.is_open
                    && !own.stays
                    && !has_refused
                    && look.now.saturating_duration_since(used) >= REST;
                may_sleep.then_some((used, own.key, known.weight.unwrap_or(0)))
            })
            .collect();
        idle.sort_by_key(|(used, key, _)| (*used, *key));
        idle.into_iter()
            .map(|(_, key, weight)| (key, weight))
            .collect()
    }

    fn put_to_sleep(&mut self, key: Key, look: &mut Look<'_>) {
        self.set_stage(key, Stage::Falling);
        if let Some(known) = self.known.get_mut(&key) {
            known.falls_since = Some(look.now);
        }
        look.actions.push(Action::Sleep(key));
    }

    fn set_stage(&mut self, key: Key, stage: Stage) {
        if let Some(known) = self.known.get_mut(&key) {
            known.stage = stage;
        }
    }

    /// Has less used, if it is more than the limit, or memory is short.
    fn shrink(&mut self, look: &mut Look<'_>, is_pressed: bool) {
        let is_over = self.used > self.limit;
        let waited = |at: Instant| look.now - at >= PRESSED;
        let relieves = is_pressed && self.pressed_at.is_none_or(waited);
        if !is_over {
            if self.over.take().is_some_and(|over| over.is_told) {
                look.actions.push(Action::Say(Notice::Kept));
            }
            if !relieves {
                return;
            }
        }
        let goal = if is_over {
            self.goal()
        } else {
            self.used.saturating_sub(1)
        };
        if is_pressed {
            self.pressed_at = Some(look.now);
        }
        let mut left = self.used.saturating_sub(goal + self.leaving(look.now));
        for (key, weight) in self.idle(look) {
            if left == 0 {
                break;
            }
            left = left.saturating_sub(weight);
            self.put_to_sleep(key, look);
        }
        if is_over {
            self.hold(look);
        }
    }

    /// The budget is exceeded. What idle applications do not give back, one that has grown may; else the
    /// log says how it is.
    fn hold(&mut self, look: &mut Look<'_>) {
        let mut over = *self.over.get_or_insert(Over {
            since: look.now,
            has_trimmed: false,
            is_told: false,
        });
        let is_enough = self.used <= self.limit + self.leaving(look.now);
        let is_replacing = look
            .seen
            .iter()
            .any(|own| own.stage == Stage::Up && !own.is_quiet);
        if !is_enough && !is_replacing {
            let grown = self.grown_most(look);
            match grown {
                Some((key, _)) if !over.has_trimmed => look.actions.push(Action::GiveBack(key)),
                Some((key, growth)) => {
                    if let Some(known) = self.known.get_mut(&key) {
                        known.replaced = Some(look.now);
                    }
                    look.actions.push(Action::Replace(key, growth));
                }
                None if look.now - over.since >= TOLERANCE && !over.is_told => {
                    over.is_told = true;
                    look.actions.push(Action::Say(Notice::Held));
                }
                None => {}
            }
            over.has_trimmed = true;
        }
        self.over = Some(over);
    }

    /// The application that has grown most since it was started, those that should stay awake last.
    fn grown_most(&self, look: &Look<'_>) -> Option<(Key, u64)> {
        let grown = look.seen.iter().filter_map(|own| {
            let known = self.known.get(&own.key)?;
            let growth = known.weight?.saturating_sub(known.fresh?.1);
            let is_spared = known.replaced.is_some_and(|at| look.now - at < REPLACED);
            let counts = known.stage == Stage::Up && growth >= WORTH && !is_spared;
            counts.then_some((!own.stays, growth, own.key))
        });
        grown.max().map(|(_, growth, key)| (key, growth))
    }
}

#[cfg(test)]
mod tests;
