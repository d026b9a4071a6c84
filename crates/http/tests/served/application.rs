//! An application in Rust, which does what the path of a request names.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use lowmem_http::peers::{Peers, TlsFacts};
use lowmem_http::server::application::Application;
use lowmem_http::server::{
    Body, Conversation, Data, Exchange, Piece, Received, RequestHead, ResponseHead,
    WebSocketReceived,
};
use lowmem_http::tasks;

/// `/echo` sends the body back, `/slow` answers after a moment, `/stream` in chunks, `/large` with a
/// megabyte, `/forever` without an end, `/silent` returns without an answer; anything else is told its
/// path, the client and the scheme.
#[derive(Debug, Default)]
pub struct Paths {
    /// How many clients were found to be gone.
    pub disconnects: Rc<Cell<usize>>,
}

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
            "/silent" => {
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
        if head.path == b"/refused" {
            let _ = conversation.finish(false);
            return;
        }
        tasks::spawn(converse(conversation));
    }
}

/// An answer of known length.
pub fn answer(exchange: &Exchange, body: &[u8]) {
    begin(exchange, Some(body.len()));
    let _ = exchange.body(Piece::Small(body), false);
    let _ = exchange.finish();
}

fn answer_shared(exchange: &Exchange, body: Bytes) {
    begin(exchange, Some(body.len()));
    let _ = exchange.body(Piece::Shared(body), false);
    let _ = exchange.finish();
}

fn begin(exchange: &Exchange, length: Option<usize>) {
    let Ok(buffer) = exchange.begin() else { return };
    let mut head = ResponseHead::new(buffer, 200);
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
