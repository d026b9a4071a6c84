//! Static files, served without the application.
//!
//! Parsing and deciding are done on values: which file a path stands for (`target`), which of its
//! codings (`codings`), whether the client has it (`conditions`), which part (`ranges`). `root`
//! opens what lies beneath a directory and nothing else, and `response::FilePiece` brings a file to a socket. What
//! is in the kernel's memory is answered on the spot; what a disk has to be asked for is looked up
//! on another thread, because the worker's own must never wait.

mod asked;
mod codings;
mod conditions;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod media_type;
mod mount;
mod ranges;
mod reply;
mod root;
mod target;

use std::io;
use std::sync::Arc;

use rustix::io::Errno;

use super::exchange::Exchange;
use super::head::RequestHead;
use crate::tasks;
use asked::Asked;
use lowmem_base::config::Mount;
use mount::Mounted;
use reply::Reply;
use root::Patience;

/// The mounted directories, the longest prefixes first.
#[derive(Debug)]
pub(super) struct Files(Vec<Arc<Mounted>>);

impl Files {
    /// Opens the directories.
    ///
    /// # Errors
    /// One of them is not there.
    pub(super) fn open(mounts: &[Mount]) -> io::Result<Self> {
        let opened = mounts.iter().cloned().map(Mounted::open);
        let mut opened = opened.collect::<io::Result<Vec<_>>>()?;
        opened.sort_by_key(|mount| std::cmp::Reverse(mount.settings.prefix.len()));
        Ok(Self(opened.into_iter().map(Arc::new).collect()))
    }

    /// Answers a request for a static file. Says no where it is for the application.
    pub(super) fn serve(&self, head: &RequestHead<'_>, exchange: &Arc<Exchange>) -> bool {
        let Some((mount, rest)) = self.find(head.path_below()) else {
            return false;
        };
        if wants_websocket(head) {
            return false;
        }
        let asked = Asked::of(head, rest);
        // Whether the application should answer must be known now: such a mount waits for the
        // disk's directories, if the kernel has forgotten them.
        let patience = if mount.settings.pass {
            Patience::Disk
        } else {
            Patience::None
        };
        match mount.reply(&asked, patience) {
            Ok(None) => return false,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tasks::spawn(look_up(Arc::clone(mount), asked, Arc::clone(exchange)));
            }
            Ok(Some(reply)) => reply.deliver(exchange),
            Err(error) => failed(&error).deliver(exchange),
        }
        true
    }

    fn find<'a>(&self, path: &'a [u8]) -> Option<(&Arc<Mounted>, &'a [u8])> {
        self.0.iter().find_map(|mount| {
            let rest = target::below(path, &mount.settings.prefix)?;
            Some((mount, rest))
        })
    }
}

/// A handshake is never for a file. Other upgrades are, because a server may ignore them.
fn wants_websocket(head: &RequestHead<'_>) -> bool {
    let is_upgrade = |name: &str| name.eq_ignore_ascii_case("upgrade");
    head.upgrade
        && head
            .headers
            .iter()
            .any(|field| is_upgrade(field.name) && field.value.eq_ignore_ascii_case(b"websocket"))
}

/// The same on a thread that may wait.
async fn look_up(mount: Arc<Mounted>, asked: Asked, exchange: Arc<Exchange>) {
    let looked = tokio::task::spawn_blocking(move || mount.reply(&asked, Patience::Disk));
    let reply = match looked.await {
        Ok(Ok(Some(reply))) => reply,
        Ok(Ok(None)) => Reply::plain(404),
        Ok(Err(error)) => failed(&error),
        Err(error) => failed(&io::Error::other(error)),
    };
    reply.deliver(&exchange);
}

/// The answer where it is not the client's fault.
fn failed(error: &io::Error) -> Reply {
    tracing::error!("Cannot serve a static file: {error}");
    match Errno::from_io_error(error) {
        Some(Errno::MFILE | Errno::NFILE) => Reply::plain(503),
        _ => Reply::plain(500),
    }
}
