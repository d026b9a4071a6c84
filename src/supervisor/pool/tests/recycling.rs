//! Swaps: what brings them about, how they go, and everything that may come between.

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
};

const SEQUENTIAL: Recycle = Recycle {
    mode: RecycleMode::Sequential,
    ..PLAIN
};

fn serving_with(workers: usize, recycle: Recycle) -> Story {
    let (mut story, _) = story_with(workers, recycle);
    for number in 0..u32::try_from(workers).unwrap() {
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

    /// Weighs everyone when it is next due, with this result.
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

// --- how one follows the other

#[test]
fn overlapping_drains_the_old_worker_once_its_successor_is_ready() {
    let mut story = serving_with(1, PLAIN);
    assert_eq!(
        story.after(HOUR).step(Event::Recycle),
        [Action::Spawn(id(1))]
    );
    story.after(Duration::from_millis(400));
    assert_eq!(
        story.step(Event::Ready(id(1))),
        [Action::HandOver(id(0), Some(id(1)))]
    );
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
    let later = Action::HandOver(id(0), None);
    assert_eq!(story.step(Event::Recycle), [later]);
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
        let drains = actions.contains(&Action::HandOver(id(0), None));
        assert_eq!((spawns, drains), (overlaps, !overlaps), "{actions:?}");
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
                assert_eq!(
                    story.step(Event::Ready(new)),
                    [Action::HandOver(old, Some(new))]
                );
                actions = story.step(Event::Ended(old, FINE));
            } else {
                assert!(
                    matches!(actions[..], [Action::HandOver(worker, Some(_))] if worker == old)
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

// --- what brings it about

const HOURLY: Recycle = Recycle {
    ttl: Some(HOUR),
    ..PLAIN
};

#[test]
fn a_worker_is_replaced_when_its_time_is_over_and_so_is_its_successor() {
    let mut story = serving_with(1, HOURLY);
    for number in 0..20 {
        let (waited, actions) = story.wait_stepping();
        assert_eq!(actions, [Action::Spawn(id(number + 1))]);
        assert!(waited <= HOUR && waited >= HOUR.mul_f64(0.9), "{waited:?}");
        story.step(Event::Ready(id(number + 1)));
        let actions = story.step(Event::Ended(id(number), FINE));
        assert_eq!(reason_of(&actions), Some(Reason::Ttl));
    }
}

#[test]
fn times_to_live_do_not_line_up() {
    let story = serving_with(8, HOURLY);
    let workers = story.pool.workers.iter();
    let mut ends: Vec<_> = workers
        .map(|worker| match worker.state {
            State::Ready {
                expires: Some(expires),
                ..
            } => expires,
            other => panic!("{other:?}"),
        })
        .collect();
    ends.sort();
    let closest = ends.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap();
    // Spread evenly they would be a seventh of six minutes apart.
    assert!(closest > Duration::from_secs(15), "{closest:?}");
}

#[test]
fn without_jitter_the_time_is_exact_and_workers_queue_up() {
    let exact = Recycle {
        ttl_jitter: 0,
        ..HOURLY
    };
    let mut story = serving_with(2, exact);
    assert_eq!(story.wait_stepping(), (HOUR, vec![Action::Spawn(id(2))]));
    assert_eq!(
        story.step(Event::Ready(id(2))),
        [Action::HandOver(id(0), Some(id(2)))]
    );
    let actions = story.step(Event::Ended(id(0), FINE));
    assert_eq!(actions[1..], [Action::Spawn(id(3))]);
}

#[test]
fn a_worker_that_has_served_enough_is_replaced() {
    let mut story = serving_with(2, PLAIN);
    assert_eq!(
        story.step(Event::LimitReached(id(1))),
        [Action::Spawn(id(2))]
    );
    assert_eq!(
        story.step(Event::Ready(id(2))),
        [Action::HandOver(id(1), Some(id(2)))]
    );
    let actions = story.step(Event::Ended(id(1), FINE));
    assert_eq!(reason_of(&actions), Some(Reason::MaxRequests));
}

const LIGHT: Recycle = Recycle {
    max_rss: Some(100 * MB),
    ..PLAIN
};

#[test]
fn a_worker_is_too_heavy_when_it_is_so_twice_in_a_row() {
    let mut story = serving_with(1, LIGHT);
    for (own, is_replaced) in [(101, false), (99, false), (101, false), (101, true)] {
        let actions = story.weigh(own * MB);
        assert_eq!(
            actions.contains(&Action::Spawn(id(1))),
            is_replaced,
            "{own}"
        );
    }
    assert_eq!(
        story.step(Event::Ready(id(1))),
        [Action::HandOver(id(0), Some(id(1)))]
    );
    let actions = story.step(Event::Ended(id(0), FINE));
    assert_eq!(reason_of(&actions), Some(Reason::MaxRss));
}

#[test]
fn a_worker_that_is_too_heavy_from_the_start_is_not_replaced_again_and_again() {
    let (mut story, _) = story_with(1, LIGHT);
    let heavy = Weighing {
        own: Some(200 * MB),
        room: None,
    };
    let actions = story.step_weighing(Event::Ready(id(0)), heavy);
    let said = Action::Say(Notice::HeavyFromTheStart(id(0), 200 * MB));
    assert_eq!(actions, [Action::Say(Notice::Running), said]);
    for _ in 0..5 {
        assert_eq!(story.weigh(200 * MB), []);
    }
}

#[test]
fn without_a_limit_nobody_is_weighed() {
    let mut story = serving_with(1, PLAIN);
    assert_eq!(story.pool.next_deadline(), None);
    assert_eq!(story.after(HOUR).on(Event::Tick), []);
}

#[test]
fn two_triggers_at_once_are_one_swap_for_the_first_reason() {
    let ttl = Some(Duration::from_secs(30));
    let mut story = serving_with(1, Recycle { ttl, ..PLAIN });
    story.step(Event::LimitReached(id(0)));
    story.after(Duration::from_secs(30));
    assert_eq!(story.step(Event::Tick), []);
    assert_eq!(story.step(Event::Recycle), []);
    story.step(Event::Ready(id(1)));
    let actions = story.step(Event::Ended(id(0), FINE));
    assert_eq!(reason_of(&actions), Some(Reason::MaxRequests));
    // The successor had begun to import before the signal came.
    assert_eq!(actions[1..], [Action::Spawn(id(2))]);
}

#[test]
fn triggers_for_two_workers_are_two_swaps_in_turn() {
    let mut story = serving_with(2, PLAIN);
    assert_eq!(
        story.step(Event::LimitReached(id(1))),
        [Action::Spawn(id(2))]
    );
    assert_eq!(story.step(Event::LimitReached(id(0))), []);
    story.step(Event::Ready(id(2)));
    let actions = story.step(Event::Ended(id(1), FINE));
    assert_eq!(actions[1..], [Action::Spawn(id(3))]);
}

// --- what comes between

#[test]
fn a_successor_that_fails_leaves_the_old_worker_serving_and_is_tried_again_ever_later() {
    let mut story = serving_with(1, PLAIN);
    story.step(Event::Recycle);
    for (number, pause) in (1..).zip([1, 2, 4, 8, 16, 32, 60, 60]) {
        let pause = Duration::from_secs(pause);
        let said = Action::Say(Notice::SuccessorFailed(id(number), FAILED, pause));
        assert_eq!(story.step(Event::Ended(id(number), FAILED)), [said]);
        assert_eq!(
            story.wait_stepping(),
            (pause, vec![Action::Spawn(id(number + 1))])
        );
        assert_eq!(
            story.pool.next_deadline(),
            Some(story.now + Duration::from_secs(60))
        );
    }
    story.step(Event::Ready(id(9)));
    assert!(reason_of(&story.step(Event::Ended(id(0), FINE))).is_some());
    // Forgiven and forgotten.
    story.step(Event::Recycle);
    let actions = story.step(Event::Ended(id(10), FAILED));
    let said = Notice::SuccessorFailed(id(10), FAILED, Duration::from_secs(1));
    assert_eq!(actions, [Action::Say(said)]);
}

#[test]
fn a_successor_that_is_too_slow_has_failed() {
    let mut story = serving_with(1, PLAIN);
    story.step(Event::Recycle);
    let limit = Duration::from_secs(60);
    let slow = Action::Say(Notice::TooSlow(id(1), limit));
    assert_eq!(
        story.wait_stepping(),
        (limit, vec![slow, Action::Kill(id(1))])
    );
    let said = Notice::SuccessorFailed(id(1), KILLED, Duration::from_secs(1));
    assert_eq!(story.step(Event::Ended(id(1), KILLED)), [Action::Say(said)]);
}

/// One worker, which has taken this long to start, and no limit that was asked for.
fn serving_after(start: Duration) -> Story {
    let (mut story, _) = story_without_limit(1, PLAIN);
    story.after(start).step(Event::Ready(id(0)));
    story
}

#[test]
fn a_successor_has_a_limit_of_its_own_where_none_was_asked_for() {
    for (start, limit) in [(1, 60), (12, 60), (13, 65), (600, 3_000)] {
        let mut story = serving_after(Duration::from_secs(start));
        story.step(Event::Recycle);
        let limit = Duration::from_secs(limit);
        let slow = Action::Say(Notice::TooSlow(id(1), limit));
        assert_eq!(
            story.wait_stepping(),
            (limit, vec![slow, Action::Kill(id(1))])
        );
    }
}

#[test]
fn a_start_that_nobody_serves_beside_may_take_its_time() {
    // The first one.
    let (story, _) = story_without_limit(1, PLAIN);
    assert_eq!(story.pool.next_deadline(), None);
    // That of a dead worker's successor.
    let mut story = serving_after(Duration::from_secs(1));
    story.step(Event::Ended(id(0), KILLED));
    assert_eq!(story.pool.next_deadline(), None);
    // One that had a limit until the old worker died.
    let mut story = serving_after(Duration::from_secs(1));
    story.step(Event::Recycle);
    story.step(Event::Ended(id(0), KILLED));
    assert_eq!(story.pool.next_deadline(), None);
    // That of a sequential successor.
    let (mut story, _) = story_without_limit(1, SEQUENTIAL);
    story.step(Event::Ready(id(0)));
    story.step(Event::Recycle);
    story.step(Event::Ended(id(0), FINE));
    assert_eq!(story.pool.next_deadline(), None);
}

#[test]
fn a_successor_without_a_process_has_failed() {
    let mut story = serving_with(1, PLAIN);
    story.step(Event::Recycle);
    let actions = story.step(Event::NotStarted(id(1)));
    assert!(matches!(
        actions[..],
        [Action::Say(Notice::SuccessorFailed(..))]
    ));
}

#[test]
fn a_signal_does_not_wait_for_the_next_attempt() {
    let mut story = serving_with(1, PLAIN);
    story.step(Event::Recycle);
    story.step(Event::Ended(id(1), FAILED));
    assert_eq!(story.step(Event::Recycle), [Action::Spawn(id(2))]);
}

#[test]
fn a_successor_takes_the_place_of_an_old_worker_that_dies_meanwhile() {
    let mut story = serving_with(1, PLAIN);
    story.step(Event::Recycle);
    let died = Action::Say(Notice::Died(id(0), KILLED, Duration::ZERO));
    assert_eq!(story.step(Event::Ended(id(0), KILLED)), [died]);
    // Then it dies, too: a dead worker like any other.
    let died = Action::Say(Notice::Died(id(1), KILLED, Duration::ZERO));
    assert_eq!(
        story.step(Event::Ended(id(1), KILLED)),
        [died, Action::Spawn(id(2))]
    );
    assert_eq!(story.step(Event::Ready(id(2))), []);
}

#[test]
fn a_successor_that_dies_while_the_old_worker_drains_is_replaced() {
    let mut story = serving_with(1, PLAIN);
    story.step(Event::Recycle);
    story.step(Event::Ready(id(1)));
    let died = Action::Say(Notice::Died(id(1), KILLED, Duration::ZERO));
    assert_eq!(
        story.step(Event::Ended(id(1), KILLED)),
        [died, Action::Spawn(id(2))]
    );
    let actions = story.step(Event::Ended(id(0), FINE));
    assert!(matches!(
        actions[..],
        [Action::Say(Notice::Recycled(Recycled { new: None, .. }))]
    ));
    assert_eq!(story.step(Event::Ready(id(2))), []);
}

#[test]
fn an_old_worker_that_dies_draining_is_reported_and_gone() {
    let mut story = serving_with(1, PLAIN);
    story.step(Event::Recycle);
    story.step(Event::Ready(id(1)));
    let actions = story.step(Event::Ended(id(0), KILLED));
    assert_eq!(actions[0], Action::Say(Notice::DiedStopping(id(0), KILLED)));
    assert_eq!(reason_of(&actions), Some(Reason::Signal));
    assert_eq!(actions.len(), 2);
}

#[test]
fn an_old_worker_that_does_not_drain_is_killed_and_the_swap_goes_on() {
    for recycle in [PLAIN, SEQUENTIAL] {
        let mut story = serving_with(1, recycle);
        story.step(Event::Recycle);
        story.step(Event::Ready(id(1)));
        let stuck = vec![Action::Say(Notice::Stuck(id(0))), Action::Kill(id(0))];
        assert_eq!(story.wait_stepping(), (GRACE + DRAIN_MARGIN, stuck));
        let actions = story.step(Event::Ended(id(0), KILLED));
        assert_eq!(actions.len(), 1, "{actions:?}");
    }
}

#[test]
fn a_sequential_successor_that_fails_is_a_dead_worker() {
    let mut story = serving_with(1, SEQUENTIAL);
    story.step(Event::Recycle);
    story.step(Event::Ended(id(0), FINE));
    for number in 1.. {
        let actions = story.step(Event::Ended(id(number), FAILED));
        if let [Action::Say(Notice::CrashLoop(..)), end] = actions[..] {
            assert_eq!(end, Action::Exit(Exit::CouldNotStart));
            break;
        }
        assert!(
            matches!(actions[0], Action::Say(Notice::Died(..))),
            "{actions:?}"
        );
        if actions.len() == 1 {
            assert_eq!(story.wait_stepping().1, [Action::Spawn(id(number + 1))]);
        }
    }
}

#[test]
fn a_stop_during_a_swap_stops_both() {
    let mut story = serving_with(1, HOURLY);
    story.step(Event::Recycle);
    assert_eq!(
        story.step(Event::Stop),
        [Action::Drain(id(0)), Action::Quit(id(1))]
    );
    assert_eq!(story.step(Event::Ended(id(1), FAILED)), []);
    assert_eq!(
        story.step(Event::Ended(id(0), FINE)),
        [Action::Exit(Exit::Stopped)]
    );

    // The successor serves already.
    let mut story = serving_with(1, HOURLY);
    story.step(Event::Recycle);
    story.step(Event::Ready(id(1)));
    assert_eq!(story.step(Event::Stop), [Action::Drain(id(1))]);
    assert_eq!(story.step(Event::Ended(id(0), FINE)), []);
    assert_eq!(
        story.step(Event::Ended(id(1), FINE)),
        [Action::Exit(Exit::Stopped)]
    );

    // Nobody serves.
    let mut story = serving_with(1, SEQUENTIAL);
    story.step(Event::Recycle);
    assert_eq!(story.step(Event::Stop), []);
    assert_eq!(
        story.step(Event::Ended(id(0), FINE)),
        [Action::Exit(Exit::Stopped)]
    );
}

#[test]
fn a_stopping_server_replaces_nobody() {
    let mut story = serving_with(1, HOURLY);
    story.step(Event::Stop);
    assert_eq!(story.step(Event::Recycle), []);
    assert_eq!(story.step(Event::LimitReached(id(0))), []);
    assert_eq!(
        story.pool.next_deadline(),
        Some(story.now + GRACE + DRAIN_MARGIN)
    );
}

#[test]
fn shrinking_during_a_swap_leaves_the_wanted_number() {
    // Beside the old one a successor starts: the old worker's place is given up, and both with it.
    let mut story = serving_with(2, PLAIN);
    story.step(Event::LimitReached(id(1)));
    assert_eq!(
        story.step(Event::Shrink),
        [Action::Quit(id(2)), Action::HandOver(id(1), Some(id(0)))]
    );
    assert_eq!(story.step(Event::Ended(id(2), FINE)), []);
    assert_eq!(story.step(Event::Ended(id(1), FINE)), []);

    // An empty place is given up first.
    let mut story = serving_with(2, SEQUENTIAL);
    story.step(Event::Recycle);
    assert_eq!(story.step(Event::Shrink), []);
    let actions = story.step(Event::Ended(id(0), FINE));
    // The other one is due, too.
    assert_eq!(actions[1..], [Action::HandOver(id(1), None)]);
}

#[test]
fn a_dead_worker_that_was_due_is_not_replaced_twice() {
    let mut story = serving_with(2, PLAIN);
    story.step(Event::Recycle);
    // Not its turn yet.
    let actions = story.step(Event::Ended(id(1), KILLED));
    assert!(actions.contains(&Action::Spawn(id(3))), "{actions:?}");
    story.step(Event::Ready(id(3)));
    story.step(Event::Ready(id(2)));
    let actions = story.step(Event::Ended(id(0), FINE));
    assert_eq!(actions.len(), 1, "{actions:?}");
}
