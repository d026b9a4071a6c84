//! Where to listen: flags that take each other's place, flags that add up, systemd's sockets.
//!
//! Every place that is named is listened on. `--fd` or `--uds` stands in for `--host` and `--port`,
//! as in Uvicorn; each `--bind` adds a place, and with one of them the default address is not bound
//! unless `--host` or `--port` asks for it. Where nothing is named, the sockets that systemd has
//! passed are taken (sd_listen_fds(3)), and without those 127.0.0.1:8000.

use std::path::PathBuf;

use super::mistakes::Mistakes;
use crate::cli::Listening;
use crate::net::Listen;
use crate::surroundings::Surroundings;

/// The number of the first descriptor that systemd passes, SD_LISTEN_FDS_START.
const FIRST_PASSED: i32 = 3;

const DEFAULT_HOST: &str = "127.0.0.1";
const DEFAULT_PORT: u16 = 8000;

/// The places that the flags and the service manager name, at least one.
pub(super) fn meant(
    typed: &Listening,
    around: &Surroundings,
    notices: &mut Vec<String>,
    mistakes: &mut Mistakes,
) -> Vec<Listen> {
    let passed = passed(around, mistakes);
    let mut places = Vec::new();
    places.extend(instead_of_host(typed, mistakes));
    for text in &typed.bind {
        match bind(text, &passed) {
            // Port 0 is another port each time.
            Ok(place)
                if places.contains(&place) && !matches!(place, Listen::Tcp { port: 0, .. }) =>
            {
                mistakes.add("--bind", format!("{text:?}: listened on twice"));
            }
            Ok(place) => places.push(place),
            Err(why) => mistakes.add("--bind", format!("{text:?}: {why}")),
        }
    }
    let numbers = FIRST_PASSED..;
    if places.is_empty() && !passed.is_empty() {
        return passed
            .iter()
            .zip(numbers)
            .map(|(_, n)| Listen::Inherited(n))
            .collect();
    }
    for (name, number) in passed.iter().zip(numbers) {
        if !places.contains(&Listen::Inherited(number)) {
            notices.push(format!(
                "Nothing listens on descriptor {number} ({name}), which systemd has passed: \
                 other places are named, so name it, too (--bind fd://{number}), or none"
            ));
        }
    }
    if places.is_empty() {
        places.push(address(typed));
    }
    places
}

/// The place that `--fd`, `--uds`, or `--host` and `--port` name, if any.
fn instead_of_host(typed: &Listening, mistakes: &mut Mistakes) -> Option<Listen> {
    match (typed.fd, &typed.uds) {
        (Some(number), Some(path)) => {
            let both = format!("--bind fd://{number} --bind unix:{}", path.display());
            let why = format!("not together with --uds; for both sockets write {both}");
            mistakes.add("--fd", why);
            None
        }
        (Some(number), None) => Some(Listen::Inherited(number)),
        (None, Some(path)) => Some(Listen::Unix(path.clone())),
        (None, None) => (typed.host.is_some() || typed.port.is_some()).then(|| address(typed)),
    }
}

fn address(typed: &Listening) -> Listen {
    Listen::Tcp {
        host: typed
            .host
            .clone()
            .unwrap_or_else(|| DEFAULT_HOST.to_owned()),
        port: typed.port.unwrap_or(DEFAULT_PORT),
    }
}

/// One `--bind`; `passed` has the names of systemd's sockets.
fn bind(text: &str, passed: &[String]) -> Result<Listen, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        // `unix:///run/app.sock` is the same in the form of a URL.
        let path = path.strip_prefix("//").unwrap_or(path);
        return match path {
            "" => Err("no path after unix:".to_owned()),
            path => Ok(Listen::Unix(PathBuf::from(path))),
        };
    }
    if let Some(name) = text.strip_prefix("fd://") {
        return descriptor(name, passed).map(Listen::Inherited);
    }
    if text.contains("://") {
        return Err("an address without a scheme: host:port, unix:PATH or fd://N".to_owned());
    }
    let (host, port) = split(text)?;
    let port = port
        .parse()
        .map_err(|_| format!("{port:?} is not a port (0 to 65535; 0 takes a free one)"))?;
    let host = host.to_owned();
    Ok(Listen::Tcp { host, port })
}

/// Host and port; an IPv6 address in brackets, of which the host is without them.
fn split(text: &str) -> Result<(&str, &str), String> {
    if let Some(literal) = text.strip_prefix('[') {
        let (host, port) = literal
            .split_once("]:")
            .ok_or("no port after the address: write [::1]:8000")?;
        return match host.parse::<std::net::Ipv6Addr>() {
            Ok(_) => Ok((host, port)),
            Err(_) => Err("no IPv6 address in the brackets".to_owned()),
        };
    }
    match text.rsplit_once(':') {
        Some((host, _)) if host.contains(':') => {
            Err("an IPv6 address stands in brackets: write [::1]:8000".to_owned())
        }
        Some(parts) => Ok(parts),
        None => Err(format!("no port: write {text}:8000")),
    }
}

/// A descriptor by its number, or by the name that its socket unit gives it.
fn descriptor(name: &str, passed: &[String]) -> Result<i32, String> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let mut named = (FIRST_PASSED..).zip(passed).filter(|(_, own)| *own == name);
    match (named.next(), named.next()) {
        (Some((number, _)), None) => Ok(number),
        (Some(_), Some(_)) => Err("several of systemd's sockets have that name".to_owned()),
        (None, _) => {
            Err("no descriptor number, and no socket of that name from systemd".to_owned())
        }
    }
}

