//! Which proxies are believed, and what.

use super::mistakes::Mistakes;
use super::{ForwardedField, ProxySettings, Trusted};
use crate::cli::{ForwardedWord, Proxies};

/// A platform's list of its proxies, which Uvicorn reads in `--env-file`, too.
const VARIABLE: &str = "FORWARDED_ALLOW_IPS";

/// Proxies on the same machine.
const DEFAULT: &str = "127.0.0.1,::1";

/// The meaning of the flags; `environment` has the variables of `--env-file`.
pub(super) fn meant(
    typed: &Proxies,
    environment: &[(String, String)],
    mistakes: &mut Mistakes,
) -> ProxySettings {
    let mut variables = environment.iter();
    let from_file = variables.find(|(name, _)| name == VARIABLE);
    let list = typed.forwarded_allow_ips.as_ref();
    let list = list.or(from_file.map(|(_, list)| list));
    let trusted = Trusted::parse(list.map_or(DEFAULT, String::as_str));
    let trusted = trusted.unwrap_or_else(|why| {
        mistakes.add("--forwarded-allow-ips", why);
        Trusted::default()
    });
    let field = match typed.forwarded_header {
        ForwardedWord::XForwarded => ForwardedField::XForwarded,
        ForwardedWord::Forwarded => ForwardedField::Forwarded,
    };
    let believes = !typed.no_proxy_headers && typed.proxy_headers.unwrap_or(true);
    ProxySettings {
        trusted,
        field: believes.then_some(field),
        protocol: typed.proxy_protocol,
    }
}
