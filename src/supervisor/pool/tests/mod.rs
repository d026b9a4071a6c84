//! The policy, told by a fake clock and no process.

mod recycling;
mod reloading;
mod sleeping;
mod walks;

use super::*;
use crate::config::{Recycle, RecycleMode};
use crate::control::Drain;

const GRACE: Duration = Duration::from_secs(30);
const KILLED: Ending = Ending::Signal(9);

/// A pool and its clock. Workers are named by the order in which they were decided on.
struct Story {
    pool: Pool,
    now: Instant,
}

fn id(number: u64) -> WorkerId {
    WorkerId(number)
}

/// The worker drains because the server stops.
fn drained(number: u64) -> Action {
    Action::Drain(id(number), Drain::stopping(GRACE, Duration::ZERO, false))
}

/// The same for Ctrl-C.
fn interrupted(number: u64) -> Action {
    Action::Drain(id(number), Drain::stopping(GRACE, Duration::ZERO, true))
}

/// The worker drains while others serve, or one will.
fn moved(old: WorkerId, new: Option<WorkerId>) -> Action {
    Action::HandOver(old, new, Drain::recycling(GRACE))
}

/// The worker drains, and no other serves.
fn emptied(old: WorkerId) -> Action {
    Action::HandOver(old, None, Drain::blocking())
}

fn story(workers: usize) -> (Story, Vec<Action>) {
    let recycle = Recycle {
        ttl: None,
        ttl_jitter: 10,
        max_rss: None,
        mode: RecycleMode::Overlap,
        grace: GRACE,
    };
    story_with(workers, recycle)
}

fn story_with(workers: usize, recycle: Recycle) -> (Story, Vec<Action>) {
    started(Settings {
        workers,
        recycle,
        ..plain()
    })
}

/// Settings of a pool where nothing else matters.
fn plain() -> Settings {
    Settings {
        workers: 1,
        startup: Some(Duration::from_secs(60)),
        grace: GRACE,
        drain_delay: Duration::ZERO,
        recycle: recycling::PLAIN,
        follows_changes: false,
        wake_timeout: Duration::from_secs(30),
        keep_template: Some(Duration::from_secs(3_600)),
        begins_asleep: false,
        serial: 0,
        seed: 1,
    }
}

fn story_without_limit(workers: usize, recycle: Recycle) -> (Story, Vec<Action>) {
    started(Settings {
        workers,
        startup: None,
        recycle,
        ..plain()
    })
}

fn started(settings: Settings) -> (Story, Vec<Action>) {
    let mut story = Story {
        pool: Pool::new(settings),
        now: Instant::now(),
    };
    let actions = story.on(Event::Tick);
    (story, actions)
}

/// All workers are ready.
fn serving(workers: usize) -> Story {
    let (mut story, _) = story(workers);
    for number in 0..u64::try_from(workers).unwrap() {
        story.on(Event::Ready(id(number)));
    }
    story
}

impl Story {
    fn on(&mut self, event: Event) -> Vec<Action> {
        self.pool.on(event, self.now)
    }

    /// Goes to the next deadline and says how far it was.
    fn wait(&mut self) -> (Duration, Vec<Action>) {
        let due = self.pool.next_deadline().expect("something is due");
        let waited = due.saturating_duration_since(self.now);
        self.now = due.max(self.now);
        (waited, self.on(Event::Tick))
    }

    fn after(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self
    }
}

#[test]
fn the_asked_number_of_workers_is_started() {
    let (_, actions) = story(2);
    assert_eq!(actions, [Action::Spawn(id(0)), Action::Spawn(id(1))]);
}

#[test]
fn only_the_first_ready_worker_is_announced() {
    let (mut story, _) = story(2);
    assert_eq!(
        story.on(Event::Ready(id(1))),
        [Action::Say(Notice::Running)]
    );
    assert_eq!(story.on(Event::Ready(id(0))), []);
}

#[test]
fn a_worker_that_was_never_ready_ends_the_server_with_its_code() {
    for (ending, exit) in [
        (Ending::Code(3), Exit::CouldNotStart),
        (Ending::Code(1), Exit::ImportRaised),
        (Ending::Code(0), Exit::CouldNotStart),
        (Ending::Signal(11), Exit::CouldNotStart),
    ] {
        let (mut story, _) = story(2);
        let said = Action::Say(Notice::NeverReady(id(0), ending));
        assert_eq!(
            story.on(Event::Ended(id(0), ending)),
            [said, Action::Quit(id(1))]
        );
        assert_eq!(
            story.on(Event::Ended(id(1), Ending::Code(0))),
            [Action::Exit(exit)]
        );
    }
}

