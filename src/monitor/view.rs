//! All that the status server shows, from the board and the samples.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::board::{Board, Published};
use super::orders::Orderer;
use super::report::{Everything, Samples};
use super::rest::Rest;
use crate::operator::Status;

/// The state that the answers are made from.
#[derive(Debug)]
pub struct Monitor {
    pub(super) board: Arc<Board>,
    pub(super) orderer: Orderer,
    pub(super) samples: Rc<Samples>,
    pub(super) token: Option<String>,
    pub(super) rest: Rest,
}

impl Monitor {
    pub(super) fn published(&self) -> Result<Arc<Published>, String> {
        let published = self.board.published();
        published.ok_or_else(|| "the server is starting".to_owned())
    }

    /// As `lowmem-serve status --json` shows this server, with what was sampled.
    pub(super) fn status(&self) -> String {
        // Numbers, texts and lists always serialise.
        serde_json::to_string(&self.whole()).unwrap_or_default()
    }

    fn whole(&self) -> Option<Status> {
        let published = self.board.published()?;
        Some(self.samples.whole(&published))
    }

    /// The data of the page.
    pub(super) fn everything(&self) -> String {
        let Some(status) = self.whole() else {
            return "null".to_owned();
        };
        let mut marks = Vec::new();
        let published = self.board.published();
        for tally in published.iter().flat_map(|own| &own.tallies) {
            marks.extend(tally.marks());
        }
        marks.sort_by_key(|mark| mark.at);
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        let everything = Everything {
            status,
            pace: self.samples.pace(),
            history: self.samples.history(),
            until: since_epoch.unwrap_or_default().as_secs(),
            marks,
            has_control: self.token.is_some(),
        };
        serde_json::to_string(&everything).unwrap_or_default()
    }
}
