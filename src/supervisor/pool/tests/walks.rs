//! Whatever happens in whatever order, some things always hold: every short story, and long ones by
//! chance, in a world where processes obey their actions and may die at any moment.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::*;

/// A worker's process, as the operating system has it.
#[derive(Debug, Clone, Copy, Default)]
struct Process {
    is_ready: bool,
    /// It has the order to end, in whatever way.
    is_told: bool,
    /// It has the order to sleep, which it may refuse.
    is_dozing: bool,
    is_killed: bool,
    /// It has been asked to wind down, and has not answered.
    winds_down: bool,
}

struct World {
    story: Story,
    alive: BTreeMap<u64, Process>,
    spawned: BTreeSet<u64>,
    /// The events so far, for the message of a failure.
    told: Vec<Choice>,
    exit: Option<Exit>,
    is_stopping: bool,
    /// The result of a weighing, and whether the next process can be started.
    weighing: Weighing,
    starts: bool,
}

/// A possible next event.
#[derive(Debug, Clone, Copy)]
enum Choice {
    /// Time passes until something is due.
    Wait,
    Tell(Event),
    /// The scales say this from now on.
    Weigh(u64),
    /// The next process cannot be started.
    NoProcess,
}

fn world(settings: Settings) -> World {
    let (story, actions) = started(settings);
    let mut world = World {
        story,
        alive: BTreeMap::new(),
        spawned: BTreeSet::new(),
        told: Vec::new(),
        exit: None,
        is_stopping: false,
        weighing: Weighing {
            own: Some(50),
            room: Some(60),
        },
        starts: true,
    };
    world.perform(actions);
    for number in world.spawned.clone() {
        world.choose(Choice::Tell(Event::Ready(id(number))));
    }
    world
}

impl World {
    /// Everything that can happen now; in an order that depends on nothing but the world.
    fn choices(&self) -> Vec<Choice> {
        if self.exit.is_some() {
            return Vec::new();
        }
        let mut events = vec![
            Event::Recycle,
            Event::Renew(Reason::Budget),
            Event::Changed,
            Event::Grow,
            Event::Shrink,
            Event::Sleep,
            Event::Wake(Cause::Request),
            Event::Hours(true),
            Event::Hours(false),
            Event::Stop,
            Event::Interrupt,
            Event::StopNow,
        ];
        for (&number, process) in &self.alive {
            events.extend([KILLED, Ending::Code(0)].map(|ending| Event::Ended(id(number), ending)));
            if process.winds_down {
                events.push(Event::WoundDown(id(number)));
            }
            if process.is_dozing && !process.is_told {
                events.push(Event::Busy(id(number)));
            }
            if process.is_ready {
                events.push(Event::LimitReached(id(number)));
                events.push(Event::Idle(id(number)));
            } else {
                events.push(Event::Ready(id(number)));
            }
        }
        let mut choices = vec![Choice::Weigh(50), Choice::Weigh(200), Choice::NoProcess];
        if self.story.pool.next_deadline().is_some() {
            choices.push(Choice::Wait);
        }
        choices.extend(events.into_iter().map(Choice::Tell));
        choices
    }

    fn choose(&mut self, choice: Choice) {
        self.told.push(choice);
        let serving = self.serving();
        match choice {
            Choice::Wait => {
                let due = self.story.pool.next_deadline().expect("offered");
                self.story.now = due.max(self.story.now);
                self.tell(Event::Tick);
            }
            Choice::Weigh(own) => self.weighing.own = Some(own),
            Choice::NoProcess => self.starts = false,
            Choice::Tell(event) => {
                self.note(event);
                self.tell(event);
            }
        }
        self.check();
        let is_end = matches!(choice, Choice::Tell(Event::Ended(..)));
        let is_overlapping = self.story.pool.settings.recycle.mode == RecycleMode::Overlap;
        let is_down = self.story.pool.sleeping.is_down();
        if is_overlapping && serving > 0 && !is_end && !self.is_stopping && !is_down {
            assert!(self.serving() > 0, "the last serving worker was given up");
        }
    }

    /// Notes the effect of an event on processes.
    fn note(&mut self, event: Event) {
        match event {
            Event::Ready(WorkerId(number)) => {
                self.alive.get_mut(&number).unwrap().is_ready = true;
            }
            Event::Ended(WorkerId(number), _) => {
                self.alive.remove(&number).unwrap();
            }
            Event::WoundDown(WorkerId(number)) => {
                self.alive.get_mut(&number).unwrap().winds_down = false;
            }
            Event::Busy(WorkerId(number)) => {
                self.alive.get_mut(&number).unwrap().is_dozing = false;
            }
            Event::Stop | Event::Interrupt | Event::StopNow => self.is_stopping = true,
            _ => {}
        }
    }

