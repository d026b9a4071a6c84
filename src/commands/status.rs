//! `lowmem-serve status`: how running servers are.

use super::{refused, write};
use crate::cli::Asked;
use crate::exit::Exit;
use crate::figures::{Age, Megabytes};
use crate::operator::{ApplicationStatus, Reply, Request, Status, client, find};
use crate::surroundings::Surroundings;

/// Asks the servers and shows what they answer. A server that does not answer is named on stderr.
pub(super) fn run(asked: &Asked, around: &Surroundings) -> Exit {
    let (all, unanswered) = match ask(asked, around) {
        Ok(answered) => answered,
        Err(reason) => return refused(&reason),
    };
    let text = if asked.json {
        // Numbers, texts and lists always serialise.
        serde_json::to_string_pretty(&all).unwrap_or_default() + "\n"
    } else {
        all.iter().map(page).collect::<Vec<_>>().join("\n")
    };
    match write(text.as_bytes()) {
        Exit::Stopped => unanswered,
        failed => failed,
    }
}

/// The servers' answers, and the exit code: a server that does not answer has been reported.
pub(super) fn ask(asked: &Asked, around: &Surroundings) -> Result<(Vec<Status>, Exit), String> {
    let target = super::ctl::target(&asked.named, around);
    let sockets = find::sockets(target.as_ref()).map_err(|reason| reason.to_string())?;
    let mut unanswered = Exit::Stopped;
    let mut all = Vec::new();
    for socket in sockets {
        match client::ask(&socket, &Request::Status) {
            Ok(Reply::Status(status)) => all.push(*status),
            Ok(Reply::Refused(why) | Reply::Done(why)) => unanswered = refused(&why),
            Ok(_) => unanswered = refused(&"a server answers something else"),
            Err(reason) => unanswered = refused(&reason),
        }
    }
    Ok((all, unanswered))
}

fn page(status: &Status) -> String {
    let mut text = format!(
        "lowmem-serve {} (pid {}), up {}",
        status.server,
        status.pid,
        age(status.uptime)
    );
    if let Some(own) = status.memory {
        text += &format!(", supervisor {} MB", Megabytes(own));
    }
    text += "\n";
    for application in &status.applications {
        text += &of_application(application);
    }
    text
}

fn of_application(application: &ApplicationStatus) -> String {
    let places = application.places.join(", ");
    let mut text = format!(
        "\n{}  {}  {places}\n",
        application.name,
        application.state.word()
    );
    for worker in &application.workers {
        let pid = worker.pid.map_or("-".to_owned(), |pid| pid.to_string());
        let memory = worker.memory.map(|own| format!("{} MB", Megabytes(own)));
        let stage = match worker.is_stalled {
            true => "stalled",
            false => worker.stage.word(),
        };
        let line = format!(
            "  {:<8}{:<10}{:>8}{:>12}",
            pid,
            stage,
            worker.age.map(age).unwrap_or_default(),
            memory.unwrap_or_default()
        );
        text += line.trim_end();
        text += "\n";
    }
    text
}

fn age(seconds: f64) -> String {
    let time = std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default();
    Age(time).to_string()
}
