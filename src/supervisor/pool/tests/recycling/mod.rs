//! Swaps: how one worker follows the other. What brings that about and what comes between has
//! files of its own.

mod interruptions;
mod triggers;

use super::*;
use crate::control::Account;

const MB: u64 = 1 << 20;
const HOUR: Duration = Duration::from_secs(3_600);
const FINE: Ending = Ending::Code(0);
const FAILED: Ending = Ending::Code(3);
const ACCOUNT: Account = Account {
    requests: 7,
    handed_over: 5,
};

/// Nothing but SIGHUP.
pub(super) const PLAIN: Recycle = Recycle {
    ttl: None,
    ttl_jitter: 10,
    max_rss: None,
    mode: RecycleMode::Overlap,
    grace: GRACE,
};

const SEQUENTIAL: Recycle = Recycle {
    mode: RecycleMode::Sequential,
    ..PLAIN
};

const HOURLY: Recycle = Recycle {
    ttl: Some(HOUR),
    ..PLAIN
};

fn serving_with(workers: usize, recycle: Recycle) -> Story {
    let (mut story, _) = story_with(workers, recycle);
    for number in 0..u64::try_from(workers).unwrap() {
        story.step(Event::Ready(id(number)));
    }
    story
}

impl Story {
    /// As `on`, on scales that always say 50 MB where 1000 are free; their actions are left out.
    pub(super) fn step(&mut self, event: Event) -> Vec<Action> {
        let weighing = Weighing {
            own: Some(50 * MB),
            room: Some(1000 * MB),
        };
        self.step_weighing(event, weighing)
    }

    fn step_weighing(&mut self, event: Event, weighing: Weighing) -> Vec<Action> {
        let mut done = Vec::new();
        let mut actions = self.on(event);
        while !actions.is_empty() {
            let (weighed, others) = actions
                .into_iter()
                .partition(|action| matches!(action, Action::Weigh(_)));
            let weighed: Vec<Action> = weighed;
            done.extend::<Vec<Action>>(others);
            actions = Vec::new();
            for action in weighed {
                let Action::Weigh(id) = action else { continue };
                actions.extend(self.on(Event::Weighed(id, weighing)));
            }
        }
        done
    }

    /// Goes to the next deadline, with the scales of `step`.
    pub(super) fn wait_stepping(&mut self) -> (Duration, Vec<Action>) {
        let due = self.pool.next_deadline().expect("something is due");
        let waited = due.saturating_duration_since(self.now);
        self.now = due.max(self.now);
        (waited, self.step(Event::Tick))
    }

    /// Weighs all workers when it is next due, with this result.
    fn weigh(&mut self, own: u64) -> Vec<Action> {
        self.after(Duration::from_secs(1));
        let (own, room) = (Some(own), None);
        self.step_weighing(Event::Tick, Weighing { own, room })
    }
}

fn reason_of(actions: &[Action]) -> Option<Reason> {
    actions.iter().find_map(|action| match action {
        Action::Say(Notice::Recycled(recycled)) => Some(recycled.reason),
        _ => None,
    })
}

#[test]
fn overlapping_drains_the_old_worker_once_its_successor_is_ready() {
    let mut story = serving_with(1, PLAIN);
    assert_eq!(
        story.after(HOUR).step(Event::Recycle),
        [Action::Spawn(id(1))]
    );
    story.after(Duration::from_millis(400));
    assert_eq!(story.step(Event::Ready(id(1))), [moved(id(0), Some(id(1)))]);
    assert_eq!(story.step(Event::Served(id(0), ACCOUNT)), []);
    story.after(Duration::from_millis(20));
    let recycled = Recycled {
        old: id(0),
        new: Some(id(1)),
        reason: Reason::Signal,
        age: HOUR,
        account: Some(ACCOUNT),
        before: Some(50 * MB),
        after: Some(50 * MB),
        took: Duration::from_millis(420),
    };
    let said = Action::Say(Notice::Recycled(recycled));
    assert_eq!(story.step(Event::Ended(id(0), FINE)), [said]);
    assert_eq!(story.pool.next_deadline(), None);
}