    fn tell(&mut self, event: Event) {
        let actions = self.story.on(event);
        self.perform(actions);
    }

    /// In the order of the supervisor: what an action brings about comes after the others.
    fn perform(&mut self, actions: Vec<Action>) {
        let mut actions = VecDeque::from(actions);
        while let Some(action) = actions.pop_front() {
            assert!(self.exit.is_none(), "{action:?} after the end");
            match action {
                Action::Spawn(worker) => actions.extend(self.spawn(worker)),
                Action::GiveBack(worker) => {
                    self.process(worker);
                }
                Action::WindDown(worker, _) => self.process(worker).winds_down = true,
                Action::Drain(worker, _) | Action::Quit(worker) | Action::Leave(worker) => {
                    self.process(worker).is_told = true;
                }
                Action::HandOver(old, new, _) => {
                    self.process(old).is_told = true;
                    if let Some(new) = new.map(|new| *self.process(new)) {
                        assert!(new.is_ready && !new.is_told, "connections go to {new:?}");
                    }
                }
                Action::Sleep(worker, _) => {
                    let process = self.process(worker);
                    assert!(process.is_ready && !process.is_told && !process.is_dozing);
                    process.is_dozing = true;
                }
                Action::Deliver(worker) => {
                    let process = *self.process(worker);
                    assert!(process.serves(), "connections go to {process:?}");
                }
                Action::Keep => assert!(self.alive.is_empty()),
                Action::Refuse(after) => assert!(after > Duration::ZERO),
                Action::DropTemplate => assert!(self.alive.is_empty() || self.is_stopping),
                Action::Kill(worker) => {
                    let process = self.process(worker);
                    assert!(!process.is_killed, "killed twice");
                    (process.is_told, process.is_killed) = (true, true);
                }
                Action::Weigh(worker) => {
                    self.process(worker);
                    actions.extend(self.story.on(Event::Weighed(worker, self.weighing)));
                }
                Action::Say(Notice::CannotStart(..)) => self.is_stopping = true,
                Action::Say(_) => {}
                Action::Exit(exit) => {
                    assert!(self.alive.is_empty(), "{:?} are left", self.alive);
                    self.exit = Some(exit);
                }
            }
        }
    }

    fn spawn(&mut self, worker: WorkerId) -> Vec<Action> {
        assert!(self.spawned.insert(worker.0), "{worker:?} again");
        assert!(!self.is_stopping, "a start while everything stops");
        if std::mem::replace(&mut self.starts, true) {
            self.alive.insert(worker.0, Process::default());
            Vec::new()
        } else {
            self.story.on(Event::NotStarted(worker))
        }
    }

    fn process(&mut self, worker: WorkerId) -> &mut Process {
        let process = self.alive.get_mut(&worker.0);
        process.unwrap_or_else(|| panic!("{worker:?} has no process"))
    }

    fn serving(&self) -> usize {
        let processes = self.alive.values();
        processes.filter(|process| process.serves()).count()
    }

    /// Checks the invariants.
    fn check(&self) {
        let pool = &self.story.pool;
        let is_waiting = |worker: &&Worker| matches!(worker.state, State::Waiting { .. });
        let with_process = pool.workers.iter().filter(|worker| !is_waiting(worker));
        let mut known: Vec<_> = with_process.map(|worker| worker.id.0).collect();
        known.sort_unstable();
        assert!(
            known.iter().eq(self.alive.keys()),
            "{known:?} of {:?}",
            self.alive
        );
        let swap = &pool.swapping;
        assert!(swap.holds_only(&pool.ids()), "{swap:?}");
        if self.is_stopping {
            return;
        }
        let untold = self
            .alive
            .values()
            .filter(|process| !process.is_told && !process.is_dozing)
            .count();
        let wanted = pool.needed();
        if pool.sleeping.is_asleep() {
            assert_eq!(untold, 0, "a worker serves while all sleep");
        }
        assert!(untold <= wanted + 1, "{untold} workers for {wanted}");
        if pool.awaits_change {
            return;
        }
        let waiting = pool.workers.iter().filter(is_waiting).count();
        let replaced = pool
            .workers
            .iter()
            .filter(|worker| worker.is_wanted())
            .count();
        let coming = untold.max(replaced) + waiting + usize::from(pool.keeps_a_place());
        assert!(coming >= wanted, "{coming} workers for {wanted}");
    }

