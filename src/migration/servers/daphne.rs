//! Daphne's options.

use super::Takes::{Nothing, Value};
use super::values;
use super::{Opt, by, flag, is, missing, no, on, so};
use crate::migration::effect::{Effect, Effects, Weight, but};

pub(super) const OPTIONS: &[Opt] = &[
    is(&["-p", "--port"], "--port"),
    is(&["-b", "--bind"], "--host"),
    is(&["-u", "--unix-socket"], "--uds"),
    is(&["--fd"], "--fd"),
    by(&["-e", "--endpoint"], endpoint),
    by(&["-v", "--verbosity"], |value| match value {
        "0" => flag("--log-level", "warning"),
        "1" => Vec::new(),
        _ => flag("--log-level", "debug"),
    }),
    by(&["-t", "--http-timeout"], |seconds| {
        but(
            flag("--timeout-request", seconds),
            "the answer is 504 in place of 503",
        )
    }),
    no(
        &["--websocket_timeout"],
        Value,
        "a WebSocket stays open while its client answers pings",
    ),
    by(&["--websocket-max-message-size"], |bytes| {
        values::unless_zero("--ws-max-size", bytes)
    }),
    so(
        &["--websocket-max-frame-size"],
        Value,
        "a message is limited as a whole, whatever its frames (--ws-max-size)",
    ),
    no(
        &["--websocket_connect_timeout"],
        Value,
        "the application decides when it accepts",
    ),
    by(&["--access-log"], values::access_file),
    no(
        &["--log-fmt"],
        Value,
        "--log-config configures Python's logging, --log-format json writes objects",
    ),
    is(&["--ping-interval"], "--ws-ping-interval"),
    is(&["--ping-timeout"], "--ws-ping-timeout"),
    so(
        &["--application-close-timeout"],
        Value,
        "an application whose client has gone receives http.disconnect, and may end by itself",
    ),
    is(&["--root-path"], "--root-path"),
    on(&["--proxy-headers"], "--proxy-headers"),
    no(
        &["--proxy-headers-host", "--proxy-headers-port"],
        Value,
        "the fields are X-Forwarded-For and -Proto, or Forwarded",
    ),
    by(&["-s", "--server-name"], |name| {
        but(
            flag("--header", format!("server:{name}")),
            "the server field",
        )
    }),
    on(&["--no-server-name"], "--no-server-header"),
    so(
        &["--noreload"],
        Nothing,
        "nothing is reloaded without --reload",
    ),
];

/// Twisted's description of a place: `tcp:8000:interface=127.0.0.1`, `unix:/run/app.sock`, `ssl:443:privateKey=…`.
fn endpoint(text: &str) -> Effects {
    let mut parts = text.split(':');
    let kind = parts.next().unwrap_or_default();
    let (mut named, mut first) = (Vec::new(), None);
    for part in parts {
        match part.split_once('=') {
            Some(pair) => named.push(pair),
            None => first = first.or(Some(part)),
        }
    }
    let value = |name: &str| {
        named
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, value)| *value)
    };
    let host = value("interface").unwrap_or("").replace('\\', "");
    let port = first.or(value("port")).unwrap_or("8000");
    match (kind, first.or(value("address"))) {
        ("unix", Some(path)) => flag("--bind", format!("unix:{path}")),
        ("tcp" | "tcp6" | "ssl", _) => {
            let mut effects = flag("--bind", format!("{host}:{port}"));
            if let Some(key) = value("privateKey").filter(|_| kind == "ssl") {
                effects.extend(flag("--ssl-keyfile", key));
                effects.extend(flag("--ssl-certfile", value("certKey").unwrap_or(key)));
            }
            effects
        }
        ("systemd", _) => flag("--bind", "fd://3"),
        _ => missing("only tcp, ssl, unix and systemd have a place here: see --bind"),
    }
}

/// Proxies are believed here where they are local.
pub(super) fn unasked(has: impl Fn(&str) -> bool) -> Effects {
    if has("--proxy-headers") {
        return Vec::new();
    }
    let why = "X-Forwarded-For and -Proto of a proxy on the same machine count here; --no-proxy-headers ignores them";
    vec![Effect::Note(Weight::Different, why.to_owned())]
}