#[test]
fn sequentially_the_old_worker_is_gone_before_its_successor_starts() {
    let mut story = serving_with(1, SEQUENTIAL);
    let winding = Action::WindDown(id(0), GRACE);
    assert_eq!(story.step(Event::Recycle), [winding]);
    assert_eq!(story.step(Event::WoundDown(id(0))), [emptied(id(0))]);
    assert_eq!(story.step(Event::Served(id(0), ACCOUNT)), []);
    assert_eq!(
        story.step(Event::Ended(id(0), FINE)),
        [Action::Spawn(id(1))]
    );
    let actions = story.step(Event::Ready(id(1)));
    let [Action::Say(Notice::Recycled(recycled))] = actions[..] else {
        panic!("{actions:?}");
    };
    assert_eq!(
        (recycled.new, recycled.account),
        (Some(id(1)), Some(ACCOUNT))
    );
}

#[test]
fn a_worker_that_does_not_wind_down_is_drained_all_the_same() {
    let mut story = serving_with(1, SEQUENTIAL);
    story.step(Event::Recycle);
    let (waited, actions) = story.wait_stepping();
    assert_eq!(actions, [emptied(id(0))]);
    assert!(waited > GRACE && waited < GRACE + Duration::from_secs(5));
    // Its answer comes too late to matter.
    assert_eq!(story.step(Event::WoundDown(id(0))), []);
    // Others wait for it now.
    let stuck = vec![Action::Say(Notice::Stuck(id(0))), Action::Kill(id(0))];
    assert_eq!(story.wait_stepping().1, stuck);
}

#[test]
fn a_worker_that_dies_winding_down_is_a_dead_worker() {
    let mut story = serving_with(1, SEQUENTIAL);
    story.step(Event::Recycle);
    let died = Action::Say(Notice::Died(id(0), KILLED, Duration::ZERO));
    assert_eq!(
        story.step(Event::Ended(id(0), KILLED)),
        [died, Action::Spawn(id(1))]
    );
    assert_eq!(story.step(Event::Ready(id(1))), []);
    assert_eq!(story.pool.next_deadline(), None);
}

#[test]
fn auto_overlaps_where_there_is_memory_for_two() {
    let auto = Recycle {
        mode: RecycleMode::Auto,
        ..PLAIN
    };
    for (own, room, overlaps) in [
        (Some(50 * MB), Some(60 * MB), true),
        (Some(50 * MB), Some(40 * MB), false),
        (Some(50 * MB), None, true),
        (None, Some(0), true),
    ] {
        let mut story = serving_with(1, auto);
        let actions = story.step_weighing(Event::Recycle, Weighing { own, room });
        let spawns = actions.contains(&Action::Spawn(id(1)));
        let winds = actions.contains(&Action::WindDown(id(0), GRACE));
        assert_eq!((spawns, winds), (overlaps, !overlaps), "{actions:?}");
    }
}

#[test]
fn of_several_workers_one_is_swapped_at_a_time_until_the_old_one_is_gone() {
    for mode in [RecycleMode::Overlap, RecycleMode::Sequential] {
        let mut story = serving_with(3, Recycle { mode, ..PLAIN });
        let mut actions = story.step(Event::Recycle);
        for number in 0..3 {
            let (old, new) = (id(number), id(number + 3));
            let spawn = Action::Spawn(new);
            if mode == RecycleMode::Overlap {
                assert_eq!(actions, [spawn]);
                assert_eq!(story.step(Event::Ready(new)), [moved(old, Some(new))]);
                actions = story.step(Event::Ended(old, FINE));
            } else {
                assert!(
                    matches!(actions[..], [Action::HandOver(worker, Some(_), _)] if worker == old)
                );
                assert_eq!(story.step(Event::Ended(old, FINE)), [spawn]);
                actions = story.step(Event::Ready(new));
            }
            assert_eq!(reason_of(&actions), Some(Reason::Signal));
            actions.remove(0);
        }
        assert_eq!(actions, []);
    }
}
