//! An application in Rust, which does what the path of a request names.

use std::cell::Cell;
use std::future::poll_fn;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use lowmem_http::asgi::websocket::Message;
use lowmem_http::peers::{Peers, TlsFacts};
use lowmem_http::server::application::Application;
use lowmem_http::server::{
    Body, Conversation, Data, Exchange, FilePiece, Piece, Received, RequestHead, ResponseHead,
    WebSocketReceived,
};
use lowmem_http::tasks;

/// Paths of WebSockets that the application ends: by closing with a reason, and by an error. With each the close
/// frame (RFC 6455 section 5.5.1) that the client gets.
pub const ENDINGS: [(&str, &[u8]); 2] = [
    ("/closed", b"\x88\x08\x0f\xa0enough"),
    ("/raised", b"\x88\x02\x03\xf3"),
];

/// `/echo` sends the body back, `/slow` answers after a moment, `/stream` in chunks, `/large` with a
/// megabyte, `/forever` without an end, `/events` with an event stream, `/file` with this source file, `/silent` returns
/// without an answer, `/short` with less than it announced; anything else is told its path, the client and the scheme.
/// WebSockets echo, but for `/refused`, `/denied`, `/closed`, `/raised` and `/chosen`, which do what they say.
#[derive(Debug, Default)]
pub struct Paths {
    /// How many clients were found to be gone.
    pub disconnects: Rc<Cell<usize>>,
}

/// The content of `/file`.
pub const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/served/application.rs");

pub const SLOW: Duration = Duration::from_millis(150);

impl Application for Paths {
    type Connection = String;

    fn connect(&self, peers: &Peers, tls: Option<&TlsFacts>) -> String {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let client = peers
            .client
            .map_or("unix".to_owned(), |it| it.ip().to_string());
        format!("{scheme} {client}")
    }

    fn request(&self, connection: &String, head: &RequestHead<'_>, exchange: Arc<Exchange>) {
        let path = String::from_utf8_lossy(head.path).into_owned();
        let disconnects = Rc::clone(&self.disconnects);
        match path.as_str() {
            "/echo" => tasks::spawn(echo(exchange)),
            "/stream" => tasks::spawn(stream(exchange)),
            "/forever" => tasks::spawn(forever(exchange, disconnects)),
            "/slow" => tasks::spawn(async move {
                tokio::time::sleep(SLOW).await;
                answer(&exchange, b"slow");
            }),
            "/large" => answer_shared(&exchange, Bytes::from(vec![b'x'; 1 << 20])),
            "/events" => tasks::spawn(events(exchange)),
            "/file" => {
                let file = FilePiece::open(Path::new(SOURCE)).unwrap();
                begin(&exchange, Some(file.left() as usize));
                let _ = exchange.file(file, false);
                let _ = exchange.finish();
            }
            "/silent" => {
                let _ = exchange.finish();
            }
            "/short" => {
                begin(&exchange, Some(10));
                let _ = exchange.body(Piece::Small(b"abc"), true);
                let _ = exchange.finish();
            }
            _ => {
                let forwarded = head.forwarded.as_ref().and_then(|it| it.client.as_ref());
                let forwarded = forwarded.map_or(String::new(), |it| format!(" for {it}"));
                answer(
                    &exchange,
                    format!("{path} {connection}{forwarded}").as_bytes(),
                );
            }
        }
    }

    fn takes_websockets(&self) -> bool {
        true
    }

    fn websocket(&self, _: &String, head: &RequestHead<'_>, conversation: Arc<Conversation>) {
        match head.path {
            b"/refused" => {
                let _ = conversation.finish(false);
            }
            b"/denied" => deny(&conversation),
            b"/rejected" => {
                assert!(conversation.reject());
                let _ = conversation.finish(false);
            }
            b"/closed" => accept(&conversation, None, |it| {
                it.close(4000, "enough".to_owned()).unwrap();
                let _ = it.finish(false);
            }),
            b"/raised" => accept(&conversation, None, |it| {
                let _ = it.finish(true);
            }),
            b"/chosen" => {
                let chosen = conversation.subprotocols().pop();
                accept(&conversation, chosen.as_deref(), |_| {});
                tasks::spawn(converse(conversation));
            }
            _ => tasks::spawn(converse(conversation)),
        }
    }
}

