//! Places that several applications share, and which hosts and paths there are whose.

use std::collections::BTreeMap;

use super::member::Application;
use super::mistakes::Mistakes;
use super::{Config, listen};
use crate::cli;
use crate::net::Listen;
use crate::routes::{self, Host, Route};
use crate::routing::Patience;
use crate::surroundings::Surroundings;

/// The places that applications share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// They.
    pub listen: Vec<Listen>,
    /// `uds-mode` before the tables.
    pub mode: Option<u32>,
    /// `backlog` before the tables.
    pub backlog: i32,
    /// How long clients may take.
    pub patience: Patience,
}

/// The meaning of `bind` before the tables, if it is there.
pub(super) fn shared(
    typed: &cli::Fleet,
    flags: &cli::Flags,
    around: &Surroundings,
) -> Result<Option<Shared>, Vec<String>> {
    let Some((bind, place)) = &typed.shared else {
        return Ok(None);
    };
    let mut mistakes = Mistakes::default();
    let listening = cli::Listening {
        host: None,
        port: None,
        bind: bind.clone(),
        uds: None,
        uds_mode: flags.listening.uds_mode,
        fd: None,
        backlog: flags.listening.backlog,
    };
    // Sockets of systemd's that nothing names here may be an application's.
    let listen = listen::meant(&listening, around, &mut Vec::new(), &mut mistakes);
    mistakes.into_result().map_err(|mistakes| {
        let lines = mistakes.iter();
        lines
            .map(|mistake| format!("{place}: {mistake}"))
            .collect::<Vec<_>>()
    })?;
    let base = around.directory.join(&typed.file);
    let directory = base.parent().unwrap_or(&around.directory);
    let absolute = listen.into_iter().map(|place| match place {
        Listen::Unix(path) => Listen::Unix(directory.join(path)),
        other => other,
    });
    Ok(Some(Shared {
        listen: absolute.collect(),
        mode: flags.listening.uds_mode,
        backlog: flags.listening.backlog,
        patience: Patience {
            head: flags.http.timeout_header_read,
            keep_alive: flags.http.timeout_keep_alive,
        },
    }))
}

/// An option, and what is wrong with it.
pub(super) type Wrong = (&'static str, String);

/// The routes of an application by its `hosts` and `paths`.
pub(super) fn routes(typed: &cli::Member, is_shared: bool) -> Result<Vec<Route>, Vec<Wrong>> {
    let own = &typed.own;
    if own.hosts.is_empty() && own.paths.is_empty() {
        return Ok(Vec::new());
    }
    let mut wrong = Vec::new();
    let option = if own.hosts.is_empty() {
        "--paths"
    } else {
        "--hosts"
    };
    if !is_shared {
        let why = "there is no place that applications share: write bind = [\"0.0.0.0:80\"] before the tables";
        wrong.push((option, why.to_owned()));
    }
    if !own.paths.is_empty() && !typed.flags.application.root_path.is_empty() {
        let why =
            "not together with root-path: the path that a request is found by is its root_path";
        wrong.push(("--paths", why.to_owned()));
    }
    if typed.flags.proxies.proxy_protocol {
        let why = "not together with proxy-protocol: a shared place has no PROXY protocol. Give the application a \
                   bind of its own in place of hosts and paths, or have the proxy send X-Forwarded-For";
        wrong.push((option, why.to_owned()));
    }
    let mut read = |option: &'static str, text: &str, why: String| {
        wrong.push((option, format!("{text:?}: {why}")));
    };
    let mut hosts = Vec::new();
    for text in &own.hosts {
        match Host::parse(text) {
            Ok(host) => hosts.push(host),
            Err(why) => read("--hosts", text, why),
        }
    }
    let mut paths = Vec::new();
    for text in &own.paths {
        match routes::path(text) {
            Ok(path) => paths.push(path),
            Err(why) => read("--paths", text, why),
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    if hosts.is_empty() {
        hosts.push(Host::Any);
    }
    if paths.is_empty() {
        paths.push(String::new());
    }
    let mut routes = Vec::new();
    for host in hosts {
        for path in &paths {
            let route = Route {
                host: host.clone(),
                path: path.clone(),
                application: typed.name.clone(),
            };
            if !routes.contains(&route) {
                routes.push(route);
            }
        }
    }
    Ok(routes)
}

/// Adds the shared places to an application's own.
pub(super) fn add_place(config: &mut Config, routes: &[Route], has_own_place: bool) {
    if routes.is_empty() {
        return;
    }
    if !has_own_place {
        config.listen.clear();
    }
    let names = routes.iter().map(ToString::to_string);
    config.listen.push(Listen::Routed(names.collect()));
}

/// Which hosts and paths are taken.
#[derive(Debug, Default)]
pub(super) struct Claims(BTreeMap<Host, Vec<Claim>>);

#[derive(Debug)]
struct Claim {
    path: String,
    application: String,
    is_tls: bool,
}

impl Claims {
    /// Takes an application's, or says which are another's already.
    pub(super) fn take(&mut self, application: &Application) -> Result<(), Vec<String>> {
        let is_tls = application.config.worker.server.tls.is_some();
        let mut wrong = Vec::new();
        for route in &application.routes {
            let of_host = self.0.get(&route.host).map_or(&[][..], Vec::as_slice);
            if let Some(other) = of_host.iter().find(|claim| claim.path == route.path) {
                wrong.push(format!("{route} is {}'s already", other.application));
            } else if let Some(other) = of_host.iter().find(|other| other.is_tls || is_tls) {
                wrong.push(format!(
                    "{} is {}'s already, and with ssl-certfile a host is one application's: a TLS \
                     handshake names no path. Let a proxy serve TLS, or give each a host",
                    route.host, other.application
                ));
            }
        }
        if !wrong.is_empty() {
            let place = application.place_of_routes.as_str();
            let named = |why| format!("{place}: [apps.{}] hosts: {why}", application.name);
            return Err(wrong.into_iter().map(named).collect());
        }
        for route in &application.routes {
            let of_host = self.0.entry(route.host.clone()).or_default();
            of_host.push(Claim {
                path: route.path.clone(),
                application: application.name.clone(),
                is_tls,
            });
        }
        Ok(())
    }
}
