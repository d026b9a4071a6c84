use super::*;
use crate::cli::job as typed;

const SECOND: Duration = Duration::from_secs(1);

struct Clock {
    wall: Timestamp,
    steady: Instant,
}

impl Clock {
    fn at(text: &str) -> Self {
        Self {
            wall: text.parse().unwrap(),
            steady: Instant::now(),
        }
    }

    fn now(&self) -> Now {
        Now {
            wall: self.wall,
            steady: self.steady,
        }
    }

    fn pass(&mut self, time: Duration) {
        self.wall += time;
        self.steady += time;
    }

    fn set(&mut self, text: &str) {
        self.wall = text.parse().unwrap();
    }
}

fn job(settings: &str) -> Job {
    typed::parse(&format!("a=b:c {settings}")).unwrap()
}

fn starts(actions: &[Action]) -> usize {
    actions
        .iter()
        .filter(|action| matches!(action, Action::Start(_)))
        .count()
}

/// The kept state of a plan.
fn kept(policy: &Policy, running: Option<crate::jobs::state::Begun>) -> Kept {
    Kept {
        schedule: policy.job.schedule.to_string(),
        anchor: policy.anchor(),
        next: policy.next,
        seen: policy.seen(),
        number: 1,
        running,
        records: Vec::new(),
    }
}

#[test]
fn an_interval_begins_with_a_pause_and_goes_on_by_its_grid() {
    let mut clock = Clock::at("2026-01-01T00:00:00Z");
    let mut policy = Policy::new(&job("every 10s"), None, clock.now());
    assert_eq!(policy.due(), Some(clock.wall + 10 * SECOND));
    clock.pass(Duration::from_millis(10_050));
    assert_eq!(starts(&policy.on(Event::Tick, clock.now())), 1);
    assert_eq!(policy.due(), Some("2026-01-01T00:00:20Z".parse().unwrap()));
}

#[test]
fn a_time_at_which_the_job_runs_is_skipped_queued_or_replaces() {
    for (overlap, during, after) in [("skip", 0, 0), ("queue", 0, 1), ("replace", 1, 1)] {
        let mut clock = Clock::at("2026-01-01T00:00:00Z");
        let mut policy = Policy::new(
            &job(&format!("every 1m overlap {overlap}")),
            None,
            clock.now(),
        );
        clock.pass(60 * SECOND);
        assert_eq!(starts(&policy.on(Event::Tick, clock.now())), 1);
        let mut ends = 0;
        for _ in 0..3 {
            clock.pass(60 * SECOND);
            let actions = policy.on(Event::Tick, clock.now());
            assert_eq!(starts(&actions), 0, "{overlap}: never beside itself");
            ends += usize::from(actions.contains(&Action::End(Why::Replaced)));
        }
        assert_eq!(ends.min(1), during, "{overlap}");
        let actions = policy.on(Event::Ended(Outcome::Done), clock.now());
        assert_eq!(
            starts(&actions),
            after,
            "{overlap}: one follows, and no burst"
        );
    }
}

#[test]
fn a_run_that_fails_is_tried_again_with_growing_pauses_and_then_given_up() {
    let mut clock = Clock::at("2026-01-01T00:00:00Z");
    let mut policy = Policy::new(&job("retries 2"), None, clock.now());
    let mut attempts = starts(&policy.on(Event::Requested, clock.now()));
    for pause in [5, 10] {
        let actions = policy.on(Event::Ended(Outcome::Code(1)), clock.now());
        assert_eq!(actions, [Action::TellRetry(pause * SECOND)]);
        clock.pass(pause * SECOND - SECOND);
        assert!(policy.on(Event::Tick, clock.now()).is_empty());
        clock.pass(SECOND);
        attempts += starts(&policy.on(Event::Tick, clock.now()));
    }
    assert!(
        policy
            .on(Event::Ended(Outcome::Signal(9)), clock.now())
            .is_empty()
    );
    clock.pass(9_999 * SECOND);
    assert!(policy.on(Event::Tick, clock.now()).is_empty());
    assert_eq!(attempts, 3);
    assert_eq!(pause(40), LONGEST_PAUSE);
}

