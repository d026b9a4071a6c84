//! The policy, with a fake clock and fake scales; and random walks.

use super::*;

const MB: u64 = 1 << 20;
const SECOND: Duration = Duration::from_secs(1);
const WAIT: Duration = Duration::from_secs(30);

/// Applications of 10 MB each, and the rest of the server with 5.
struct World {
    budget: Budget,
    now: Instant,
    seen: Vec<Seen>,
    rest: u64,
    is_pressed: bool,
}

impl World {
    /// So many are awake, the first one used least recently.
    fn of(limit: u64, awake: u32) -> Self {
        let began = Instant::now();
        let now = began + 100 * SECOND;
        let seen = (0..awake).map(|number| Seen {
            key: Key(number),
            stage: Stage::Up,
            private: 10 * MB,
            ready: Some(began),
            last_use: Some(began + SECOND * number),
            is_open: false,
            stays: false,
            is_quiet: true,
            asks: None,
        });
        Self {
            budget: Budget::new(limit * MB),
            now,
            seen: seen.collect(),
            rest: 5 * MB,
            is_pressed: false,
        }
    }

    /// One that sleeps.
    fn with_asleep(mut self) -> Self {
        self.seen.push(Seen {
            key: Key(self.seen.len() as u32),
            stage: Stage::Down,
            private: 0,
            ready: None,
            last_use: None,
            is_open: false,
            stays: false,
            is_quiet: false,
            asks: None,
        });
        self
    }

    fn one(&mut self, number: u32) -> &mut Seen {
        &mut self.seen[number as usize]
    }

    fn knock(&mut self, number: u32) {
        let (since, until) = (self.now, self.now + WAIT);
        self.one(number).asks = Some(Asks { since, until });
    }

    fn used(&self) -> u64 {
        self.rest + self.seen.iter().map(|own| own.private).sum::<u64>()
    }

    /// A second passes, and everything is weighed.
    fn measure(&mut self) -> Vec<Action> {
        self.now += SECOND;
        let measured = Measured {
            used: self.used(),
            is_pressed: self.is_pressed,
        };
        let actions = self.budget.look(&self.seen, Some(measured), self.now);
        self.obey(&actions);
        actions
    }

    /// Something has happened.
    fn look(&mut self) -> Vec<Action> {
        let actions = self.budget.look(&self.seen, None, self.now);
        self.obey(&actions);
        actions
    }

    fn obey(&mut self, actions: &[Action]) {
        for action in actions {
            match *action {
                Action::Sleep(Key(number)) => {
                    let own = self.one(number);
                    assert!(
                        own.stage == Stage::Up && own.is_quiet && !own.is_open && !own.stays,
                        "{own:?} is put to sleep"
                    );
                    own.stage = Stage::Falling;
                }
                Action::Wake(Key(number)) => {
                    let own = self.one(number);
                    own.asks = None;
                    if own.stage == Stage::Down {
                        own.stage = Stage::Rising;
                    }
                }
                Action::Refuse(Key(number)) => self.one(number).asks = None,
                Action::Replace(Key(number), _) => self.one(number).is_quiet = false,
                Action::GiveBack(_) | Action::Say(_) => {}
            }
        }
    }

    /// Its workers have ended.
    fn has_ended(&mut self, number: u32) {
        let own = self.one(number);
        (own.stage, own.private, own.is_quiet) = (Stage::Down, 0, false);
    }

    /// Its worker is ready.
    fn is_ready(&mut self, number: u32, private: u64) {
        let now = self.now;
        let own = self.one(number);
        (own.stage, own.private, own.is_quiet) = (Stage::Up, private, true);
        own.ready = Some(now);
    }
}

fn sleeps(numbers: &[u32]) -> Vec<Action> {
    let keys = numbers.iter().map(|number| Key(*number));
    keys.map(Action::Sleep).collect()
}

#[test]
fn within_the_budget_nothing_is_done() {
    let mut world = World::of(100, 9);
    for _ in 0..10 {
        assert_eq!(world.measure(), []);
    }
}

