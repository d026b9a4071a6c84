//! The opening handshake over HTTP/1.1 (RFC 6455 section 4.2) and over HTTP/2 (RFC 8441 section 5), as
//! a function of the request's head.

use base64ct::{Base64, Encoding};
use httparse::Header;

use super::extension::{self, Agreement};
use crate::asgi::http::Version;
use crate::server::head::{BodyLength, RequestHead};
use crate::server::response::is_token;

/// The text that a server adds to the key before it hashes it (section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The offer of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// The proof that its handshake was understood: `sec-websocket-accept`. HTTP/2 has none.
    pub(super) proof: Option<String>,
    /// The subprotocols that it speaks, in its order.
    pub subprotocols: Vec<String>,
    /// How messages may be compressed, if they may.
    pub(super) deflate: Option<Agreement>,
}

/// The result of a request for another protocol.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// A WebSocket.
    WebSocket(Handshake),
    /// A WebSocket, but not as the RFC writes it: the status and the text of the answer.
    Refused(u16, &'static str),
    /// Something else; the upgrade may be ignored (RFC 9110 section 7.8).
    Other,
}

/// Looks at a request whose `connection` field has the option `upgrade`.
#[must_use]
pub fn examine(head: &RequestHead<'_>, deflate: bool) -> Asked {
    let asks = list(head.headers, "upgrade").any(|name| name.eq_ignore_ascii_case(b"websocket"));
    // RFC 9110 section 7.8: in HTTP/1.0 the field means nothing.
    if !asks || head.version == Version::Http10 {
        return Asked::Other;
    }
    if head.method != "GET" {
        return Asked::Refused(405, "A WebSocket is opened with GET.");
    }
    let proven = |handshake| {
        let proof = Some(proof(key(head)?));
        Ok(Handshake { proof, ..handshake })
    };
    answer(read(head, deflate).and_then(proven))
}

/// Looks at an extended CONNECT whose `:protocol` is `websocket`: the same without the fields that
/// change a connection of HTTP/1.1 (RFC 8441 section 5).
#[must_use]
pub fn examine_connect(head: &RequestHead<'_>, deflate: bool) -> Asked {
    answer(read(head, deflate))
}

fn answer(read: Result<Handshake, Refusal>) -> Asked {
    match read {
        Ok(handshake) => Asked::WebSocket(handshake),
        Err((status, why)) => Asked::Refused(status, why),
    }
}

type Refusal = (u16, &'static str);

fn read(head: &RequestHead<'_>, deflate: bool) -> Result<Handshake, Refusal> {
    if head.body != BodyLength::Sized(0) {
        return Err((400, "A WebSocket handshake has no body."));
    }
    match one(head.headers, "sec-websocket-version") {
        Ok(b"13") => {}
        Ok(_) => return Err((426, "The WebSocket version spoken here is 13.")),
        Err(()) => return Err((400, "A WebSocket handshake has one Sec-WebSocket-Version.")),
    }
    let subprotocols =
        subprotocols(head.headers).ok_or((400, "Malformed Sec-WebSocket-Protocol."))?;
    let offers = values(head.headers, "sec-websocket-extensions");
    let agreement =
        extension::negotiate(offers).ok_or((400, "Malformed Sec-WebSocket-Extensions."))?;
    Ok(Handshake {
        proof: None,
        subprotocols,
        deflate: agreement.filter(|_| deflate),
    })
}

fn key<'a>(head: &RequestHead<'a>) -> Result<&'a [u8], Refusal> {
    one(head.headers, "sec-websocket-key")
        .ok()
        .filter(|key| Base64::decode(key, &mut [0; 18]).is_ok_and(|nonce| nonce.len() == 16))
        .ok_or((
            400,
            "A WebSocket handshake has one Sec-WebSocket-Key: 16 bytes in base64.",
        ))
}

/// Section 4.2.2: the key with the GUID, hashed.
fn proof(key: &[u8]) -> String {
    let mut hash = sha1_smol::Sha1::new();
    hash.update(key);
    hash.update(GUID);
    Base64::encode_string(&hash.digest().bytes())
}