#[test]
fn a_stop_ends_the_run_and_its_retries() {
    let mut clock = Clock::at("2026-01-01T00:00:00Z");
    let mut policy = Policy::new(&job("retries 9"), None, clock.now());
    policy.on(Event::Requested, clock.now());
    assert_eq!(
        policy.on(Event::Stopped, clock.now()),
        [Action::End(Why::Stopped)]
    );
    assert!(
        policy
            .on(Event::Ended(Outcome::Ended(Why::Stopped)), clock.now())
            .is_empty()
    );
    policy.on(Event::Requested, clock.now());
    policy.on(Event::Ended(Outcome::Code(1)), clock.now());
    policy.on(Event::Stopped, clock.now());
    clock.pass(99 * SECOND);
    assert!(policy.on(Event::Tick, clock.now()).is_empty());
}

#[test]
fn times_without_a_server_are_made_up_for_once_or_not_at_all() {
    for (missed, expected) in [("once", 1), ("none", 0)] {
        let mut clock = Clock::at("2026-01-01T00:00:00Z");
        let job = job(&format!("every 1h missed {missed}"));
        let plan = kept(&Policy::new(&job, None, clock.now()), None);
        clock.pass(100 * 3_600 * SECOND + 7 * SECOND);
        let mut policy = Policy::new(&job, Some(&plan), clock.now());
        let mut runs = starts(&policy.on(Event::Tick, clock.now()));
        policy.on(Event::Ended(Outcome::Done), clock.now());
        runs += starts(&policy.on(Event::Tick, clock.now()));
        assert_eq!(runs, expected, "{missed}");
        // The grid is as before.
        assert_eq!(policy.due(), Some("2026-01-05T05:00:00Z".parse().unwrap()));
    }
}

#[test]
fn a_machine_that_slept_has_missed_times_too() {
    let mut clock = Clock::at("2026-01-01T00:00:00Z");
    let mut policy = Policy::new(&job("every 1h missed none"), None, clock.now());
    clock.set("2026-01-01T08:30:00Z");
    assert_eq!(starts(&policy.on(Event::Tick, clock.now())), 0);
    clock.set("2026-01-01T09:00:01Z");
    assert_eq!(starts(&policy.on(Event::Tick, clock.now())), 1);
}

#[test]
fn a_clock_that_is_set_back_by_little_repeats_nothing_and_by_much_starts_anew() {
    let mut clock = Clock::at("2026-01-01T02:59:00Z");
    let mut policy = Policy::new(&job("cron 0 3 * * *"), None, clock.now());
    clock.set("2026-01-01T03:00:01Z");
    assert_eq!(starts(&policy.on(Event::Tick, clock.now())), 1);
    policy.on(Event::Ended(Outcome::Done), clock.now());
    clock.set("2026-01-01T02:30:00Z");
    assert_eq!(starts(&policy.on(Event::Tick, clock.now())), 0);
    clock.set("2026-01-01T03:00:02Z");
    assert_eq!(
        starts(&policy.on(Event::Tick, clock.now())),
        0,
        "it has been 3 o'clock before"
    );
    // The year was wrong.
    clock.set("2025-01-01T02:00:00Z");
    assert_eq!(starts(&policy.on(Event::Tick, clock.now())), 0);
    assert_eq!(policy.due(), Some("2025-01-01T03:00:00Z".parse().unwrap()));
}

#[test]
fn a_run_that_ended_with_the_server_is_made_up_for_but_not_for_ever() {
    let clock = Clock::at("2026-01-01T00:00:00Z");
    let job = job("every 1d");
    let plan = Policy::new(&job, None, clock.now());
    let mut resumed = Vec::new();
    for attempt in 1..=3 {
        let begun = crate::jobs::state::Begun {
            run: 1,
            due: None,
            started: clock.wall,
            attempt,
        };
        let mut policy = Policy::new(&job, Some(&kept(&plan, Some(begun))), clock.now());
        resumed.push(starts(&policy.on(Event::Tick, clock.now())));
    }
    assert_eq!(resumed, [1, 0, 0]);
}

#[test]
fn another_schedule_starts_anew() {
    let clock = Clock::at("2026-01-01T00:00:30Z");
    let plan = kept(&Policy::new(&job("every 1m"), None, clock.now()), None);
    let policy = Policy::new(&job("every 1h"), Some(&plan), clock.now());
    assert_eq!(policy.due(), Some(clock.wall + 3_600 * SECOND));
}