/// An answer of known length.
pub fn answer(exchange: &Exchange, body: &[u8]) {
    answer_with(exchange, 200, body);
}

fn answer_with(exchange: &Exchange, status: i64, body: &[u8]) {
    begin_with(exchange, status, Some(body.len()));
    let _ = exchange.body(Piece::Small(body), false);
    let _ = exchange.finish();
}

fn answer_shared(exchange: &Exchange, body: Bytes) {
    begin(exchange, Some(body.len()));
    let _ = exchange.body(Piece::Shared(body), false);
    let _ = exchange.finish();
}

fn begin(exchange: &Exchange, length: Option<usize>) {
    begin_with(exchange, 200, length);
}

fn begin_with(exchange: &Exchange, status: i64, length: Option<usize>) {
    let Ok(buffer) = exchange.begin() else { return };
    let mut head = ResponseHead::new(buffer, status);
    head.field(b"content-type", b"text/plain").unwrap();
    if let Some(length) = length {
        let length = length.to_string();
        head.field(b"content-length", length.as_bytes()).unwrap();
    }
    let _ = exchange.start(head);
}

async fn receive(exchange: &Exchange) -> Received {
    poll_fn(|cx| exchange.poll_receive(Some(cx.waker()))).await
}

async fn echo(exchange: Arc<Exchange>) {
    let mut body = Vec::new();
    loop {
        match receive(&exchange).await {
            Received::Disconnect => return,
            Received::Body { data, more } => {
                if let Body::Copied(bytes) = data {
                    body.extend(bytes);
                }
                if !more {
                    break;
                }
            }
        }
    }
    answer_shared(&exchange, body.into());
}

async fn stream(exchange: Arc<Exchange>) {
    begin(&exchange, None);
    for number in 0..100 {
        let text = format!("piece {number};").repeat(100);
        if exchange.body(Piece::Small(text.as_bytes()), true).is_err() {
            break;
        }
        poll_fn(|cx| exchange.poll_sent(cx.waker())).await;
    }
    let _ = exchange.body(Piece::Small(b"end"), false);
    let _ = exchange.finish();
}

async fn forever(exchange: Arc<Exchange>, disconnects: Rc<Cell<usize>>) {
    begin(&exchange, None);
    let _ = exchange.body(Piece::Small(b"on and on"), true);
    while !matches!(receive(&exchange).await, Received::Disconnect) {}
    disconnects.set(disconnects.get() + 1);
    let _ = exchange.body(Piece::Small(b""), false);
    let _ = exchange.finish();
}

async fn events(exchange: Arc<Exchange>) {
    let buffer = exchange.begin().unwrap();
    let mut head = ResponseHead::new(buffer, 200);
    head.field(b"content-type", b"text/event-stream").unwrap();
    let _ = exchange.start(head);
    let _ = exchange.body(Piece::Small(b"data: 1\n\n"), true);
    while !matches!(receive(&exchange).await, Received::Disconnect) {}
    let _ = exchange.finish();
}

fn accept(conversation: &Conversation, chosen: Option<&str>, then: impl FnOnce(&Conversation)) {
    let _ = conversation.poll_receive(None);
    let acceptance = conversation.acceptance(chosen).unwrap();
    conversation.accept(acceptance).unwrap();
    then(conversation);
}

/// Answers a handshake with a response of HTTP.
fn deny(conversation: &Conversation) {
    let exchange = conversation.respond(Message::ResponseStart).unwrap();
    answer_with(&exchange, 401, b"who are you?");
    conversation.responded(&exchange);
    let _ = conversation.finish(false);
}

async fn converse(conversation: Arc<Conversation>) {
    loop {
        let received = poll_fn(|cx| match conversation.poll_receive(Some(cx.waker())) {
            Poll::Ready(received) => Poll::Ready(received),
            Poll::Pending => Poll::Pending,
        })
        .await;
        match received {
            WebSocketReceived::Connect => {
                let acceptance = conversation.acceptance(None).unwrap();
                conversation.accept(acceptance).unwrap();
            }
            WebSocketReceived::Message(Data::Text(text)) => {
                let _ = conversation.send(true, Piece::Small(&text));
            }
            WebSocketReceived::Message(Data::Binary(bytes)) => {
                let _ = conversation.send(false, Piece::Shared(bytes.into()));
            }
            WebSocketReceived::Disconnect(_) => break,
        }
    }
    let _ = conversation.finish(false);
}