/// Section 4.1: tokens, each once.
fn subprotocols(headers: &[Header<'_>]) -> Option<Vec<String>> {
    let mut found: Vec<String> = Vec::new();
    for name in list(headers, "sec-websocket-protocol") {
        let name = std::str::from_utf8(name).ok()?;
        if name.is_empty() || !name.bytes().all(is_token) || found.iter().any(|n| n == name) {
            return None;
        }
        found.push(name.to_owned());
    }
    Some(found)
}

fn values<'a>(headers: &'a [Header<'a>], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name))
        .map(|header| header.value.trim_ascii())
}

/// The elements of a field that is a list.
fn list<'a>(headers: &'a [Header<'a>], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    values(headers, name)
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}

/// The value of a field that must come once.
fn one<'a>(headers: &'a [Header<'a>], name: &'a str) -> Result<&'a [u8], ()> {
    let mut values = values(headers, name);
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        _ => Err(()),
    }
}

/// Whether a field is the handshake's own: an application that set it would break the handshake.
pub(super) fn is_reserved(name: &[u8]) -> bool {
    let own: [&[u8]; 8] = [
        b"connection",
        b"upgrade",
        b"content-length",
        b"transfer-encoding",
        b"sec-websocket-accept",
        b"sec-websocket-extensions",
        b"sec-websocket-key",
        b"sec-websocket-version",
    ];
    own.iter().any(|own| name.eq_ignore_ascii_case(own))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::head::{HeadLimits, parse};

    const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    const VERSION: &str = "Sec-WebSocket-Version: 13";

    fn asked(line: &str, fields: &[&str]) -> Asked {
        let fields = fields.join("\r\n");
        let head = format!(
            "{line}\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n{fields}\r\n\r\n"
        );
        let limits = HeadLimits {
            size: 1000,
            target: 100,
            fields: 20,
        };
        parse(head.as_bytes(), limits, |head| examine(head, true)).unwrap()
    }

    fn refused(line: &str, fields: &[&str]) -> u16 {
        match asked(line, fields) {
            Asked::Refused(status, _) => status,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn the_example_of_the_rfc_is_understood() {
        let fields = [KEY, VERSION, "Sec-WebSocket-Protocol: chat, superchat"];
        let Asked::WebSocket(handshake) = asked("GET /chat HTTP/1.1", &fields) else {
            panic!("it is a handshake");
        };
        let proof = handshake.proof.as_deref();
        assert_eq!(proof, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(handshake.subprotocols, ["chat", "superchat"]);
        assert_eq!(handshake.deflate, None);
    }

    #[test]
    fn each_bad_handshake_gets_its_status() {
        let get = "GET / HTTP/1.1";
        assert_eq!(refused("POST / HTTP/1.1", &[KEY, VERSION]), 405);
        assert_eq!(refused(get, &[KEY, "Sec-WebSocket-Version: 8"]), 426);
        assert_eq!(refused(get, &[KEY]), 400);
        assert_eq!(refused(get, &[VERSION]), 400);
        assert_eq!(refused(get, &[KEY, KEY, VERSION]), 400);
        assert_eq!(refused(get, &["Sec-WebSocket-Key: dGhl", VERSION]), 400);
        assert_eq!(refused(get, &[KEY, VERSION, "Content-Length: 1"]), 400);
        for bad in [
            "Sec-WebSocket-Protocol: a,,b",
            "Sec-WebSocket-Protocol: a, a",
        ] {
            assert_eq!(refused(get, &[KEY, VERSION, bad]), 400);
        }
        let bad = "Sec-WebSocket-Extensions: x; =1";
        assert_eq!(refused(get, &[KEY, VERSION, bad]), 400);
    }

    #[test]
    fn an_old_version_of_http_cannot_be_upgraded() {
        assert_eq!(asked("GET / HTTP/1.0", &[KEY, VERSION]), Asked::Other);
    }
}
