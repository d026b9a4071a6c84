//! Whose the next request is, on a place that several applications share.

use std::ops::Range;

use super::Connection;
use crate::server::application::Application;
use crate::server::beginning::request;

/// Whose a request is.
pub(super) enum Whose {
    /// This application's.
    Own,
    /// Another application's, or of none: the router knows.
    Others,
    /// The same, and the connection cannot leave: its keys stay here.
    Misdirected,
}

impl<A: Application> Connection<'_, A> {
    /// Looks at the head at this place of the input. A connection of the application's own places costs
    /// one look at a flag.
    pub(super) fn whose(&mut self, head: &Range<usize>) -> Whose {
        if !self.peers.routed {
            return Whose::Own;
        }
        let is_decided = std::mem::take(&mut self.decided);
        // A head that cannot be read is refused later.
        let Ok(Some(named)) = request::read(&self.input.unused()[head.clone()]) else {
            self.root = 0;
            return Whose::Own;
        };
        let territory = &self.server.territory;
        let is_encrypted = self.stream.session().is_some();
        match territory.root(named.host, named.path) {
            Some(root) => self.root = root,
            None if is_encrypted => return Whose::Misdirected,
            None if is_decided => self.root = territory.root_of_own(named.host, named.path),
            None => return Whose::Others,
        }
        Whose::Own
    }
}
