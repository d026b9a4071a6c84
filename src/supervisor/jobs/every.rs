//! The jobs of every application, and those of the server itself: which there are, by the settings, and
//! which of them an operator means.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use tracing::error;

use super::Jobs;
use crate::jobs::report::{Overview, VERSION};
use crate::monitor::Queue;
use crate::operator::{JobStatus, JobsRequest, QueueStatus, Reply};
use crate::supervisor::Work;
use crate::sys::process::Ending;
use crate::telemetry;

/// After so long jobs that could not be prepared (their state directory is full, or another server's)
/// are tried again.
const PREPARE_AGAIN: Duration = Duration::from_secs(30);

/// After so long those are that come back before their last runs have ended.
const ENDED_SOON: Duration = Duration::from_secs(1);

/// An application of several, or none for the server itself.
type Owner = Option<Arc<str>>;

/// Asks the template of an application for the process of a run; whether there is one to be asked.
type ForkOf<'a> = &'a dyn Fn(Option<&str>, &[BorrowedFd<'_>]) -> bool;

#[derive(Debug, Default)]
pub(in crate::supervisor) struct EveryJob {
    present: Vec<Jobs>,
    /// Those that end, with their application.
    leaving: Vec<Jobs>,
    /// Those that could not be prepared, and when they are tried again.
    unprepared: Vec<(Owner, Box<Work>, Instant)>,
}

impl EveryJob {
    /// Those of a server that serves one application, or none.
    ///
    /// # Errors
    /// The state directory cannot be used.
    pub(in crate::supervisor) fn alone(work: &Work) -> std::io::Result<Self> {
        Ok(Self {
            present: Jobs::open(None, work)?.into_iter().collect(),
            ..Self::default()
        })
    }

    /// Runs the jobs of these settings from now on. Where that is not possible, the reason is logged, and it is tried again.
    pub(in crate::supervisor) fn put(&mut self, owner: Option<&str>, work: Work) {
        self.speak_of(owner);
        self.unprepared.retain(|(own, ..)| own.as_deref() != owner);
        let wanted = work
            .config
            .jobs
            .state
            .as_deref()
            .filter(|_| !work.config.jobs.is_empty());
        let known = self.place(owner);
        if let Some(at) = known.filter(|at| wanted != Some(self.present[*at].state.path())) {
            self.leave_at(at);
        } else if let Some(at) = known {
            if let Err(why) = self.present[at].take(&work) {
                error!("Its queue cannot be served: {why}");
            }
            return;
        }
        if wanted.is_some() {
            self.open(owner.map(Into::into), work);
        }
    }

    fn open(&mut self, owner: Owner, work: Work) {
        if self.leaving.iter().any(|own| own.owner == owner) {
            let soon = Instant::now() + ENDED_SOON;
            return self.unprepared.push((owner, Box::new(work), soon));
        }
        match Jobs::open(owner.clone(), &work) {
            Ok(jobs) => self.present.extend(jobs),
            Err(why) => {
                let seconds = PREPARE_AGAIN.as_secs();
                error!("Jobs cannot be run: {why} Trying again in {seconds} s.");
                let again = Instant::now() + PREPARE_AGAIN;
                self.unprepared.push((owner, Box::new(work), again));
            }
        }
    }

    /// An application is no longer in the settings.
    pub(in crate::supervisor) fn remove(&mut self, owner: &str) {
        self.speak_of(Some(owner));
        self.unprepared
            .retain(|(own, ..)| own.as_deref() != Some(owner));
        if let Some(at) = self.place(Some(owner)) {
            self.leave_at(at);
        }
    }

    fn leave_at(&mut self, at: usize) {
        let mut jobs = self.present.remove(at);
        jobs.shut_down(jobs.grace);
        self.leaving.push(jobs);
    }

    /// An operator has stopped an application, or started it again: so is what would start by itself.
    pub(in crate::supervisor) fn pause(&mut self, owner: &str, is_paused: bool) {
        if let Some(at) = self.place(Some(owner)) {
            self.present[at].pause(is_paused);
        }
    }

    fn place(&self, owner: Option<&str>) -> Option<usize> {
        let mut present = self.present.iter();
        present.position(|own| own.owner.as_deref() == owner)
    }

    fn speak_of(&self, owner: Option<&str>) {
        telemetry::name_lines(owner.map(Into::into));
    }

    fn each(&mut self) -> impl Iterator<Item = &mut Jobs> {
        let all = self.present.iter_mut().chain(&mut self.leaving);
        all.inspect(|jobs| telemetry::name_lines(jobs.owner.clone()))
    }

    /// Does everything that has become due.
    pub(in crate::supervisor) fn turn(&mut self, fork: ForkOf<'_>) {
        for jobs in self.each() {
            let owner = jobs.owner.clone();
            jobs.turn(&|descriptors| fork(owner.as_deref(), descriptors));
        }
        self.leaving.retain(|jobs| !jobs.is_idle());
        let now = Instant::now();
        while let Some(at) = self
            .unprepared
            .iter()
            .position(|(_, _, again)| *again <= now)
        {
            let (owner, work, _) = self.unprepared.swap_remove(at);
            self.speak_of(owner.as_deref());
            self.open(owner, *work);
        }
    }

    /// Handles the end of a process, if it was a run's; whether it was.
    pub(in crate::supervisor) fn ended(&mut self, pid: Pid, ending: Ending) -> bool {
        self.each().any(|jobs| jobs.ended(pid, ending))
    }

    /// Whether nothing runs any more of some since the last call.
    pub(in crate::supervisor) fn take_unsettled(&mut self) -> bool {
        self.each()
            .fold(false, |any, jobs| jobs.take_unsettled() | any)
    }

    /// The server ends: nothing starts any more, and what runs may end by itself for a while.
    pub(in crate::supervisor) fn shut_down(&mut self) {
        self.unprepared.clear();
        self.each().for_each(|jobs| jobs.shut_down(jobs.grace));
    }

    /// The server ends at once.
    pub(in crate::supervisor) fn kill_all(&mut self) {
        self.unprepared.clear();
        self.each().for_each(Jobs::kill_all);
    }

    /// Whether nothing runs.
    pub(in crate::supervisor) fn is_idle(&self) -> bool {
        self.all().all(Jobs::is_idle)
    }

    fn all(&self) -> impl Iterator<Item = &Jobs> {
        self.present.iter().chain(&self.leaving)
    }

    /// The descriptors to wait on.
    pub(in crate::supervisor) fn sources(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.all().flat_map(Jobs::sources)
    }

    /// When [`Self::turn`] is due, but for the times of the wall clock.
    pub(in crate::supervisor) fn next_deadline(&self) -> Option<Instant> {
        let again = self.unprepared.iter().map(|(_, _, again)| *again);
        self.all()
            .filter_map(Jobs::next_deadline)
            .chain(again)
            .min()
    }

    /// Answers an operator.
    pub(in crate::supervisor) fn answer(&mut self, request: &JobsRequest) -> Reply {
        if self.present.is_empty() {
            return Reply::Refused("this server has no jobs and no queue".to_owned());
        }
        match request {
            JobsRequest::Overview => Reply::Jobs(Box::new(self.overview())),
            JobsRequest::Retry(id) => self.retry(id),
            JobsRequest::History(name) => self.tell(name, |jobs, name| jobs.history(name)),
            JobsRequest::Run(name) => self.tell(name, Jobs::run),
            JobsRequest::Stop(name) => {
                let mut each = self.each();
                let task = each.find_map(|jobs| jobs.stop_task(name));
                drop(each);
                task.unwrap_or_else(|| self.tell(name, Jobs::stop))
            }
        }
    }

    /// Does something with the job of this name: `reindex`, or `training/reindex`.
    fn tell(&mut self, name: &str, what: impl Fn(&mut Jobs, &str) -> Reply) -> Reply {
        let (owner, job) = match name.split_once('/') {
            Some((owner, job)) => (Some(owner), job),
            None => (None, name),
        };
        let mut named = self.present.iter_mut().filter(|jobs| {
            let is_meant = owner.is_none() || jobs.owner.as_deref() == owner;
            is_meant && jobs.has(job)
        });
        let Some(jobs) = named.next() else {
            drop(named);
            return self.unknown(name);
        };
        if named.next().is_none() {
            telemetry::name_lines(jobs.owner.clone());
            return what(jobs, job);
        }
        drop(named);
        let all = self
            .names()
            .filter(|own| own.rsplit('/').next() == Some(job));
        let all: Vec<_> = all.collect();
        Reply::Refused(format!("there are several: {}; name one", all.join(", ")))
    }

    fn unknown(&self, name: &str) -> Reply {
        let names: Vec<_> = self.names().collect();
        let there = match names.as_slice() {
            [] => "there are none".to_owned(),
            names => format!("there are {}", names.join(", ")),
        };
        Reply::Refused(format!("there is no job {name}; {there}"))
    }

    fn names(&self) -> impl Iterator<Item = String> {
        self.present.iter().flat_map(Jobs::names)
    }

    fn retry(&mut self, id: &str) -> Reply {
        if !self.present.iter().any(Jobs::has_queue) {
            return Reply::Refused("this server has no queue".to_owned());
        }
        let done = self.each().find_map(|jobs| jobs.retry(id));
        done.unwrap_or_else(|| Reply::Refused(format!("there is no dead task {id}")))
    }

    /// All jobs, as the server's status shows them.
    pub(in crate::supervisor) fn shown(&self) -> Vec<JobStatus> {
        self.present.iter().flat_map(Jobs::shown).collect()
    }

    /// The queues together, but for what waits in them.
    pub(in crate::supervisor) fn shown_queue(&self) -> Option<QueueStatus> {
        let queues = self.present.iter().filter_map(Jobs::shown_queue);
        queues.reduce(|mut sum, own| {
            sum.running += own.running;
            for (result, count) in own.runs {
                *sum.runs.entry(result).or_default() += count;
            }
            sum
        })
    }

    /// Each queue, for the status server.
    pub(in crate::supervisor) fn queues(&self) -> Vec<Queue> {
        self.present.iter().filter_map(Jobs::queue).collect()
    }

    fn overview(&self) -> Overview {
        let queues: Vec<_> = self.present.iter().filter_map(Jobs::queue_view).collect();
        let own = queues.iter().find(|queue| queue.app.is_none());
        Overview {
            version: VERSION,
            jobs: self.present.iter().flat_map(Jobs::job_views).collect(),
            queue: own.cloned(),
            queues,
        }
    }
}
