//! The date field, made once a second.

use std::cell::RefCell;
use std::time::{Duration, UNIX_EPOCH};

use lowmem_base::sys::clock;

thread_local! {
    /// The line of the current second: formatting it takes longer than all else in a head.
    static DATE: RefCell<(u64, Vec<u8>)> = const { RefCell::new((0, Vec::new())) };
}

/// Gives `then` the line of a date field, with its end.
pub(in crate::server) fn with_date<R>(then: impl FnOnce(&[u8]) -> R) -> R {
    let second = clock::seconds();
    DATE.with_borrow_mut(|(cached, line)| {
        if *cached != second || line.is_empty() {
            *cached = second;
            let now = UNIX_EPOCH + Duration::from_secs(second);
            *line = format!("date: {}\r\n", httpdate::fmt_http_date(now)).into_bytes();
        }
        then(line)
    })
}
