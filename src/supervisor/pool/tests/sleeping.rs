//! Falling asleep, waking up, and what comes between.

use super::recycling::PLAIN;
use super::*;
use crate::control::Account;

const FINE: Ending = Ending::Code(0);
const FAILED: Ending = Ending::Code(3);
const REQUEST: Event = Event::Wake(Cause::Request);
const WAKE_TIMEOUT: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3_600);

fn sleep(number: u64) -> Action {
    Action::Sleep(id(number), Drain::recycling(PLAIN.grace))
}

/// One worker has been idle for the time, and all that it had is kept.
fn asleep() -> Story {
    let mut story = serving(1);
    story.step(Event::Idle(id(0)));
    story.step(Event::Ended(id(0), FINE));
    story
}

#[test]
fn an_idle_worker_is_weighed_and_told_to_sleep_and_its_end_is_no_death() {
    let mut story = serving(1);
    story.after(HOUR);
    let actions = story.step(Event::Idle(id(0)));
    assert_eq!(actions, [sleep(0)]);
    let account = Account {
        requests: 7,
        handed_over: 42,
    };
    story.step(Event::Served(id(0), account));
    let asleep = Asleep {
        age: HOUR,
        kept: 42,
        given_back: 50 << 20,
    };
    assert_eq!(
        story.step(Event::Ended(id(0), FINE)),
        [Action::Say(Notice::Asleep(asleep))]
    );
}

#[test]
fn the_first_byte_wakes_it_and_the_worker_gets_what_was_kept() {
    let mut story = asleep();
    assert_eq!(story.step(REQUEST), [Action::Spawn(id(1))]);
    assert_eq!(story.step(REQUEST), []);
    story.after(Duration::from_millis(48));
    let took = Duration::from_millis(48);
    assert_eq!(
        story.step(Event::Ready(id(1))),
        [
            Action::Say(Notice::Awake(id(1), took, Cause::Request)),
            Action::Deliver(id(1))
        ]
    );
}

#[test]
fn several_workers_sleep_together_once_all_are_idle() {
    let mut story = serving(2);
    assert_eq!(story.step(Event::Idle(id(0))), []);
    assert_eq!(story.step(Event::Busy(id(0))), []);
    assert_eq!(story.step(Event::Idle(id(1))), []);
    assert_eq!(story.step(Event::Idle(id(0))), [sleep(0), sleep(1)]);
}

#[test]
fn a_worker_with_a_request_meanwhile_goes_on() {
    let mut story = serving(1);
    story.step(Event::Idle(id(0)));
    assert_eq!(story.step(Event::Busy(id(0))), [Action::Deliver(id(0))]);
    assert_eq!(story.step(Event::Idle(id(0))), [sleep(0)]);
}

#[test]
fn one_of_two_that_refuses_stays_and_the_other_is_started_anew() {
    let mut story = serving(2);
    story.step(Event::Idle(id(0)));
    story.step(Event::Idle(id(1)));
    assert_eq!(
        story.step(Event::Busy(id(1))),
        [Action::Deliver(id(1)), Action::Spawn(id(2))]
    );
    assert_eq!(story.step(Event::Ended(id(0), FINE)), []);
}

#[test]
fn a_byte_during_the_drain_wakes_at_once_unless_workers_follow_one_after_the_other() {
    let mut story = serving(1);
    story.step(Event::Idle(id(0)));
    assert_eq!(story.step(REQUEST), [Action::Spawn(id(1))]);
    assert_eq!(story.step(Event::Ended(id(0), FINE)), []);

    let sequential = Recycle {
        mode: RecycleMode::Sequential,
        ..PLAIN
    };
    let (mut story, _) = story_with(1, sequential);
    story.step(Event::Ready(id(0)));
    story.step(Event::Idle(id(0)));
    assert_eq!(story.step(REQUEST), []);
    let actions = story.step(Event::Ended(id(0), FINE));
    assert!(
        matches!(
            actions[..],
            [Action::Say(Notice::Asleep(_)), Action::Spawn(_)]
        ),
        "{actions:?}"
    );
}

#[test]
fn a_worker_killed_while_it_drains_sleeps_too() {
    let mut story = serving(1);
    story.step(Event::Idle(id(0)));
    let actions = story.step(Event::Ended(id(0), KILLED));
    assert!(
        matches!(
            actions[..],
            [
                Action::Say(Notice::DiedStopping(..)),
                Action::Say(Notice::Asleep(_))
            ]
        ),
        "{actions:?}"
    );
    assert_eq!(story.step(REQUEST), [Action::Spawn(id(1))]);
}

#[test]
fn a_worker_that_should_be_replaced_is_replaced_first() {
    let mut story = serving(1);
    story.step(Event::Recycle);
    assert_eq!(story.step(Event::Idle(id(0))), []);
    story.step(Event::Ready(id(1)));
    story.step(Event::Ended(id(0), FINE));
    assert_eq!(story.step(Event::Idle(id(1))), [sleep(1)]);
}

#[test]
fn new_code_is_not_lost_on_a_worker_that_refuses_to_sleep() {
    let mut story = serving(1);
    story.step(Event::Idle(id(0)));
    story.step(Event::Recycle);
    assert_eq!(
        story.step(Event::Busy(id(0))),
        [Action::Deliver(id(0)), Action::Spawn(id(1))]
    );
}