#[test]
fn a_dead_worker_is_replaced_at_once_and_the_next_one_later() {
    let mut story = serving(1);
    let delay = Duration::ZERO;
    assert_eq!(
        story.on(Event::Ended(id(0), KILLED)),
        [
            Action::Say(Notice::Died(id(0), KILLED, delay)),
            Action::Spawn(id(1))
        ]
    );
    let delay = Duration::from_millis(100);
    assert_eq!(
        story.on(Event::Ended(id(1), KILLED)),
        [Action::Say(Notice::Died(id(1), KILLED, delay))]
    );
    assert_eq!(story.wait(), (delay, vec![Action::Spawn(id(2))]));
}

#[test]
fn workers_that_die_after_having_been_ready_never_end_the_server() {
    let mut story = serving(1);
    for number in 0..50 {
        let actions = story.on(Event::Ended(id(number), KILLED));
        assert!(
            matches!(actions[0], Action::Say(Notice::Died(..))),
            "{actions:?}"
        );
        if !actions.contains(&Action::Spawn(id(number + 1))) {
            assert_eq!(story.wait().1, [Action::Spawn(id(number + 1))]);
        }
        // Ready for too short a time to count as healthy.
        story.on(Event::Ready(id(number + 1)));
        story.after(Duration::from_secs(1));
    }
}

#[test]
fn starts_that_fail_one_after_the_other_end_the_server() {
    let mut story = serving(1);
    story.on(Event::Ended(id(0), KILLED));
    for number in 1.. {
        let actions = story.on(Event::Ended(id(number), KILLED));
        if let [Action::Say(Notice::CannotStart(..)), end] = actions[..] {
            assert_eq!((number, end), (8, Action::Exit(Exit::CouldNotStart)));
            break;
        }
        assert_eq!(story.wait().1, [Action::Spawn(id(number + 1))]);
    }
}

#[test]
fn deaths_are_counted_for_each_place() {
    let mut story = serving(2);
    for (number, pause) in [(0, 0), (2, 100), (3, 200)] {
        let died = Notice::Died(id(number), KILLED, Duration::from_millis(pause));
        assert_eq!(
            story.on(Event::Ended(id(number), KILLED))[0],
            Action::Say(died)
        );
        if pause > 0 {
            story.wait();
        }
        story.on(Event::Ready(id(if number == 0 { 2 } else { number + 1 })));
    }
    let died = Notice::Died(id(1), KILLED, Duration::ZERO);
    assert_eq!(story.on(Event::Ended(id(1), KILLED))[0], Action::Say(died));
}

#[test]
fn a_loop_of_one_worker_does_not_take_the_others_down() {
    let mut story = serving(2);
    let mut number = 1;
    for _ in 0..30 {
        let actions = story.on(Event::Ended(id(number), KILLED));
        assert!(
            matches!(actions[0], Action::Say(Notice::Died(..))),
            "{actions:?}"
        );
        number += 1;
        if !actions.contains(&Action::Spawn(id(number))) {
            let (waited, _) = story.wait();
            assert!(waited <= Duration::from_secs(4));
        }
    }
}

#[test]
fn a_worker_that_could_not_be_started_is_tried_again() {
    let mut story = serving(1);
    story.on(Event::Ended(id(0), KILLED));
    let actions = story.on(Event::NotStarted(id(1)));
    assert!(matches!(actions[..], [Action::Say(Notice::Died(..))]));
    assert_eq!(story.wait().1, [Action::Spawn(id(2))]);
}

#[test]
fn interrupting_drains_then_cuts_then_kills() {
    let mut story = serving(1);
    assert_eq!(story.on(Event::Interrupt), [interrupted(0)]);
    assert_eq!(story.on(Event::Interrupt), [Action::Leave(id(0))]);
    assert_eq!(story.on(Event::Interrupt), [Action::Kill(id(0))]);
    assert_eq!(
        story.on(Event::Ended(id(0), KILLED)),
        [Action::Exit(Exit::Stopped)]
    );
}

#[test]
fn asked_politely_twice_it_goes_on_draining() {
    let mut story = serving(1);
    assert_eq!(story.on(Event::Stop), [drained(0)]);
    assert_eq!(story.on(Event::Stop), []);
    assert_eq!(story.on(Event::Interrupt), [Action::Leave(id(0))]);
}

