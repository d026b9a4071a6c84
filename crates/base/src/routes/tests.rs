//! The table, against a reading of the rules that is as plain as they are.

use super::*;

fn routes(all: &[(&str, &str, &str)]) -> Routes {
    let all = all.iter().map(|(host, own, application)| Route {
        host: Host::parse(host).unwrap(),
        path: path(own).unwrap(),
        application: (*application).to_owned(),
    });
    all.collect::<Vec<_>>().into()
}

fn found(routes: &Routes, host: &str, path: &str) -> String {
    match routes.find(host.as_bytes(), path.as_bytes()) {
        Found::Application { name, root } => format!("{name} {root}"),
        Found::NoPath => "no path".to_owned(),
        Found::NoHost => "no host".to_owned(),
    }
}

#[test]
fn the_most_specific_host_decides_and_then_the_longest_path() {
    let routes = routes(&[
        ("*", "/", "rest"),
        ("*.example.com", "/", "all"),
        ("*.eu.example.com", "/", "europe"),
        ("shop.example.com", "/", "shop"),
        ("shop.example.com", "/admin", "admin"),
        ("shop.example.com", "/admin/log", "log"),
        ("api.example.com", "/v1", "one"),
        ("[::1]", "/", "local"),
    ]);
    for (host, path, wanted) in [
        ("shop.example.com", "/", "shop 0"),
        ("SHOP.example.com:8443", "/administrator", "shop 0"),
        ("shop.example.com.", "/admin", "admin 6"),
        ("shop.example.com", "/admin/", "admin 6"),
        ("shop.example.com", "/%61dmin/x", "admin 8"),
        ("shop.example.com", "/admin/log/3", "log 10"),
        ("shop.example.com", "*", "shop 0"),
        ("api.example.com", "/v2", "no path"),
        ("a.example.com", "/v2", "all 0"),
        ("a.eu.example.com", "/", "europe 0"),
        ("eu.example.com", "/", "all 0"),
        ("example.com", "/", "rest 0"),
        ("[::1]:80", "/", "local 0"),
        ("", "/", "rest 0"),
    ] {
        assert_eq!(found(&routes, host, path), wanted, "{host} {path}");
    }
    assert_eq!(routes.of_name("shop.example.com"), Some("log"));
    assert_eq!(routes.of_name("x.example.com"), Some("all"));
}

#[test]
fn a_host_that_none_has_is_nowhere() {
    let routes = routes(&[("a.example", "/", "a")]);
    assert_eq!(found(&routes, "b.example", "/"), "no host");
    assert_eq!(found(&routes, &"a".repeat(300), "/"), "no host");
    assert_eq!(found(&routes, "\u{e4}.example", "/"), "no host");
    assert_eq!(Routes::default().find(b"a", b"/"), Found::NoHost);
}

#[test]
fn what_is_no_host_and_no_path_is_told() {
    for text in [
        "",
        "*.",
        "a:80",
        "http://a",
        "a b",
        "*a.b",
        "a.*",
        "a..b",
        "::1",
        "[::1]:80",
        "é.example",
    ] {
        assert!(Host::parse(text).is_err(), "{text}");
    }
    for text in ["", "admin", "/a//b", "/a/../b", "/a?b", "/a%20b", "/a#b"] {
        assert!(path(text).is_err(), "{text}");
    }
    for (text, wanted) in [("/", ""), ("/a/", "/a"), ("/a b/ü", "/a b/ü")] {
        assert_eq!(path(text).unwrap(), wanted);
    }
    assert_eq!(
        Host::parse("*.Example.com.").unwrap().to_string(),
        "*.example.com"
    );
}

#[test]
fn a_table_survives_the_way_to_a_worker() {
    let routes = routes(&[("*.b", "/x", "x"), ("a", "/", "a"), ("*", "/", "z")]);
    let text = serde_json::to_string(&routes).unwrap();
    assert_eq!(serde_json::from_str::<Routes>(&text).unwrap(), routes);
}

/// Pseudo-random numbers (xorshift), the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

/// The result of the rules, with every route looked at.
fn by_the_rules(all: &[(&str, &str, &str)], host: &str, asked: &str) -> String {
    let rank = |pattern: &str| match pattern.strip_prefix('*') {
        None if pattern == host => Some(1000),
        None => None,
        Some("") => Some(0),
        Some(suffix) if host.ends_with(suffix) && host.len() > suffix.len() => Some(suffix.len()),
        Some(_) => None,
    };
    let Some(best) = all.iter().filter_map(|(host, ..)| rank(host)).max() else {
        return "no host".to_owned();
    };
    let of_best = all.iter().filter(|(host, ..)| rank(host) == Some(best));
    let below = of_best.filter_map(|(_, own, name)| {
        let own = own.trim_end_matches('/');
        let is_below = asked == own || asked.starts_with(&format!("{own}/"));
        is_below.then_some((own.len(), *name))
    });
    match below.max_by_key(|(length, _)| *length) {
        Some((root, name)) => format!("{name} {root}"),
        None => "no path".to_owned(),
    }
}

#[test]
fn random_tables_and_requests_follow_the_rules() {
    const HOSTS: [&str; 8] = ["a.x", "b.x", "c.a.x", "*.x", "*.a.x", "*", "x", "y"];
    const ASKED: [&str; 8] = ["a.x", "b.x", "c.a.x", "d.a.x", "q.x", "x", "y", "z"];
    const PATHS: [&str; 7] = ["/", "/a", "/a/b", "/a/b/c", "/ab", "/b", "/b/a"];
    const NAMES: [&str; 6] = ["p", "q", "r", "s", "t", "u"];
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for _ in 0..3000 {
        let mut all: Vec<(&str, &str, &str)> = Vec::new();
        for _ in 0..numbers.below(12) {
            let (host, path) = (numbers.one(&HOSTS), numbers.one(&PATHS));
            if !all.iter().any(|(h, p, _)| (*h, *p) == (host, path)) {
                all.push((host, path, numbers.one(&NAMES)));
            }
        }
        let table = routes(&all);
        for _ in 0..8 {
            let host = numbers.one(&ASKED);
            let asked = numbers.one(&["/", "/a", "/a/", "/a/b/x", "/abc", "/b/a/b/c", "/c"]);
            let wanted = by_the_rules(&all, host, asked);
            assert_eq!(found(&table, host, asked), wanted, "{all:?} {host} {asked}");
        }
    }
}
