//! Changes of the source: at every moment in a worker's life.

use super::recycling::PLAIN;
use super::*;

const RAISED: Ending = Ending::Code(1);

/// One worker, which starts, and a source that is watched.
fn watched() -> Story {
    let settings = Settings {
        workers: 1,
        startup: None,
        grace: GRACE,
        drain_delay: Duration::ZERO,
        recycle: PLAIN,
        follows_changes: true,
        wake_timeout: Duration::from_secs(30),
        begins_asleep: false,
        keep_template: Some(Duration::from_secs(3_600)),
        serial: 0,
        seed: 1,
    };
    started(settings).0
}

fn serving() -> Story {
    let mut story = watched();
    story.step(Event::Ready(id(0)));
    story
}

fn awaits(number: u64) -> Action {
    Action::Say(Notice::AwaitsChange(id(number), RAISED))
}

#[test]
fn a_change_is_served_by_a_successor_and_the_swap_is_over_then() {
    let mut story = serving();
    assert_eq!(story.step(Event::Changed), [Action::Spawn(id(1))]);
    let took = Duration::from_millis(200);
    assert_eq!(
        story.after(took).step(Event::Ready(id(1))),
        [
            moved(id(0), Some(id(1))),
            Action::Say(Notice::Reloaded(took))
        ]
    );
    // The old worker still drains.
    assert_eq!(story.step(Event::Changed), [Action::Spawn(id(2))]);
    assert_eq!(story.step(Event::Ended(id(0), Ending::Code(0))), []);
}

#[test]
fn what_cannot_be_started_waits_for_the_next_change_and_the_last_good_one_serves() {
    let mut story = serving();
    story.step(Event::Changed);
    for number in 1..10 {
        assert_eq!(
            story.step(Event::Ended(id(number), RAISED)),
            [awaits(number)]
        );
        assert_eq!(story.pool.next_deadline(), None);
        assert_eq!(story.step(Event::Changed), [Action::Spawn(id(number + 1))]);
    }
    let actions = story.step(Event::Ready(id(10)));
    assert!(actions.contains(&moved(id(0), Some(id(10)))));
}

#[test]
fn a_first_start_that_fails_waits_for_a_change() {
    let mut story = watched();
    assert_eq!(story.step(Event::Ended(id(0), RAISED)), [awaits(0)]);
    assert_eq!(story.pool.next_deadline(), None);
    assert_eq!(story.step(Event::Tick), []);
    assert_eq!(story.step(Event::Changed), [Action::Spawn(id(1))]);
    assert_eq!(
        story.step(Event::Ready(id(1))),
        [Action::Say(Notice::Running)]
    );
}

#[test]
fn a_signal_tries_again_without_a_change() {
    let mut story = watched();
    story.step(Event::Ended(id(0), RAISED));
    assert_eq!(story.step(Event::Recycle), [Action::Spawn(id(1))]);
}

#[test]
fn nothing_is_left_to_stop_while_a_change_is_awaited() {
    let mut story = watched();
    story.step(Event::Ended(id(0), RAISED));
    assert_eq!(story.step(Event::Stop), [Action::Exit(Exit::Stopped)]);
}

#[test]
fn a_start_that_a_change_overtakes_is_given_up() {
    let mut story = watched();
    let overtaken = [Action::Quit(id(0)), Action::Spawn(id(1))];
    assert_eq!(story.step(Event::Changed), overtaken);
    assert_eq!(story.step(Event::Ended(id(0), RAISED)), []);
    story.step(Event::Ready(id(1)));

    story.step(Event::Changed);
    let overtaken = [Action::Quit(id(2)), Action::Spawn(id(3))];
    assert_eq!(story.step(Event::Changed), overtaken);
    // It had become ready before it read the message.
    assert_eq!(story.step(Event::Ready(id(2))), []);
    assert_eq!(story.step(Event::Ended(id(2), Ending::Code(0))), []);
    let actions = story.step(Event::Ready(id(3)));
    assert!(actions.contains(&moved(id(1), Some(id(3)))));
}

#[test]
fn a_worker_that_dies_serving_is_replaced_until_that_cannot_start() {
    let mut story = serving();
    let died = Action::Say(Notice::Died(id(0), KILLED, Duration::ZERO));
    let replaced = [died, Action::Spawn(id(1))];
    assert_eq!(story.step(Event::Ended(id(0), KILLED)), replaced);
    assert_eq!(story.step(Event::Ended(id(1), RAISED)), [awaits(1)]);
    assert_eq!(story.step(Event::Changed), [Action::Spawn(id(2))]);
}

#[test]
fn workers_that_die_after_having_been_ready_are_replaced_without_a_change() {
    let mut story = serving();
    for number in 0..20 {
        let actions = story.step(Event::Ended(id(number), KILLED));
        if !actions.contains(&Action::Spawn(id(number + 1))) {
            story.wait_stepping();
        }
        story.step(Event::Ready(id(number + 1)));
    }
}

#[test]
fn a_change_comes_before_whatever_a_worker_is_due_for() {
    let mut story = serving();
    story.step(Event::LimitReached(id(0)));
    // The successor for the limit has the old source.
    let overtaken = [Action::Quit(id(1)), Action::Spawn(id(2))];
    assert_eq!(story.step(Event::Changed), overtaken);
    assert_eq!(story.step(Event::Ended(id(2), RAISED)), [awaits(2)]);
}

#[test]
fn a_stopping_server_follows_no_changes() {
    let mut story = serving();
    story.step(Event::Stop);
    assert_eq!(story.step(Event::Changed), []);
}