#[test]
fn nothing_starts_once_the_server_ends() {
    let mut clock = Clock::at("2026-01-01T00:00:00Z");
    let mut policy = Policy::new(&job("every 1m retries 5 overlap queue"), None, clock.now());
    policy.on(Event::Requested, clock.now());
    policy.on(Event::Requested, clock.now());
    policy.on(Event::Shutdown, clock.now());
    clock.pass(600 * SECOND);
    for event in [
        Event::Tick,
        Event::Requested,
        Event::Ended(Outcome::Code(1)),
        Event::Tick,
    ] {
        assert_eq!(starts(&policy.on(event, clock.now())), 0, "{event:?}");
    }
    assert_eq!((policy.due(), policy.retry_at()), (None, None));
}

/// Random events at random times: a job never runs beside itself, starts within a second of a time of
/// its schedule, and never twice for one.
#[test]
fn a_random_walk_never_runs_a_job_twice_at_once_nor_twice_for_one_time() {
    for seed in 1..=60u64 {
        let mut random = seed;
        let mut next = move |below: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        let settings = ["skip", "queue", "replace"][next(3) as usize];
        let schedule = [
            "every 7s",
            "cron */2 * * * *",
            "cron 30 2 * * * timezone Europe/Berlin",
        ][next(3) as usize];
        let mut clock = Clock::at("2026-03-28T20:00:00Z");
        let plan = job(&format!(
            "{schedule} overlap {settings} retries {}",
            next(3)
        ));
        let mut policy = Policy::new(&plan, None, clock.now());
        let (mut running, mut dues, mut latest) = (false, Vec::new(), clock.wall);
        for _ in 0..400 {
            let event = match next(10) {
                0 => Event::Requested,
                1 => Event::Stopped,
                2..=4 if running => {
                    Event::Ended([Outcome::Done, Outcome::Code(1)][next(2) as usize])
                }
                5 => {
                    clock.wall -= next(600) as u32 * SECOND;
                    Event::Tick
                }
                _ => {
                    let until = policy
                        .due()
                        .map_or(SECOND, |due| due.duration_since(clock.wall).unsigned_abs());
                    clock.pass(if next(2) == 0 {
                        until
                    } else {
                        next(30) as u32 * SECOND
                    });
                    Event::Tick
                }
            };
            latest = latest.max(clock.wall);
            if matches!(event, Event::Ended(_)) {
                running = false;
            }
            for action in policy.on(event, clock.now()) {
                if let Action::Start(cause) = action {
                    assert!(!running, "seed {seed}: beside itself");
                    running = true;
                    if let (Some(due), 1) = (cause.due, cause.attempt) {
                        assert!(due <= latest, "seed {seed}: early");
                        assert!(!dues.contains(&due), "seed {seed}: twice at {due}");
                        dues.push(due);
                    }
                }
            }
            assert_eq!(policy.is_running(), running, "seed {seed}");
        }
    }
}

#[test]
fn other_settings_hold_from_then_on_and_a_run_goes_on() {
    let mut clock = Clock::at("2026-01-01T00:00:00Z");
    let mut policy = Policy::new(&job("every 1h overlap skip"), None, clock.now());
    clock.pass(3_600 * SECOND);
    assert_eq!(starts(&policy.on(Event::Tick, clock.now())), 1);
    policy.take(&job("every 10m overlap replace"), clock.now());
    assert!(policy.is_running());
    clock.pass(600 * SECOND);
    let actions = policy.on(Event::Tick, clock.now());
    assert_eq!(actions, [Action::End(Why::Replaced)]);
    let due = policy.due();
    policy.take(&job("every 10m nice 3"), clock.now());
    assert_eq!(policy.due(), due, "the schedule is the same");
}

#[test]
fn a_retry_that_other_settings_do_not_have_is_not_made() {
    let mut clock = Clock::at("2026-01-01T00:00:00Z");
    let mut policy = Policy::new(&job("retries 3"), None, clock.now());
    policy.on(Event::Requested, clock.now());
    policy.on(Event::Ended(Outcome::Code(1)), clock.now());
    assert!(policy.retry_at().is_some());
    policy.take(&job(""), clock.now());
    clock.pass(99 * SECOND);
    assert_eq!(policy.on(Event::Tick, clock.now()), []);
}