#[test]
fn a_start_that_fails_is_tried_once_more_and_then_with_pauses_when_someone_knocks() {
    let mut story = asleep();
    story.step(REQUEST);
    let died = Action::Say(Notice::Died(id(1), FAILED, Duration::ZERO));
    assert_eq!(
        story.step(Event::Ended(id(1), FAILED)),
        [died, Action::Spawn(id(2))]
    );
    let mut number = 2;
    for pause in [1, 2, 4].map(Duration::from_secs) {
        let failed = Action::Say(Notice::WakeFailed(id(number), FAILED, pause));
        assert_eq!(
            story.step(Event::Ended(id(number), FAILED)),
            [failed, Action::Refuse(pause)]
        );
        story.after(pause / 2);
        assert_eq!(story.step(REQUEST), [Action::Refuse(pause / 2)]);
        story.after(pause / 2);
        assert_eq!(story.step(REQUEST), [Action::Spawn(id(number + 1))]);
        story.step(Event::Ended(id(number + 1), FAILED));
        number += 2;
    }
}

#[test]
fn nothing_wakes_by_itself_what_could_not_be_woken() {
    let mut story = asleep();
    story.step(REQUEST);
    story.step(Event::Ended(id(1), FAILED));
    story.step(Event::Ended(id(2), FAILED));
    assert_eq!(story.pool.next_deadline(), None);
    story.step(Event::Recycle);
    assert_eq!(story.step(REQUEST), [Action::Spawn(id(3))]);
}

#[test]
fn clients_do_not_wait_for_a_slow_start_which_goes_on_without_them() {
    let mut story = asleep();
    story.step(REQUEST);
    let (waited, actions) = story.wait();
    assert_eq!(waited, WAKE_TIMEOUT);
    let late = Action::Say(Notice::WakesLate(WAKE_TIMEOUT));
    assert!(matches!(actions[..], [said, Action::Refuse(_)] if said == late));
    assert!(matches!(story.step(REQUEST)[..], [Action::Refuse(_)]));
    let actions = story.step(Event::Ready(id(1)));
    assert!(matches!(
        actions[..],
        [Action::Say(Notice::Awake(..)), Action::Deliver(_)]
    ));
}

#[test]
fn in_the_hours_it_wakes_by_itself_and_does_not_sleep() {
    let mut story = asleep();
    assert_eq!(story.step(Event::Hours(true)), [Action::Spawn(id(1))]);
    story.step(Event::Ready(id(1)));
    assert_eq!(story.step(Event::Idle(id(1))), []);
    assert_eq!(story.step(Event::Hours(false)), [sleep(1)]);
}

#[test]
fn in_the_hours_a_failed_start_is_tried_again() {
    let mut story = asleep();
    story.step(Event::Hours(true));
    story.step(Event::Ended(id(1), FAILED));
    story.step(Event::Ended(id(2), FAILED));
    let (waited, actions) = story.wait();
    assert_eq!(waited, Duration::from_secs(1));
    assert_eq!(actions, [Action::Spawn(id(3))]);
}

#[test]
fn the_template_outlives_the_last_worker_for_its_time() {
    let mut story = asleep();
    assert_eq!(story.wait(), (HOUR, vec![Action::DropTemplate]));
    assert_eq!(story.pool.next_deadline(), None);
    let mut story = asleep();
    story.step(REQUEST);
    story.step(Event::Ready(id(1)));
    assert_eq!(story.pool.next_deadline(), None);
}

#[test]
fn stopping_while_asleep_ends_at_once_and_leaves_no_client_without_an_answer() {
    let mut story = asleep();
    let actions = story.step(Event::Stop);
    assert!(matches!(
        actions[..],
        [Action::Refuse(_), Action::Exit(Exit::Stopped)]
    ));
    let mut story = asleep();
    story.step(REQUEST);
    let actions = story.step(Event::Stop);
    assert!(matches!(actions[..], [Action::Refuse(_), Action::Quit(_)]));
}

#[test]
fn stopping_one_that_is_told_to_sleep_drains_it() {
    let mut story = serving(1);
    story.step(Event::Idle(id(0)));
    let actions = story.step(Event::Stop);
    assert!(
        matches!(actions[..], [.., Action::Drain(..)]),
        "{actions:?}"
    );
    assert_eq!(
        story.step(Event::Ended(id(0), FINE)),
        [Action::Exit(Exit::Stopped)]
    );
}

#[test]
fn workers_may_be_added_and_given_up_while_none_is_there() {
    let mut story = asleep();
    assert_eq!(story.step(Event::Grow), []);
    assert_eq!(
        story.step(REQUEST),
        [Action::Spawn(id(1)), Action::Spawn(id(2))]
    );
}

#[test]
fn one_that_begins_asleep_starts_its_worker_for_the_first_request_and_a_failed_start_ends_nothing()
{
    let begins_asleep = Settings {
        begins_asleep: true,
        ..plain()
    };
    let (mut story, actions) = started(begins_asleep);
    assert_eq!(actions, [Action::Keep, Action::Say(Notice::BeginsAsleep)]);
    assert_eq!(story.step(Event::Tick), []);
    assert_eq!(story.step(Event::Recycle), []);
    assert_eq!(story.step(REQUEST), [Action::Spawn(id(0))]);
    assert_eq!(
        story.step(Event::Ended(id(0), FAILED)),
        [
            Action::Say(Notice::Died(id(0), FAILED, Duration::ZERO)),
            Action::Spawn(id(1))
        ]
    );
    story.step(Event::Ready(id(1)));
    assert!(story.pool.may_sleep());
}