/// The names of the sockets that systemd has passed to this process, in their order.
fn passed(around: &Surroundings, mistakes: &mut Mistakes) -> Vec<String> {
    let is_ours = around
        .variable("LISTEN_PID")
        .is_some_and(|pid| pid.parse() == Ok(around.pid));
    let Some(count) = around.variable("LISTEN_FDS").filter(|_| is_ours) else {
        return Vec::new();
    };
    let Ok(count) = count.parse::<u8>() else {
        mistakes.add(
            "LISTEN_FDS",
            format!("{count:?} is not a number of sockets"),
        );
        return Vec::new();
    };
    let names = around.variable("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':').filter(|name| !name.is_empty());
    // The name that sd_listen_fds_with_names(3) gives where none was set.
    let mut name = || names.next().unwrap_or("unknown").to_owned();
    (0..count).map(|_| name()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Listen {
        let host = host.to_owned();
        Listen::Tcp { host, port }
    }

    fn typed(bind: &[&str]) -> Listening {
        Listening {
            host: None,
            port: None,
            uds: None,
            uds_mode: None,
            fd: None,
            bind: bind.iter().map(|&text| text.to_owned()).collect(),
            backlog: 1,
        }
    }

    fn by_systemd(names: &str, count: &str) -> Surroundings {
        let mut around = Surroundings {
            pid: 7,
            ..Surroundings::default()
        };
        for (name, value) in [
            ("LISTEN_PID", "7"),
            ("LISTEN_FDS", count),
            ("LISTEN_FDNAMES", names),
        ] {
            around.variables.insert(name.into(), value.into());
        }
        around
    }

    /// The places, how many notices, how many mistakes.
    fn places(typed: &Listening, around: &Surroundings) -> (Vec<Listen>, usize, usize) {
        let (mut notices, mut mistakes) = (Vec::new(), Mistakes::default());
        let places = meant(typed, around, &mut notices, &mut mistakes);
        (places, notices.len(), mistakes.len())
    }

    #[test]
    fn a_place_is_written_in_one_of_four_ways() {
        for (text, place) in [
            ("127.0.0.1:80", tcp("127.0.0.1", 80)),
            ("localhost:0", tcp("localhost", 0)),
            (":8000", tcp("", 8000)),
            ("[::1]:8000", tcp("::1", 8000)),
            ("unix:a.sock", Listen::Unix("a.sock".into())),
            ("unix:/run/a", Listen::Unix("/run/a".into())),
            ("unix:///run/a", Listen::Unix("/run/a".into())),
            ("fd://3", Listen::Inherited(3)),
            ("fd://web", Listen::Inherited(4)),
        ] {
            let passed = ["metrics".to_owned(), "web".to_owned()];
            assert_eq!(bind(text, &passed), Ok(place), "{text}");
        }
    }

    #[test]
    fn what_is_no_place_is_told_with_what_would_be() {
        for (text, hint) in [
            ("127.0.0.1", "127.0.0.1:8000"),
            ("::1", "[::1]:8000"),
            ("::1:80", "brackets"),
            ("[::1]", "[::1]:8000"),
            ("[localhost]:80", "no IPv6 address"),
            ("a:65536", "not a port"),
            ("a:", "not a port"),
            ("http://a:80", "without a scheme"),
            ("unix:", "no path"),
            ("fd://web", "no socket of that name"),
            ("", "no port"),
        ] {
            let why = bind(text, &[]).unwrap_err();
            assert!(why.contains(hint), "{text}: {why}");
        }
    }

    #[test]
    fn binds_add_up_and_leave_out_the_default() {
        let around = Surroundings::default();
        let default = tcp("127.0.0.1", 8000);
        assert_eq!(places(&typed(&[]), &around).0, [default]);
        let two = places(&typed(&[":1", "unix:a"]), &around).0;
        assert_eq!(two, [tcp("", 1), Listen::Unix("a".into())]);
        let mut with_port = typed(&[":1"]);
        with_port.port = Some(9);
        let both = [tcp("127.0.0.1", 9), tcp("", 1)];
        assert_eq!(places(&with_port, &around).0, both);
        assert_eq!(places(&typed(&[":1", ":1"]), &around).2, 1);
        assert_eq!(places(&typed(&[":0", ":0"]), &around).2, 0);
    }

    #[test]
    fn systemds_sockets_are_taken_where_nothing_is_named() {
        let around = by_systemd("web:metrics", "2");
        let both = vec![Listen::Inherited(3), Listen::Inherited(4)];
        assert_eq!(places(&typed(&[]), &around), (both, 0, 0));
        let one = vec![Listen::Inherited(4)];
        assert_eq!(places(&typed(&["fd://metrics"]), &around), (one, 1, 0));
    }

    #[test]
    fn sockets_for_another_process_are_not_ours() {
        let mut around = by_systemd("", "1");
        around.pid = 8;
        assert_eq!(places(&typed(&[]), &around).0, [tcp("127.0.0.1", 8000)]);
        assert_eq!(places(&typed(&[]), &by_systemd("", "x")).2, 1);
    }
}