    /// From now on nothing goes wrong any more, and no request comes from outside.
    fn settle(&mut self) {
        self.weighing.own = Some(50);
        self.starts = true;
        for _ in 0..200 {
            let restless = self
                .alive
                .iter()
                .find(|(_, process)| process.is_told || process.is_dozing || !process.is_ready);
            let (number, process) = match restless {
                Some((&number, &process)) => (number, process),
                None if self.is_settled() || self.exit.is_some() => return,
                None if self.story.pool.sleeping.is_down() => {
                    self.story.now += Duration::from_secs(60);
                    self.choose(Choice::Tell(Event::Wake(Cause::Request)));
                    continue;
                }
                None if self.story.pool.awaits_change => {
                    self.choose(Choice::Tell(Event::Changed));
                    continue;
                }
                None => {
                    self.choose(Choice::Wait);
                    continue;
                }
            };
            let event = match process {
                Process {
                    is_killed: true, ..
                } => Event::Ended(id(number), KILLED),
                Process { is_told: true, .. }
                | Process {
                    is_dozing: true, ..
                } => Event::Ended(id(number), Ending::Code(0)),
                _ => Event::Ready(id(number)),
            };
            self.choose(Choice::Tell(event));
        }
        panic!("never settles: {:?}", self.story.pool);
    }

    fn is_settled(&self) -> bool {
        let pool = &self.story.pool;
        let due = pool.workers.iter().any(|worker| worker.due.is_some());
        !due && pool.workers.len() == pool.settings.workers && self.serving() == pool.workers.len()
    }

    /// The story's end: all is well, and then it stops.
    fn end(mut self) {
        self.settle();
        if self.exit.is_none() {
            self.choose(Choice::Tell(Event::Stop));
            self.settle();
        }
        assert!(self.exit.is_some());
        assert!(self.story.pool.workers.is_empty());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the story was: {:?}", self.told);
        }
    }
}

impl Process {
    fn serves(self) -> bool {
        self.is_ready && !self.is_told && !self.is_dozing
    }
}

/// Those that stories are told of.
fn settings() -> impl Iterator<Item = Settings> {
    let modes = [
        (RecycleMode::Overlap, false),
        (RecycleMode::Overlap, true),
        (RecycleMode::Sequential, false),
        (RecycleMode::Auto, false),
    ];
    let all = [1, 2, 3]
        .into_iter()
        .flat_map(move |workers| modes.map(|mode| (workers, mode)));
    all.map(|(workers, (mode, follows_changes))| Settings {
        workers,
        startup: None,
        grace: GRACE,
        drain_delay: Duration::ZERO,
        recycle: Recycle {
            ttl: Some(Duration::from_secs(600)),
            ttl_jitter: 10,
            max_rss: Some(100),
            mode,
            grace: GRACE,
        },
        follows_changes,
        wake_timeout: Duration::from_secs(30),
        keep_template: Some(Duration::from_secs(3_600)),
        begins_asleep: false,
        serial: 0,
        seed: 1,
    })
}

/// Tells every story of up to `left` more choices.
fn tell_all(beginning: &mut Vec<usize>, left: usize, start: &impl Fn() -> World) {
    let mut told = start();
    for &chosen in &*beginning {
        told.choose(told.choices()[chosen]);
    }
    let choices = told.choices().len();
    told.end();
    if left > 0 {
        for chosen in 0..choices {
            beginning.push(chosen);
            tell_all(beginning, left - 1, start);
            beginning.pop();
        }
    }
}

#[test]
fn every_short_story_ends_well() {
    for settings in settings().filter(|settings| settings.workers < 3) {
        tell_all(&mut Vec::new(), 3, &|| world(settings));
    }
}

#[test]
fn long_stories_end_well() {
    for (at, settings) in settings().enumerate() {
        for seed in 0..200 {
            let mut chance = at as u64 * 1_000 + seed;
            let mut told = world(settings);
            let mut telling = Vec::new();
            for _ in 0..60 {
                let choices = told.choices();
                // A stop is the end of most stories: it comes seldom.
                let choices: Vec<_> = choices
                    .into_iter()
                    .filter(|choice| {
                        telling.len() > 50
                            || !matches!(
                                choice,
                                Choice::Tell(Event::Stop | Event::Interrupt | Event::StopNow)
                            )
                    })
                    .collect();
                if choices.is_empty() {
                    break;
                }
                // Knuth's generator; its upper bits are the good ones.
                chance = chance
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let choice = choices[(chance >> 33) as usize % choices.len()];
                telling.push(choice);
                told.choose(choice);
            }
            told.end();
        }
    }
}
