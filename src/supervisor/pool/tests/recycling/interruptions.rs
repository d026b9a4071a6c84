//! Swaps that something comes between: successors that fail, old workers that die, signals.

use super::*;

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
fn a_start_with_no_other_worker_may_take_its_time() {
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
    for workers in [1, 2] {
        let recycle = if workers == 1 { PLAIN } else { SEQUENTIAL };
        let mut story = serving_with(workers, recycle);
        story.step(Event::LimitReached(id(0)));
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
        if let [Action::Say(Notice::CannotStart(..)), end] = actions[..] {
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
    assert_eq!(story.step(Event::Stop), [drained(0), Action::Quit(id(1))]);
    assert_eq!(story.step(Event::Ended(id(1), FAILED)), []);
    assert_eq!(
        story.step(Event::Ended(id(0), FINE)),
        [Action::Exit(Exit::Stopped)]
    );

    // The successor serves already.
    let mut story = serving_with(1, HOURLY);
    story.step(Event::Recycle);
    story.step(Event::Ready(id(1)));
    assert_eq!(story.step(Event::Stop), [drained(1)]);
    assert_eq!(story.step(Event::Ended(id(0), FINE)), []);
    assert_eq!(
        story.step(Event::Ended(id(1), FINE)),
        [Action::Exit(Exit::Stopped)]
    );

    // No worker serves.
    let mut story = serving_with(1, SEQUENTIAL);
    story.step(Event::Recycle);
    story.step(Event::WoundDown(id(0)));
    assert_eq!(story.step(Event::Stop), []);
    assert_eq!(
        story.step(Event::Ended(id(0), FINE)),
        [Action::Exit(Exit::Stopped)]
    );
}

/// The second worker of a server with eight seconds for a stop has just taken the place of the first.
fn replaced() -> (Story, impl Fn(u64) -> Action) {
    let grace = Duration::from_secs(8);
    let (mut story, _) = started(Settings { grace, ..plain() });
    story.step(Event::Ready(id(0)));
    story.step(Event::Recycle);
    let actions = story.step(Event::Ready(id(1)));
    assert!(actions.contains(&moved(id(0), Some(id(1)))), "{actions:?}");
    let drain = Drain::stopping(grace, Duration::ZERO, false);
    (story, move |number| Action::Drain(id(number), drain))
}

#[test]
fn a_worker_that_is_replaced_ends_with_the_server() {
    let (mut story, drained) = replaced();
    story.after(Duration::from_secs(1));
    assert_eq!(story.step(Event::Stop), [drained(0), drained(1)]);
    assert_eq!(story.step(Event::Stop), []);
    assert_eq!(story.wait().0, Duration::from_secs(8) + DRAIN_MARGIN);
}

#[test]
fn a_worker_that_is_replaced_and_has_less_time_left_keeps_it() {
    let (mut story, drained) = replaced();
    story.after(GRACE - Duration::from_secs(1));
    assert_eq!(story.step(Event::Stop), [drained(1)]);
    assert_eq!(story.wait().0, Duration::from_secs(1) + DRAIN_MARGIN);
}

#[test]
fn a_stopping_server_replaces_no_worker() {
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
        [Action::Quit(id(2)), moved(id(1), Some(id(0)))]
    );
    assert_eq!(story.step(Event::Ended(id(2), FINE)), []);
    assert_eq!(story.step(Event::Ended(id(1), FINE)), []);

    // An empty place is given up first.
    let mut story = serving_with(2, SEQUENTIAL);
    story.step(Event::Recycle);
    assert_eq!(story.step(Event::Shrink), []);
    let actions = story.step(Event::Ended(id(0), FINE));
    // The other one is due, too.
    assert_eq!(actions[1..], [Action::WindDown(id(1), GRACE)]);
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
