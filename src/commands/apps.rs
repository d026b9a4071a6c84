//! `lowmem-serve apps`: the applications of a running server.

use std::time::{Duration, SystemTime};

use super::{ctl, refused, status, write};
use crate::cli::{AppOrder, Apps, Asked};
use crate::exit::Exit;
use crate::figures::{Age, Grouped, Megabytes};
use crate::operator::{ApplicationStatus, JobStatus, Order, Request, Status};
use crate::surroundings::Surroundings;

/// Shows them, or tells the server what to do with one.
pub(super) fn run(apps: &Apps, around: &Surroundings) -> Exit {
    let (one, order) = match &apps.order {
        None => return show(&apps.asked, around),
        Some(AppOrder::Reload(one)) => (one, Order::Reload),
        Some(AppOrder::Sleep(one)) => (one, Order::Sleep),
        Some(AppOrder::Wake(one)) => (one, Order::Wake),
        Some(AppOrder::Stop(one)) => (one, Order::Stop),
        Some(AppOrder::Start(one)) => (one, Order::Start),
    };
    let request = Request::Application(one.name.clone(), order);
    ctl::tell(&one.named, &request, around)
}

fn show(asked: &Asked, around: &Surroundings) -> Exit {
    let (all, exit) = match status::ask(asked, around) {
        Ok(answered) => answered,
        Err(reason) => return refused(&reason),
    };
    let text = if asked.json {
        let applications: Vec<_> = all.iter().flat_map(|status| &status.applications).collect();
        // Numbers, texts and lists always serialise.
        serde_json::to_string_pretty(&applications).unwrap_or_default() + "\n"
    } else {
        let budgets = all.iter().filter_map(|status| status.budget);
        let budgets = budgets.map(|own| {
            let (used, limit) = (Megabytes(own.used), Megabytes(own.limit));
            format!("Memory: {used} of {limit} MB (memory-budget)\n")
        });
        budgets.collect::<String>() + &table(&all)
    };
    match write(text.as_bytes()) {
        Exit::Stopped => exit,
        failed => failed,
    }
}

fn table(all: &[Status]) -> String {
    let applications = all.iter().flat_map(|status| {
        let own = status.applications.iter();
        own.map(|own| (own, &status.jobs[..]))
    });
    let names = applications.clone().map(|(own, _)| own.name.len());
    let width = names.max().unwrap_or(0).max("NAME".len());
    let mut text = format!(
        "{:width$}  {:<9}{:>10}{:>12}{:>10}{:>10}{:>10}{:>8}  PLACES\n",
        "NAME", "STATE", "PSS", "PRIVATE", "REQUESTS", "LAST USE", "NEXT JOB", "DEATHS"
    );
    for (own, jobs) in applications {
        let workers = own.workers.iter().map(|worker| worker.memory);
        let private: Option<u64> = workers.sum();
        let megabytes = |bytes: Option<u64>| match bytes {
            Some(bytes) => format!("{} MB", Megabytes(bytes)),
            None => "-".to_owned(),
        };
        text += &format!(
            "{:width$}  {:<9}{:>10}{:>12}{:>10}{:>10}{:>10}{:>8}  {}\n",
            own.name,
            own.state.word(),
            megabytes(own.pss),
            megabytes(private),
            requests(own),
            last_use(own),
            next_job(&own.name, jobs),
            own.deaths,
            own.places.join(", ")
        );
    }
    text
}

fn requests(own: &ApplicationStatus) -> String {
    let served = own.served.as_ref();
    served.map_or_else(|| "-".to_owned(), |own| Grouped(own.requests).to_string())
}

/// In how long the first of its jobs is due; they are called `shop/tidy`.
fn next_job(name: &str, jobs: &[JobStatus]) -> String {
    let is_own = |job: &&JobStatus| {
        let rest = job.name.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with('/'))
    };
    let next = jobs.iter().filter(is_own).filter_map(|job| job.next);
    let next = next.reduce(f64::min).map(Duration::try_from_secs_f64);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    match (next, now) {
        (Some(Ok(next)), Ok(now)) => Age(next.saturating_sub(now)).to_string(),
        _ => "-".to_owned(),
    }
}

fn last_use(own: &ApplicationStatus) -> String {
    let ago = own.last_use.map(Duration::try_from_secs_f64);
    match ago {
        Some(Ok(ago)) => Age(ago).to_string(),
        _ => "-".to_owned(),
    }
}
