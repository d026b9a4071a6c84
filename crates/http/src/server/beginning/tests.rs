//! First bytes: whole, in parts, and malformed.

use super::*;
use crate::server::hpack::encode;

fn request(host: &str, path: &str) -> Beginning {
    Beginning::Request {
        host: host.into(),
        path: path.into(),
        is_http2: false,
    }
}

#[test]
fn a_request_names_host_and_path() {
    for (text, wanted) in [
        (
            "GET / HTTP/1.1\r\nHost: a.example:80\r\n",
            request("a.example:80", "/"),
        ),
        (
            "\r\nGET /x?y HTTP/1.1\r\nA: b\r\nhOsT:  a \r\n",
            request("a", "/x"),
        ),
        (
            "GET http://b/x/y HTTP/1.1\r\nHost: a\r\n",
            request("b", "/x/y"),
        ),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n", request("a", "*")),
        ("GET /x HTTP/1.0\r\n\r\n", request("", "/x")),
        ("GET /x HTTP/1.1\nhost:a\n", request("a", "/x")),
        ("PUT /x HTTP/1.1\nhost:\n", request("", "/x")),
    ] {
        assert_eq!(look(text.as_bytes()), wanted, "{text}");
    }
}

#[test]
fn until_it_does_there_is_nothing_to_decide() {
    let text = "POST /x HTTP/1.1\r\nAccept: */*\r\nHost: a.example\r\n";
    for length in 0..text.len() {
        assert_eq!(
            look(&text.as_bytes()[..length]),
            Beginning::Unfinished,
            "{length}"
        );
    }
    assert_eq!(look(text.as_bytes()), request("a.example", "/x"));
}

#[test]
fn what_is_no_request_is_bad() {
    for text in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET /\r\n",
        "GET  / HTTP/1.1\r\n",
        "GET / HTTP/2.0\r\n",
        "GET x HTTP/1.1\r\n",
        "CONNECT a:1 HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nhost\r\n",
        "PRI * HTTP/2.0\r\n\r\nxxxxxx",
        "\x16\x03\x01\x00\x05hello",
    ] {
        let looked = look(text.as_bytes());
        assert!(matches!(looked, Beginning::Bad(_)), "{text:?}: {looked:?}");
    }
}

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    let stream = u8::from(matches!(kind, 1 | 9));
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

fn http2(frames: &[Vec<u8>]) -> Vec<u8> {
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frames.concat(),
    ]
    .concat()
}

fn block() -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [(":method", "GET"), (":path", "/x?y"), (":authority", "a:1")] {
        encode::raw_field(&mut block, name.as_bytes(), value.as_bytes());
    }
    block
}

#[test]
fn the_first_request_of_http2_names_them_too() {
    let wanted = Beginning::Request {
        host: b"a:1".to_vec(),
        path: b"/x".to_vec(),
        is_http2: true,
    };
    let block = block();
    let padded = [&[2][..], &[0, 0, 0, 0, 9], &block, &[0, 0]].concat();
    let (one, other) = block.split_at(7);
    for frames in [
        vec![
            frame(4, 0, &[]),
            frame(8, 0, &[0, 0, 1, 0]),
            frame(1, 4, &block),
        ],
        vec![frame(4, 0, &[]), frame(1, 4 | 8 | 0x20, &padded)],
        vec![frame(4, 0, &[]), frame(1, 0, one), frame(9, 4, other)],
    ] {
        let bytes = http2(&frames);
        for length in 0..bytes.len() {
            assert_eq!(look(&bytes[..length]), Beginning::Unfinished, "{length}");
        }
        assert_eq!(look(&bytes), wanted);
    }
    for frames in [
        vec![frame(0, 0, &[])],
        vec![frame(1, 0, one), frame(4, 0, &[])],
        vec![frame(1, 4, &[0x80])],
        vec![frame(1, 4, &[])],
        vec![frame(1, 4 | 8, &[200, 1])],
    ] {
        assert!(matches!(look(&http2(&frames)), Beginning::Bad(_)));
    }
}

#[test]
fn a_client_hello_says_its_name_once_it_is_whole() {
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};
    use std::sync::Arc;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let config = Arc::new(config);
    let hello = |name: &'static str| {
        let name = ServerName::try_from(name).unwrap();
        let mut client = ClientConnection::new(Arc::clone(&config), name).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    };
    let bytes = hello("shop.example.com");
    for length in 0..bytes.len() {
        assert_eq!(look(&bytes[..length]), Beginning::Unfinished, "{length}");
    }
    assert_eq!(
        look(&bytes),
        Beginning::Tls(Some("shop.example.com".to_owned()))
    );
    assert_eq!(look(&hello("127.0.0.1")), Beginning::Tls(None));
}

#[test]
fn random_bytes_never_panic() {
    let mut number: u64 = 0x2545_f491_4f6c_dd1d;
    let beginnings = [
        http2(&[]),
        vec![0x16, 3, 1],
        b"GET / HTTP/1.1\r\n".to_vec(),
        Vec::new(),
    ];
    for round in 0..4000_usize {
        let mut bytes = beginnings[round % beginnings.len()].clone();
        for _ in 0..round % 97 {
            number ^= number << 13;
            number ^= number >> 7;
            number ^= number << 17;
            bytes.push((number >> 32) as u8);
        }
        let _ = look(&bytes);
    }
}
