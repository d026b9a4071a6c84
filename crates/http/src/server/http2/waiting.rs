//! Requests that wait until their connection has sent more of what others were answered
//! ([`Unsent`](crate::server::exchange::Unsent)).

use super::cycle::Cycle;
use super::head;
use super::session::Session;
use crate::server::admission::under_id;
use crate::server::application::Application;
use crate::server::hpack::FieldList;

/// The bytes that the fields of all waiting requests may take: those of a hundred usual ones.
const WAITING_FIELDS: usize = 256 * 1024;

impl<A: Application> Session<A> {
    /// Lets a request wait. `false` where the fields of waiting requests are too large already.
    pub(super) fn keep_waiting(&mut self, cycle: &mut Cycle<A>, fields: &FieldList) -> bool {
        let others = self
            .cycles
            .iter()
            .filter_map(|cycle| cycle.waiting.as_ref());
        let weight: usize = others.map(|fields| fields.weight()).sum();
        if weight + fields.weight() > WAITING_FIELDS {
            return false;
        }
        cycle.waiting = Some(Box::new(fields.clone()));
        self.some_wait = true;
        true
    }

    /// Starts those for which there is room again, the oldest first; says whether any was started.
    pub(super) fn start_waiting(&mut self) -> bool {
        let mut any = false;
        while self.some_wait && !self.unsent.must_wait() {
            let oldest = self.cycles.iter_mut().position(|it| it.waiting.is_some());
            let Some(place) = oldest else {
                self.some_wait = false;
                break;
            };
            let mut cycle = self.cycles.remove(place);
            let fields = cycle.waiting.take();
            // Its body may have been refused meanwhile.
            if let Some(fields) = fields.filter(|_| !cycle.exchange.is_gone()) {
                self.start_late(&mut cycle, &fields);
            }
            self.cycles.insert(place, cycle);
            any = true;
        }
        any
    }

    fn start_late(&mut self, cycle: &mut Cycle<A>, fields: &FieldList) {
        let id = cycle.exchange.request_id();
        let read = head::read(fields, self.server.limits.head, |head, _| {
            self.complete(head);
            under_id(head, id.as_deref(), |head| self.call(cycle, head));
        });
        debug_assert!(read.is_ok(), "it was read before");
    }
}
