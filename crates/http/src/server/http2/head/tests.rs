use super::*;
use crate::server::hpack::{Decoder, encode};

const LIMITS: HeadLimits = HeadLimits {
    size: 65_536,
    target: 20,
    fields: 8,
};

const GET: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "https"),
    (":path", "/"),
    (":authority", "a"),
];

fn list(sent: &[(&str, &str)]) -> FieldList {
    let mut block = Vec::new();
    for (name, value) in sent {
        encode::raw_field(&mut block, name.as_bytes(), value.as_bytes());
    }
    let mut fields = FieldList::default();
    fields.reset(LIMITS.size);
    Decoder::default().decode(&block, &mut fields).unwrap();
    fields
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn fields(sent: &[(&str, &str)]) -> Result<Vec<(String, String)>, Bad> {
    read(&list(sent), LIMITS, |head, _| {
        let fields = head.headers.iter();
        fields
            .map(|field| (field.name.to_owned(), text(field.value)))
            .collect()
    })
}

fn get(more: &[(&str, &str)]) -> Result<Vec<(String, String)>, Bad> {
    fields(&[&GET, more].concat())
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

#[test]
fn the_authority_becomes_the_host_and_comes_first() {
    let read = get(&[("x", "1"), ("host", "A")]);
    assert_eq!(read, Ok(owned(&[("host", "a"), ("x", "1")])));
    let read = fields(&[&GET[..3], &[("x", "1"), ("host", "b")]].concat());
    assert_eq!(read, Ok(owned(&[("host", "b"), ("x", "1")])));
}

#[test]
fn cookie_crumbs_are_joined_where_the_first_stood() {
    let sent = [("cookie", "a=1"), ("x", "2"), ("cookie", "b=2")];
    let joined = owned(&[("host", "a"), ("cookie", "a=1; b=2"), ("x", "2")]);
    assert_eq!(get(&sent), Ok(joined));
}

#[test]
fn what_http1_would_refuse_is_refused() {
    let user = [&GET[..3], &[(":authority", "user@a")]].concat();
    for refused in [
        fields(&GET[..3]),
        get(&[("host", "b")]),
        get(&[("host", "a"), ("host", "a")]),
        fields(&user),
    ] {
        assert!(matches!(refused, Err(Bad::Refused(it)) if it.status() == 400));
    }
    let tunnel = fields(&[(":method", "CONNECT"), (":authority", "a:80")]);
    assert_eq!(tunnel, Err(Bad::Refused(Refused::Method)));
}

#[test]
fn malformed_requests_are_told_apart() {
    let with = |place: usize, field: (&'static str, &'static str)| {
        let mut sent = GET.to_vec();
        sent[place] = field;
        fields(&sent)
    };
    for malformed in [
        fields(&GET[1..]),
        get(&[("Upper", "x")]),
        get(&[("", "x")]),
        get(&[("x", " a")]),
        get(&[("x", "a\t")]),
        get(&[("x", "a\0b")]),
        get(&[("x", "a\r\nb")]),
        get(&[("connection", "close")]),
        get(&[("te", "gzip")]),
        get(&[("x", "1"), (":path", "/")]),
        get(&[("host", "a"), (":protocol", "x")]),
        get(&[(":path", "/")]),
        get(&[(":status", "200")]),
        get(&[(":protocol", "websocket")]),
        get(&[("content-length", "x")]),
        get(&[("content-length", "1"), ("content-length", "1")]),
        with(0, (":method", "G T")),
        with(2, (":path", "")),
        with(2, (":path", "a")),
        with(2, (":path", "*")),
        with(2, (":path", "/a b")),
    ] {
        assert!(matches!(malformed, Err(Bad::Malformed(_))), "{malformed:?}");
    }
    assert!(get(&[("te", "trailers"), ("x", "a b")]).is_ok());
}

#[test]
fn long_targets_and_many_fields_are_refused() {
    let mut sent = GET.to_vec();
    sent[2] = (":path", "/bbbbbbbbbbbbbbbbbbbb");
    assert_eq!(fields(&sent), Err(Bad::Refused(Refused::TargetTooLong)));
    let many = get(&[("a", ""), ("b", ""), ("c", ""), ("d", ""), ("e", "")]);
    assert_eq!(many, Err(Bad::Refused(Refused::TooLarge)));
}

#[test]
fn targets_are_taken_apart() {
    let mut sent = GET.to_vec();
    sent[2] = (":path", "/b%20c?d=1?#e");
    let target = read(&list(&sent), LIMITS, |head, _| {
        (text(head.path), text(head.query))
    });
    assert_eq!(target, Ok(("/b%20c".to_owned(), "d=1?".to_owned())));
}

#[test]
fn an_extended_connect_names_its_protocol() {
    let mut sent = GET.to_vec();
    sent[0] = (":method", "CONNECT");
    sent.push((":protocol", "websocket"));
    let protocol = read(&list(&sent), LIMITS, |_, framing| {
        framing.protocol.map(text)
    });
    assert_eq!(protocol, Ok(Some("websocket".to_owned())));
    sent.remove(1);
    assert!(matches!(fields(&sent), Err(Bad::Malformed(_))));
}
