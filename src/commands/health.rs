//! `lowmem-serve health`: whether running servers are well, for a container's health check.
//!
//! It asks the supervisor over its operator socket, so that the answer does not depend on a port, a
//! path or a certificate, and no application has to answer for it.

use super::{refused, write};
use crate::cli::Named;
use crate::exit::Exit;
use crate::operator::{Reply, Request, client, find};
use crate::surroundings::Surroundings;

/// All servers that are meant have to be well.
pub(super) fn run(named: &Named, around: &Surroundings) -> Exit {
    let target = super::ctl::target(named, around);
    let sockets = match find::sockets(target.as_ref()) {
        Ok(sockets) => sockets,
        Err(reason) => return refused(&reason),
    };
    for socket in sockets {
        let said = match client::ask(&socket, &Request::Status) {
            Ok(Reply::Status(status)) => status.health(),
            Ok(Reply::Refused(why)) => Err(why),
            Ok(_) => Err("the server answers something else; it may be another version".to_owned()),
            Err(reason) => Err(reason.to_string()),
        };
        if let Err(why) = said {
            return refused(&why);
        }
    }
    write(b"healthy\n")
}
