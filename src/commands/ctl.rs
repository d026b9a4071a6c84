//! `lowmem-serve ctl`: tells a running server what to do.

use super::{refused, write};
use crate::cli::{Control, Named};
use crate::exit::Exit;
use crate::operator::find::{self, Target};
use crate::operator::{Reply, Request, client};
use crate::surroundings::Surroundings;

/// Names the socket of a server that was started with `--operator-socket`.
const VARIABLE: &str = "LOWMEM_OPERATOR_SOCKET";

/// Tells it, and shows what it answers.
pub(super) fn run(control: &Control, around: &Surroundings) -> Exit {
    let (named, request) = match control {
        Control::Recycle { named } => (named, Request::Recycle),
        Control::Sleep { named } => (named, Request::Sleep),
        Control::Wake { named } => (named, Request::Wake),
        Control::Workers { change, named } => (named, Request::Workers(*change)),
    };
    tell(named, &request, around)
}

/// Sends one request to the server that is meant.
pub(super) fn tell(named: &Named, request: &Request, around: &Surroundings) -> Exit {
    let socket = match find::socket(target(named, around).as_ref()) {
        Ok(socket) => socket,
        Err(reason) => return refused(&reason),
    };
    match client::ask(&socket, request) {
        Ok(Reply::Done(told)) => write(format!("{told}\n").as_bytes()),
        Ok(Reply::Refused(why)) => refused(&why),
        Ok(_) => refused(&"the server answers something else; it may be another version"),
        Err(reason) => refused(&reason),
    }
}

/// The server that was typed, else the one whose socket the environment names.
pub(super) fn target(named: &Named, around: &Surroundings) -> Option<Target> {
    let from_environment = || {
        let path = around.variable(VARIABLE).filter(|path| path != "off")?;
        Some(Target::Socket(around.directory.join(path)))
    };
    named.target.clone().or_else(from_environment)
}