#[test]
fn above_it_those_used_least_recently_sleep_down_to_nine_tenths_and_once() {
    // 105 MB of 100; the goal is 90.
    let mut world = World::of(100, 10);
    assert_eq!(world.measure(), sleeps(&[0, 1]));
    assert_eq!(world.measure(), []);
    world.has_ended(0);
    world.has_ended(1);
    assert_eq!(world.measure(), []);
}

#[test]
fn whatever_is_in_use_or_should_stay_awake_does_not_sleep() {
    let mut world = World::of(100, 10);
    world.one(0).is_open = true;
    world.one(1).stays = true;
    world.one(2).is_quiet = false;
    let now = world.now + SECOND;
    world.one(3).last_use = Some(now);
    assert_eq!(world.measure(), sleeps(&[4, 5]));
}

#[test]
fn one_that_refuses_to_sleep_is_not_asked_again_at_once() {
    let mut world = World::of(24, 2);
    assert_eq!(world.measure(), sleeps(&[0]));
    world.one(0).stage = Stage::Up;
    assert_eq!(world.measure(), sleeps(&[1]));
    world.one(1).stage = Stage::Up;
    assert!(
        !world
            .measure()
            .iter()
            .any(|it| matches!(it, Action::Sleep(_)))
    );
    world.now += REFUSED;
    assert_eq!(world.measure()[..1], sleeps(&[0])[..]);
}

#[test]
fn one_that_has_grown_gives_back_and_is_then_replaced_once() {
    let mut world = World::of(100, 5);
    (0..5).for_each(|number| world.one(number).is_open = true);
    assert_eq!(world.measure(), []);
    world.one(3).private = 60 * MB;
    world.one(4).private = 20 * MB;
    assert_eq!(world.measure(), [Action::GiveBack(Key(3))]);
    assert_eq!(world.measure(), [Action::Replace(Key(3), 50 * MB)]);
    assert_eq!(world.measure(), []);
    // Its successor needs as much: the next one is replaced, and then there is nothing left to do.
    world.is_ready(3, 60 * MB);
    assert_eq!(world.measure(), [Action::Replace(Key(4), 10 * MB)]);
    world.is_ready(4, 20 * MB);
    let rest: Vec<_> = (0..30).flat_map(|_| world.measure()).collect();
    assert_eq!(rest, [Action::Say(Notice::Held)]);
    (0..5).for_each(|number| world.one(number).private = MB);
    assert_eq!(world.measure(), [Action::Say(Notice::Kept)]);
}

#[test]
fn one_that_should_stay_awake_is_replaced_last() {
    let mut world = World::of(100, 5);
    (0..5).for_each(|number| world.one(number).is_open = true);
    world.measure();
    world.one(0).stays = true;
    world.one(0).private = 70 * MB;
    world.one(1).private = 20 * MB;
    world.measure();
    assert_eq!(world.measure(), [Action::Replace(Key(1), 10 * MB)]);
}

#[test]
fn one_that_fits_is_woken_at_once() {
    let mut world = World::of(100, 5).with_asleep();
    world.measure();
    world.knock(5);
    assert_eq!(world.look(), [Action::Wake(Key(5))]);
    assert_eq!(world.look(), []);
}

#[test]
fn one_that_does_not_fit_waits_until_another_has_ended() {
    let mut world = World::of(100, 9).with_asleep();
    assert_eq!(world.measure(), []);
    world.knock(9);
    assert_eq!(world.look(), sleeps(&[0]));
    assert_eq!(world.look(), []);
    world.has_ended(0);
    assert_eq!(world.look(), [Action::Wake(Key(9))]);
}

#[test]
fn two_that_do_not_fit_have_two_others_sleep() {
    let mut world = World::of(100, 9).with_asleep().with_asleep();
    world.measure();
    world.knock(9);
    world.knock(10);
    assert_eq!(world.look(), sleeps(&[0, 1]));
    world.has_ended(1);
    assert_eq!(world.look(), [Action::Wake(Key(9))]);
    world.has_ended(0);
    assert_eq!(world.look(), [Action::Wake(Key(10))]);
}