#[test]
fn a_drain_that_takes_too_long_is_cut() {
    let mut story = serving(1);
    story.on(Event::Stop);
    let stuck = vec![Action::Say(Notice::Stuck(id(0))), Action::Kill(id(0))];
    assert_eq!(story.wait(), (GRACE + DRAIN_MARGIN, stuck));
    assert_eq!(story.pool.next_deadline(), None);
}

#[test]
fn a_worker_that_is_still_starting_has_nothing_to_drain() {
    let (mut story, _) = story(1);
    assert_eq!(story.on(Event::Stop), [Action::Quit(id(0))]);
    // It became ready before it read the message.
    assert_eq!(story.on(Event::Ready(id(0))), []);
    assert_eq!(story.wait().0, QUIT_PATIENCE);
}

#[test]
fn a_second_signal_kills_a_worker_that_hears_nothing() {
    let (mut story, _) = story(1);
    story.on(Event::Stop);
    let killed = [Action::Say(Notice::Deaf(id(0))), Action::Kill(id(0))];
    assert_eq!(story.on(Event::Interrupt), killed);
    assert_eq!(story.on(Event::Interrupt), []);
    assert_eq!(
        story.on(Event::Ended(id(0), KILLED)),
        [Action::Exit(Exit::Stopped)]
    );
}

#[test]
fn stopping_at_once_gives_the_ready_a_moment_and_the_others_none() {
    let (mut story, _) = story(2);
    story.on(Event::Ready(id(0)));
    assert_eq!(
        story.on(Event::StopNow),
        [
            Action::Leave(id(0)),
            Action::Say(Notice::Deaf(id(1))),
            Action::Kill(id(1))
        ]
    );
    assert_eq!(story.wait().0, QUIT_PATIENCE);
}

#[test]
fn stopping_while_nothing_runs_ends_at_once() {
    let mut story = serving(1);
    story.on(Event::Ended(id(0), KILLED));
    story.on(Event::Ended(id(1), KILLED));
    assert_eq!(story.on(Event::Stop), [Action::Exit(Exit::Stopped)]);
}

#[test]
fn a_worker_that_is_not_ready_in_time_counts_as_failed() {
    let (mut story, _) = story(1);
    let limit = Duration::from_secs(60);
    let slow = Action::Say(Notice::TooSlow(id(0), limit));
    assert!(story.pool.next_slow_start().is_some());
    let early = story.now + Duration::from_secs(9);
    assert_eq!(story.pool.slow_starts(early), []);
    let late = story.now + Duration::from_secs(31);
    let told = Notice::StillStarting(id(0), Duration::from_secs(31));
    assert_eq!(story.pool.slow_starts(late), [told]);
    assert_eq!(
        story.pool.slow_starts(late),
        [],
        "not before three times as long"
    );
    assert_eq!(story.wait(), (limit, vec![slow, Action::Kill(id(0))]));
    let said = Action::Say(Notice::NeverReady(id(0), KILLED));
    let end = Action::Exit(Exit::CouldNotStart);
    assert_eq!(story.on(Event::Ended(id(0), KILLED)), [said, end]);
}

#[test]
fn growing_and_shrinking_keep_at_least_one() {
    let mut story = serving(1);
    assert_eq!(story.on(Event::Grow), [Action::Spawn(id(1))]);
    story.on(Event::Ready(id(1)));
    assert_eq!(story.on(Event::Shrink), [moved(id(1), Some(id(0)))]);
    assert_eq!(story.on(Event::Shrink), []);
}

#[test]
fn shrinking_gives_up_what_does_not_serve_yet() {
    let mut story = serving(1);
    story.on(Event::Ended(id(0), KILLED));
    story.on(Event::Grow);
    // The younger one is ready first.
    story.on(Event::Ready(id(2)));
    assert_eq!(story.on(Event::Shrink), [Action::Quit(id(1))]);
}

#[test]
fn a_delay_comes_before_the_drain_and_a_person_does_not_wait_for_it() {
    let delay = Duration::from_secs(20);
    for (event, waited) in [(Event::Stop, delay), (Event::Interrupt, Duration::ZERO)] {
        let mut story = serving(1);
        story.pool.settings.drain_delay = delay;
        let is_person = event == Event::Interrupt;
        let drain = Drain::stopping(GRACE, waited, is_person);
        assert_eq!(story.on(event), [Action::Drain(id(0), drain)]);
        assert_eq!(story.wait().0, waited + GRACE + DRAIN_MARGIN);
    }
}
