//! One of the requests in flight.

use std::cell::Cell;
use std::rc::Rc;

/// Counts as one until it is dropped: a request that panics does not count for ever.
#[derive(Debug)]
pub(super) struct Counted(Rc<Cell<usize>>);

impl Counted {
    pub(super) fn among(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Self(Rc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn a_request_that_panics_is_given_back() {
        let count = Rc::new(Cell::new(0));
        let answered = Counted::among(&count);
        let panics = || {
            let _counted = Counted::among(&count);
            assert_eq!(count.get(), 3);
        };
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        assert_eq!(count.get(), 1);
        drop(answered);
        assert_eq!(count.get(), 0);
    }
}