#[test]
fn clients_wait_no_longer_than_they_should_and_no_application_sleeps_for_nothing() {
    let mut world = World::of(100, 9).with_asleep();
    (1..9).for_each(|number| world.one(number).is_open = true);
    world.measure();
    // It has needed more than the idle one would give back.
    world.is_ready(9, 30 * MB);
    world.measure();
    world.has_ended(9);
    world.has_ended(0);
    world.measure();
    world.is_ready(0, 10 * MB);
    world.now += SECOND;
    world.measure();
    world.knock(9);
    assert_eq!(world.look(), []);
    world.now += WAIT;
    assert_eq!(world.look(), [Action::Refuse(Key(9))]);
}

#[test]
fn a_budget_too_small_for_anything_has_one_awake() {
    let mut world = World::of(4, 0).with_asleep().with_asleep();
    world.measure();
    world.knock(0);
    world.knock(1);
    assert_eq!(world.look(), [Action::Wake(Key(0))]);
    world.is_ready(0, 10 * MB);
    world.now += SECOND;
    assert_eq!(world.measure()[..1], sleeps(&[0])[..]);
    world.has_ended(0);
    assert_eq!(world.look(), [Action::Wake(Key(1))]);
}

#[test]
fn where_memory_is_short_on_the_machine_one_sleeps_at_a_time() {
    let mut world = World::of(1_000, 3);
    world.is_pressed = true;
    assert_eq!(world.measure(), sleeps(&[0]));
    world.has_ended(0);
    assert_eq!(world.measure(), []);
    world.now += PRESSED;
    assert_eq!(world.measure(), sleeps(&[1]));
}

#[test]
fn at_the_start_as_many_are_awake_as_fit() {
    let mut world = World::of(100, 8).with_asleep();
    world.measure();
    let fits = |world: &World| world.budget.fits(Key(8), world.now);
    assert_eq!(fits(&world), Some(false));
    world.has_ended(7);
    world.measure();
    assert_eq!(fits(&world), Some(true));
}

#[test]
fn the_first_one_is_weighed_before_others_start() {
    let mut world = World::of(100, 0).with_asleep().with_asleep();
    let fits = |world: &World| world.budget.fits(Key(1), world.now);
    world.measure();
    assert_eq!(fits(&world), Some(true));
    world.budget.starts(Key(0), world.now);
    world.one(0).stage = Stage::Rising;
    assert_eq!(fits(&world), None);
    world.knock(1);
    assert_eq!(world.look(), []);
    world.is_ready(0, 60 * MB);
    assert_eq!(world.look(), []);
    assert!(world.budget.wants_measure());
    world.measure();
    assert!(!world.budget.wants_measure());
    assert_eq!(fits(&world), Some(false));
}

#[test]
fn one_that_is_ready_counts_before_it_is_measured() {
    let mut world = World::of(100, 7).with_asleep().with_asleep();
    world.measure();
    world.knock(7);
    world.knock(8);
    assert_eq!(world.look(), [Action::Wake(Key(7)), Action::Wake(Key(8))]);
    world.is_ready(7, 10 * MB);
    assert_eq!(world.look(), []);
    assert_eq!(world.budget.room(), 5 * MB);
}

#[test]
fn a_template_in_the_making_counts_until_it_is_weighed() {
    let mut world = World::of(100, 7).with_asleep();
    world.measure();
    world.budget.makes(1, false);
    assert_eq!(world.budget.room(), 15 * MB);
    world.knock(7);
    assert_eq!(world.look(), [Action::Wake(Key(7))]);
    world.is_ready(7, 10 * MB);
    // It is ready, and has not been weighed: what does not fit beside it waits.
    world.budget.makes(0, false);
    assert_eq!(world.budget.room(), 5 * MB);
    let mut world = world.with_asleep();
    world.knock(8);
    assert_eq!(world.look(), sleeps(&[0]));
    world.has_ended(0);
    assert_eq!(world.look(), [Action::Wake(Key(8))]);
    world.is_ready(8, 10 * MB);
    world.rest += 10 * MB;
    world.budget.makes(0, true);
    world.measure();
    assert_eq!(world.budget.room(), 5 * MB);
}

