//! Proxies in front of the server.

use clap::ValueEnum;
use clap::builder::BoolishValueParser;

/// Options about proxies.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Proxies")]
#[expect(missing_docs)]
pub struct Proxies {
    /// Take the client's address and scheme from trusted proxies (--no-proxy-headers)
    #[arg(
        long,
        env = "LOWMEM_PROXY_HEADERS",
        overrides_with = "no_proxy_headers"
    )]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true")]
    #[arg(value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub proxy_headers: Option<bool>,
    #[arg(long, hide = true, overrides_with = "proxy_headers")]
    pub no_proxy_headers: bool,
    /// Trusted proxies: addresses, networks, unix: or * [default: 127.0.0.1,::1]
    #[arg(long, value_name = "LIST", env = "LOWMEM_FORWARDED_ALLOW_IPS")]
    pub forwarded_allow_ips: Option<String>,
    /// The header fields that they write: X-Forwarded-For and -Proto, or Forwarded (RFC 7239)
    #[arg(
        long,
        value_name = "FIELD",
        default_value = "x-forwarded",
        env = "LOWMEM_FORWARDED_HEADER"
    )]
    pub forwarded_header: ForwardedWord,
    /// Trusted proxies begin each connection with the PROXY protocol, version 1 or 2
    #[arg(long, env = "LOWMEM_PROXY_PROTOCOL", value_parser = BoolishValueParser::new())]
    pub proxy_protocol: bool,
}

/// `--forwarded-header`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs)]
pub enum ForwardedWord {
    XForwarded,
    Forwarded,
}
