//! Where the operator socket is.

use std::path::Path;

use crate::cli::Operation;
use crate::operator::{OperatorSocket, place};
use crate::surroundings::Surroundings;

/// Turns `--operator-socket` off.
const OFF: &str = "off";

pub(super) fn meant(typed: &Operation, around: &Surroundings) -> Option<OperatorSocket> {
    match typed.operator_socket.as_deref() {
        Some(path) if path == Path::new(OFF) => None,
        Some(path) => Some(OperatorSocket {
            path: around.directory.join(path),
            is_named: true,
        }),
        None => {
            let uid = rustix::process::geteuid().as_raw();
            Some(OperatorSocket {
                path: place::default(around.pid, uid, |name| around.variable(name)),
                is_named: false,
            })
        }
    }
}