/// Knuth's generator; its upper bits are the good ones.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Something happens to an application.
fn happen(world: &mut World, chance: &mut Chance) {
    let number = chance.below(world.seen.len() as u64) as u32;
    let now = world.now;
    let size = (5 + chance.below(20)) * MB;
    let does = chance.below(12);
    let own = world.one(number);
    match (own.stage, does) {
        (Stage::Down, 0..8) if own.asks.is_none() => world.knock(number),
        (Stage::Rising, 0..8) => world.is_ready(number, size),
        (Stage::Rising, 8) => world.has_ended(number),
        (Stage::Falling, 0..8) => world.has_ended(number),
        (Stage::Falling, 8) => own.stage = Stage::Up,
        (Stage::Up, 0..3) => own.last_use = Some(now),
        (Stage::Up, 3) => own.is_open = true,
        (Stage::Up, 4 | 5) => own.is_open = false,
        (Stage::Up, 6) => own.private += size,
        (Stage::Up, 7) if own.is_quiet => own.is_quiet = false,
        (Stage::Up, 7..9) => world.is_ready(number, size),
        (Stage::Up, 9) => world.has_ended(number),
        (Stage::Up, 10) => own.stays = !own.stays,
        _ => world.now += Duration::from_millis(chance.below(400)),
    }
}

/// The invariants of a look's actions.
fn check(
    before: &[Seen],
    world: &World,
    actions: &[Action],
    replaced: &mut BTreeMap<Key, Instant>,
) {
    for action in actions {
        match *action {
            Action::Wake(key) => {
                let others = before.iter().filter(|own| own.key != key);
                let is_alone = others.into_iter().all(|own| own.stage == Stage::Down);
                let was_down = before
                    .iter()
                    .any(|own| own.key == key && own.stage == Stage::Down);
                let budget = &world.budget;
                assert!(
                    !was_down || is_alone || budget.expected() <= budget.limit,
                    "{key:?} does not fit"
                );
            }
            Action::Replace(key, _) => {
                let last = replaced.insert(key, world.now);
                assert!(last.is_none_or(|last| world.now - last >= REPLACED));
            }
            _ => {}
        }
    }
    for own in &world.seen {
        let waits = own.asks.filter(|_| own.stage == Stage::Down);
        assert!(waits.is_none_or(|asks| asks.until > world.now), "{own:?}");
    }
}

#[test]
fn whatever_happens_no_wake_is_too_much_nothing_waits_too_long_and_in_the_end_the_budget_is_kept() {
    for seed in 0..300 {
        let mut chance = Chance(seed);
        let mut world = World::of(60 + chance.below(60), 6);
        for _ in 0..6 {
            world = world.with_asleep();
        }
        let mut replaced = BTreeMap::new();
        for _ in 0..300 {
            happen(&mut world, &mut chance);
            let before = world.seen.clone();
            let actions = match chance.below(4) {
                0 => world.measure(),
                _ => world.look(),
            };
            check(&before, &world, &actions, &mut replaced);
            // Memory that one look frees may be claimed by another client in the next.
            let looks = (0..world.seen.len()).map(|_| world.look());
            let last = looks.take_while(|actions| !actions.is_empty()).count();
            assert!(last < world.seen.len(), "looks always find something to do");
        }
        settle(&mut world);
    }
}

/// Nothing happens any more, and nothing is in use.
fn settle(world: &mut World) {
    for own in &mut world.seen {
        (own.is_open, own.stays) = (false, false);
    }
    for _ in 0..60 {
        for number in 0..world.seen.len() as u32 {
            match *world.one(number) {
                Seen {
                    stage: Stage::Rising,
                    ..
                }
                | Seen {
                    stage: Stage::Up,
                    is_quiet: false,
                    ..
                } => world.is_ready(number, 10 * MB),
                Seen {
                    stage: Stage::Falling,
                    ..
                } => world.has_ended(number),
                _ => {}
            }
        }
        world.measure();
    }
    let awake = world.seen.iter().filter(|own| own.stage == Stage::Up);
    assert!(world.used() <= world.budget.limit || awake.count() <= 1);
    assert!(world.seen.iter().all(|own| own.asks.is_none()));
}
