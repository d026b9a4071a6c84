//! Waitress' options.

use super::Takes::{Nothing, Value};
use super::values;
use super::{Opt, by, does, flag, is, no, so};
use crate::migration::effect::{Effect, Effects, but};

pub(super) const OPTIONS: &[Opt] = &[
    by(&["--listen"], |places| {
        let places = places
            .split_whitespace()
            .map(|place| match place.contains(':') {
                true => place.to_owned(),
                false => format!("{place}:8080"),
            });
        values::bind(&places.collect::<Vec<_>>().join(","))
    }),
    is(&["--host"], "--host"),
    is(&["--port"], "--port"),
    is(&["--unix-socket"], "--uds"),
    is(&["--unix-socket-perms"], "--uds-mode"),
    does(&["--call"], |_| vec![Effect::Flag("--factory", None)]),
    is(&["--threads"], "--wsgi-threads"),
    is(&["--backlog"], "--backlog"),
    is(&["--connection-limit"], "--limit-connections"),
    is(&["--channel-timeout"], "--timeout-keep-alive"),
    is(&["--max-request-body-size"], "--max-body-size"),
    is(&["--max-request-header-size"], "--max-head-size"),
    is(&["--url-prefix"], "--root-path"),
    no(
        &["--url-scheme"],
        Value,
        "a trusted proxy says it by X-Forwarded-Proto",
    ),
    by(&["--trusted-proxy"], |proxy| {
        flag("--forwarded-allow-ips", proxy)
    }),
    so(
        &["--trusted-proxy-headers", "--trusted-proxy-count"],
        Value,
        "the rightmost address that is not trusted is the client",
    ),
    so(
        &[
            "--clear-untrusted-proxy-headers",
            "--no-clear-untrusted-proxy-headers",
        ],
        Nothing,
        "fields of others stay as they are, and are not believed",
    ),
    so(
        &["--log-untrusted-proxy-headers"],
        Nothing,
        "it is said once",
    ),
    by(&["--ident"], |name| {
        but(
            flag("--header", format!("server:{name}")),
            "the server field",
        )
    }),
    so(
        &["--expose-tracebacks", "--no-expose-tracebacks"],
        Nothing,
        "tracebacks are in the log only",
    ),
    so(
        &[
            "--recv-bytes",
            "--send-bytes",
            "--outbuf-overflow",
            "--outbuf-high-watermark",
            "--inbuf-overflow",
            "--cleanup-interval",
            "--channel-request-lookahead",
            "--asyncore-loop-timeout",
        ],
        Value,
        "buffers are bounded by this server's own rules",
    ),
    so(
        &[
            "--asyncore-use-poll",
            "--ipv4",
            "--ipv6",
            "--no-ipv4",
            "--no-ipv6",
        ],
        Nothing,
        "an address decides it",
    ),
];

/// It listens elsewhere.
pub(super) fn unasked(has: impl Fn(&str) -> bool) -> Effects {
    let mut effects = Vec::new();
    if has("--bind") || has("--uds") {
        return effects;
    }
    if !has("--host") {
        effects.extend(flag("--host", "0.0.0.0"));
    }
    if !has("--port") {
        effects.extend(flag("--port", "8080"));
    }
    effects
}
