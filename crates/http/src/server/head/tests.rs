use super::*;

const LIMITS: HeadLimits = HeadLimits {
    size: 100,
    target: 50,
    fields: 128,
};

fn check(head: &str) -> Result<(BodyLength, bool), u16> {
    parse(head.as_bytes(), LIMITS, |head| (head.body, head.keep_alive)).map_err(Refused::status)
}

fn with_fields(fields: &str) -> Result<(BodyLength, bool), u16> {
    check(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
}

#[test]
fn the_end_of_a_head_is_found_in_pieces() {
    let head = b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
    let mut scan = HeadScan::default();
    for end in 0..head.len() - 5 {
        assert_eq!(
            scan.advance(&head[..end], LIMITS),
            Ok(None),
            "after {end} bytes"
        );
    }
    assert_eq!(scan.advance(head, LIMITS), Ok(Some(4..head.len() - 4)));
}

#[test]
fn bare_line_feeds_and_large_heads_are_refused() {
    for head in ["\n", "GET / HTTP/1.1\n", "GET / HTTP/1.1\r\nHost: a\n\r\n"] {
        let refused = HeadScan::default().advance(head.as_bytes(), LIMITS);
        assert_eq!(refused.map_err(Refused::status), Err(400), "{head:?}");
    }
}

#[test]
fn heads_are_limited_in_size_target_and_fields() {
    let scanned = |head: &str| HeadScan::default().advance(head.as_bytes(), LIMITS);
    let line = "GET / HTTP/1.1\r\n";
    let field = format!("{line}a: {}", "x".repeat(100));
    assert_eq!(scanned(&field), Err(Refused::TooLarge));
    assert_eq!(scanned(&format!("{field}\r\n\r\n")), Err(Refused::TooLarge));
    assert_eq!(
        scanned(&format!("/{}", "x".repeat(114))),
        Err(Refused::TargetTooLong)
    );
    let parsed = |target: usize, fields: usize, limits| {
        let head = format!("GET /{} HTTP/1.1\r\nhost: a\r\n", "x".repeat(target - 1));
        let head = head + &"a: b\r\n".repeat(fields - 1) + "\r\n";
        parse(head.as_bytes(), limits, |head| head.headers.len())
    };
    assert_eq!(parsed(50, 128, LIMITS), Ok(128));
    assert_eq!(parsed(51, 1, LIMITS), Err(Refused::TargetTooLong));
    assert_eq!(parsed(1, 129, LIMITS), Err(Refused::TooLarge));
    let few = HeadLimits {
        fields: 3,
        ..LIMITS
    };
    assert_eq!(
        (parsed(1, 3, few), parsed(1, 4, few)),
        (Ok(3), Err(Refused::TooLarge))
    );
    let many = HeadLimits {
        fields: 500,
        ..LIMITS
    };
    assert_eq!(
        (parsed(1, 500, many), parsed(1, 501, many)),
        (Ok(500), Err(Refused::TooLarge))
    );
}

#[test]
fn bodies_are_sized_or_chunked() {
    assert_eq!(with_fields(""), Ok((BodyLength::Sized(0), true)));
    assert_eq!(
        with_fields("content-length: 7\r\n"),
        Ok((BodyLength::Sized(7), true))
    );
    let chunked = with_fields("Transfer-Encoding: Chunked\r\n");
    assert_eq!(chunked, Ok((BodyLength::Chunked, true)));
}

#[test]
fn ambiguous_framing_is_refused() {
    for (fields, status) in [
        ("content-length: 5\r\ncontent-length: 5\r\n", 400),
        ("content-length: 5, 5\r\n", 400),
        ("content-length: +5\r\n", 400),
        ("content-length: 0x5\r\n", 400),
        ("content-length:\r\n", 400),
        ("content-length: 99999999999999999999\r\n", 400),
        ("content-length: 5\r\ntransfer-encoding: chunked\r\n", 400),
        ("transfer-encoding: chunked, chunked\r\n", 400),
        (
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            400,
        ),
        ("transfer-encoding: chunked, gzip\r\n", 400),
        ("transfer-encoding: gzip, chunked\r\n", 501),
        ("transfer-encoding: gzip\r\n", 501),
        ("transfer-encoding:\r\n", 400),
    ] {
        assert_eq!(with_fields(fields), Err(status), "{fields:?}");
    }
    let old = check("POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n");
    assert_eq!(old, Err(400));
}

#[test]
fn a_host_is_one_and_well_formed() {
    for host in [
        "a",
        "a.b:80",
        "[::1]",
        "[::1]:8000",
        "",
        "a_b",
        "127.0.0.1:",
        "xn--a%41",
    ] {
        let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert!(check(&head).is_ok(), "{host:?}");
    }
    for host in [
        "a b", "a/b", "a@b", "a,b", "a:b", "[::1", "[::1]x", "a:123456", "a?b", "é",
    ] {
        let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(check(&head), Err(400), "{host:?}");
    }
    assert_eq!(check("GET / HTTP/1.1\r\n\r\n"), Err(400));
    assert_eq!(
        check("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
        Err(400)
    );
    assert!(check("GET / HTTP/1.0\r\n\r\n").is_ok());
}

#[test]
fn targets_are_taken_apart() {
    let target = |method: &str, target: &str| {
        let head = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        parse(head.as_bytes(), LIMITS, |head| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (text(head.path), text(head.query), head.authority.map(text))
        })
        .map_err(Refused::status)
    };
    let of = |path: &str, query: &str| (path.to_owned(), query.to_owned(), None);
    assert_eq!(target("GET", "/a%20b?x=1?y"), Ok(of("/a%20b", "x=1?y")));
    assert_eq!(target("GET", "/a#b"), Ok(of("/a", "")));
    assert_eq!(target("OPTIONS", "*"), Ok(of("*", "")));
    let absolute = ("/".to_owned(), "q".to_owned(), Some("h:1".to_owned()));
    assert_eq!(target("GET", "http://h:1?q"), Ok(absolute));
    for (method, bad) in [
        ("GET", "*"),
        ("GET", "a"),
        ("GET", "http://"),
        ("GET", "ftp://a/"),
    ] {
        assert_eq!(target(method, bad), Err(400), "{bad:?}");
    }
    assert_eq!(target("CONNECT", "a:1"), Err(501));
}

#[test]
fn connections_persist_by_version_and_option() {
    let kept = |version: &str, option: &str| {
        let head = format!("GET / HTTP/{version}\r\nHost: a\r\n{option}\r\n");
        check(&head).map(|(_, keep_alive)| keep_alive)
    };
    assert_eq!(kept("1.1", ""), Ok(true));
    assert_eq!(kept("1.1", "Connection: x, Close\r\n"), Ok(false));
    assert_eq!(kept("1.0", ""), Ok(false));
    assert_eq!(kept("1.0", "Connection: Keep-Alive\r\n"), Ok(true));
    assert_eq!(kept("2.0", ""), Err(505));
    assert_eq!(kept("x", ""), Err(400));
}

#[test]
fn what_httparse_refuses_is_a_400() {
    for head in [
        "GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
        "G T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nx: a\0b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nx: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
        "GET / http/1.1\r\nHost: a\r\n\r\n",
    ] {
        assert_eq!(check(head), Err(400), "{head:?}");
    }
}
