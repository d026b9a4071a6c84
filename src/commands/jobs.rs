//! `lowmem-serve jobs`: what runs when, and how the last runs went.

use std::path::Path;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::{refused, write};
use crate::cli::{JobsAction, JobsCommand, Named};
use crate::exit::Exit;
use crate::jobs::{Record, report};
use crate::operator::{JobsRequest, Reply, Request, client, find};
use crate::surroundings::Surroundings;

/// How often a run is looked at that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Asks the server, or tells it what to do.
pub(super) fn run(asked: &JobsCommand, around: &Surroundings) -> Exit {
    match &asked.action {
        None => list(asked, around),
        Some(JobsAction::Run { job, wait }) => with_server(&job.named, around, |socket| {
            begin(socket, &job.full_name(), *wait)
        }),
        Some(JobsAction::History { job, json }) => with_server(&job.named, around, |socket| {
            match ask(socket, JobsRequest::History(job.full_name())) {
                Ok(Reply::Runs(records)) if *json => show_json(&records),
                Ok(Reply::Runs(records)) => write(report::history(&records).as_bytes()),
                other => otherwise(other),
            }
        }),
        Some(JobsAction::Stop { job }) => with_server(&job.named, around, |socket| {
            otherwise(ask(socket, JobsRequest::Stop(job.full_name())))
        }),
        Some(JobsAction::Retry { id, named }) => with_server(named, around, |socket| {
            otherwise(ask(socket, JobsRequest::Retry(id.clone())))
        }),
    }
}

fn list(asked: &JobsCommand, around: &Surroundings) -> Exit {
    with_server(&asked.named, around, |socket| {
        let mut reply = ask(socket, JobsRequest::Overview);
        if let (Ok(Reply::Jobs(overview)), Some(app)) = (&mut reply, &asked.whose.app) {
            overview.jobs.retain(|job| job.app.as_ref() == Some(app));
            overview
                .queues
                .retain(|queue| queue.app.as_ref() == Some(app));
            if overview.jobs.is_empty() && overview.queues.is_empty() {
                return refused(&format!("no application {app} has jobs or a queue"));
            }
        }
        match reply {
            Ok(Reply::Jobs(overview)) if asked.json => show_json(&overview),
            Ok(Reply::Jobs(overview)) => {
                write(report::overview(&overview, Timestamp::now()).as_bytes())
            }
            other => otherwise(other),
        }
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the server is asked again; it tells of no end by itself"
)]
fn begin(socket: &Path, name: &str, waits: bool) -> Exit {
    let run = match ask(socket, JobsRequest::Run(name.to_owned())) {
        Ok(Reply::Started(run)) => run,
        other => return otherwise(other),
    };
    if !waits {
        return write(format!("Run {run} of {name} has been started.\n").as_bytes());
    }
    loop {
        thread::sleep(LOOK_EVERY);
        let records = match ask(socket, JobsRequest::History(name.to_owned())) {
            Ok(Reply::Runs(records)) => records,
            other => return otherwise(other),
        };
        if let Some(record) = records.iter().find(|record| record.run == run) {
            return ended(name, record);
        }
    }
}

fn ended(name: &str, record: &Record) -> Exit {
    let (run, outcome, took) = (&record.run, record.outcome, record.took);
    let written = write(format!("Run {run} of {name} {outcome} after {took:.1}s.\n").as_bytes());
    match outcome.is_done() {
        true => written,
        false => Exit::RunFailed,
    }
}

fn with_server(named: &Named, around: &Surroundings, what: impl FnOnce(&Path) -> Exit) -> Exit {
    match find::socket(super::ctl::target(named, around).as_ref()) {
        Ok(socket) => what(&socket),
        Err(reason) => refused(&reason),
    }
}

fn ask(socket: &Path, request: JobsRequest) -> Result<Reply, client::Unanswered> {
    client::ask(socket, &Request::Jobs(request))
}

/// Shows an answer that is no list.
fn otherwise(reply: Result<Reply, client::Unanswered>) -> Exit {
    match reply {
        Ok(Reply::Done(told)) => write(format!("{told}\n").as_bytes()),
        Ok(Reply::Refused(why)) => refused(&why),
        Ok(_) => refused(&"the server answers something else; it may be another version"),
        Err(reason) => refused(&reason),
    }
}

fn show_json(shown: &impl Serialize) -> Exit {
    // Numbers, texts and lists always serialise.
    let text = serde_json::to_string_pretty(shown).unwrap_or_default() + "\n";
    write(text.as_bytes())
}
