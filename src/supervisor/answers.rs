//! The supervisor's answers to an operator's requests.

use std::time::Instant;

use super::Supervisor;
use super::application::Application;
use super::pool::{Cause, Event, Reason};
use crate::operator::{JobsRequest, Order, Reply, Request, Serving, Status, VERSION};
use crate::sys::weight;

/// More at once is a slip of the hand.
const MOST_WORKERS: i16 = 64;

impl Supervisor<'_> {
    /// Answers every request that has come in.
    pub(super) fn hear_operator(&mut self) {
        let now = Instant::now();
        let Some(operator) = &mut self.operator else {
            return;
        };
        for (caller, request) in operator.take(now) {
            let (reply, events) = self.reply(&request);
            events.into_iter().for_each(|event| self.tell_all(event));
            if let Some(operator) = &mut self.operator {
                operator.answer(caller, &reply, now);
            }
        }
    }

    pub(super) fn tell_all(&mut self, event: Event) {
        if self.fleet.is_some() {
            return self.tell_fleet(event);
        }
        for application in &mut self.applications {
            application.on(event);
        }
    }

    /// Does with one application what its operator wants.
    pub(super) fn order(&mut self, name: &str, order: Order) -> Reply {
        let Some(application) = self.named(name) else {
            let names = self.applications.iter().filter_map(Application::name);
            let names: Vec<_> = names.collect();
            let why = match names.is_empty() {
                true => "this server has one application; tell it with lowmem-serve ctl".to_owned(),
                false => format!("there is no application {name}, but {}", names.join(", ")),
            };
            return Reply::Refused(why);
        };
        let is_stopped = application.standing().is_stopped();
        match order {
            Order::Reload if is_stopped => Reply::Refused(format!("{name} is stopped; start it")),
            Order::Reload => {
                application.renew(Reason::Order);
                Reply::Done(format!("reloading {name}"))
            }
            Order::Stop => {
                application.stop();
                self.jobs.pause(name, true);
                Reply::Done(format!("stopping {name}; its places answer 503"))
            }
            Order::Sleep if !application.may_sleep() => {
                Reply::Refused(format!("{name} cannot sleep now"))
            }
            Order::Sleep => {
                application.on(Event::Sleep);
                Reply::Done(format!("{name} sleeps until a client sends something"))
            }
            Order::Wake => {
                application.on(Event::Wake(Cause::Operator));
                Reply::Done(format!("waking {name}"))
            }
            Order::Start if application.is_stopping() => {
                Reply::Refused(format!("{name} is still stopping; try again"))
            }
            Order::Start => {
                application.want();
                self.jobs.pause(name, false);
                Reply::Done(format!("starting {name}"))
            }
        }
    }

    fn reply_about_jobs(&mut self, request: &JobsRequest) -> Reply {
        self.jobs.answer(request)
    }

    fn reply(&mut self, request: &Request) -> (Reply, Vec<Event>) {
        if self.ends() && !matches!(request, Request::Status | Request::Jobs(_)) {
            let why = "the server is stopping".to_owned();
            return (Reply::Refused(why), Vec::new());
        }
        match *request {
            Request::Jobs(ref request) => (self.reply_about_jobs(request), Vec::new()),
            Request::Status => (Reply::Status(Box::new(self.status(true))), Vec::new()),
            Request::Recycle => {
                let applications = self.applications.iter();
                let wanted = applications.map(Application::wanted).sum();
                let told = format!("recycling {}", workers(wanted));
                (Reply::Done(told), vec![Event::Recycle])
            }
            Request::Sleep => self.put_to_sleep_by_order(),
            Request::Wake => {
                let is_asleep = |one: &Application| one.serving() == Serving::Asleep;
                let told = if self.applications.iter().any(is_asleep) {
                    "waking"
                } else {
                    "it does not sleep"
                };
                (
                    Reply::Done(told.to_owned()),
                    vec![Event::Wake(Cause::Operator)],
                )
            }
            Request::Workers(change) if !(-MOST_WORKERS..=MOST_WORKERS).contains(&change) => {
                let why = format!("not more than {MOST_WORKERS} workers at once");
                (Reply::Refused(why), Vec::new())
            }
            Request::Application(ref name, order) => (self.order(name, order), Vec::new()),
            Request::Workers(change) => match self.applications.as_slice() {
                [only] => change_workers(only, change),
                _ => {
                    let why = "there are several applications".to_owned();
                    (Reply::Refused(why), Vec::new())
                }
            },
        }
    }

    fn put_to_sleep_by_order(&self) -> (Reply, Vec<Event>) {
        let is_asleep = |one: &Application| one.serving() == Serving::Asleep;
        if self.applications.iter().all(is_asleep) {
            (Reply::Done("it sleeps already".to_owned()), Vec::new())
        } else if self.applications.iter().any(Application::may_sleep) {
            let told = "going to sleep, unless a request is open";
            (Reply::Done(told.to_owned()), vec![Event::Sleep])
        } else {
            let why = "a worker is being started or replaced; try again when it is ready";
            (Reply::Refused(why.to_owned()), Vec::new())
        }
    }

    /// How everything is.
    pub(super) fn status(&self, weighs: bool) -> Status {
        let applications = self.applications.iter();
        Status {
            version: VERSION,
            server: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime: self.began.elapsed().as_secs_f64(),
            memory: weighs.then(own_weight).flatten(),
            budget: self.budgeting.as_ref().map(|own| own.status()),
            applications: applications.map(|own| own.status(weighs)).collect(),
            is_fleet: self.fleet.is_some(),
            jobs: self.jobs.shown(),
            queue: self.jobs.shown_queue(),
        }
    }
}

fn own_weight() -> Option<u64> {
    weight::own(rustix::process::getpid())
}

fn change_workers(application: &Application<'_>, change: i16) -> (Reply, Vec<Event>) {
    let wanted = application.wanted();
    let after = wanted.saturating_add_signed(change.into());
    if after == 0 {
        let why = "the last worker stays; stop the server instead".to_owned();
        return (Reply::Refused(why), Vec::new());
    }
    let event = if change < 0 {
        Event::Shrink
    } else {
        Event::Grow
    };
    let told = format!("{} in place of {wanted}", workers(after));
    (Reply::Done(told), vec![event; change.unsigned_abs().into()])
}

/// `1 worker`, `2 workers`
fn workers(count: usize) -> String {
    match count {
        1 => "1 worker".to_owned(),
        several => format!("{several} workers"),
    }
}
