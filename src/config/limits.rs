//! Limits on a client's costs.

use std::ops::RangeInclusive;

use super::LimitSettings;
use super::mistakes::Mistakes;
use crate::cli::{Http, Limits};

/// Beyond some thousand fields a request costs more than any application wants of it.
const FIELDS: RangeInclusive<usize> = 1..=10_000;

/// Not even the shortest request of a browser finds room in less.
const LEAST_HEAD: usize = 256;

/// The meaning of the flags.
pub(super) fn meant(typed: &Limits, http: &Http, mistakes: &mut Mistakes) -> LimitSettings {
    if !FIELDS.contains(&typed.max_headers) {
        let (least, most) = (FIELDS.start(), FIELDS.end());
        mistakes.add("--max-headers", format!("{least} to {most}"));
    }
    if http.max_head_size < LEAST_HEAD {
        mistakes.add("--max-head-size", format!("at least {LEAST_HEAD}"));
    }
    if typed.limit_connections == Some(0) {
        mistakes.add("--limit-connections", "at least 1, or no client is served");
    }
    for (option, limit) in [
        ("--timeout-body-read", typed.timeout_body_read),
        ("--timeout-request", typed.timeout_request),
    ] {
        if limit.is_some_and(|limit| limit.is_zero()) {
            mistakes.add(option, "more than 0; leave it out for no limit");
        }
    }
    if http.limit_concurrency == Some(0) {
        let why = "at least 1, or nothing would be answered";
        mistakes.add("--limit-concurrency", why);
    }
    LimitSettings {
        keep_alive: http.timeout_keep_alive,
        header_read: http.timeout_header_read,
        concurrency: http.limit_concurrency,
        head: http.max_head_size,
        fields: typed.max_headers,
        target: typed.max_target_size.unwrap_or(http.max_head_size / 2),
        body: typed.max_body_size,
        body_read: typed.timeout_body_read,
        request: typed.timeout_request,
        write: Some(typed.timeout_write).filter(|limit| !limit.is_zero()),
        connections: typed.limit_connections,
    }
}
