//! The reasons that make a worker due: its time, its requests, its memory, and several of them at once.

use super::*;

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
    assert_eq!(story.step(Event::Ready(id(2))), [moved(id(0), Some(id(2)))]);
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
    assert_eq!(story.step(Event::Ready(id(2))), [moved(id(1), Some(id(2)))]);
    let actions = story.step(Event::Ended(id(1), FINE));
    assert_eq!(reason_of(&actions), Some(Reason::MaxRequests));
}

const LIGHT: Recycle = Recycle {
    max_rss: Some(100 * MB),
    ..PLAIN
};

#[test]
fn a_worker_is_too_heavy_when_it_is_so_three_times_in_a_row_and_has_given_back() {
    let mut story = serving_with(1, LIGHT);
    for (own, gives_back, is_replaced) in [
        (101, true, false),
        (99, false, false),
        (101, true, false),
        (101, true, false),
        (101, false, true),
    ] {
        let actions = story.weigh(own * MB);
        assert_eq!(actions.contains(&Action::GiveBack(id(0))), gives_back);
        assert_eq!(
            actions.contains(&Action::Spawn(id(1))),
            is_replaced,
            "{own}"
        );
    }
    assert_eq!(story.step(Event::Ready(id(1))), [moved(id(0), Some(id(1)))]);
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
fn without_a_limit_no_worker_is_weighed() {
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
