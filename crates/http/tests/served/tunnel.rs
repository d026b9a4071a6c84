//! WebSockets over HTTP/2 (RFC 8441), with the h2 crate as the client.

use bytes::Bytes;
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use hyper::header::HeaderMap;
use hyper::{Method, Request};

use crate::application::ENDINGS;
use crate::serving::{Serving, on_one_thread};
use crate::websocket::frame;

async fn connected(serving: &Serving) -> SendRequest<Bytes> {
    let (sender, connection) = h2::client::handshake(serving.connect().await)
        .await
        .unwrap();
    tokio::task::spawn_local(async move {
        let _ = connection.await;
    });
    let mut sender = sender.ready().await.unwrap();
    // The server's settings say that it understands these requests.
    while !sender.is_extended_connect_protocol_enabled() {
        tokio::task::yield_now().await;
        sender = sender.ready().await.unwrap();
    }
    sender
}

/// Asks for a WebSocket in this version; the status of the answer, and what the stream carries.
async fn asked(
    sender: &mut SendRequest<Bytes>,
    path: &str,
    (protocol, version): (&'static str, &str),
) -> (u16, SendStream<Bytes>, RecvStream) {
    let request = Request::builder()
        .method(Method::CONNECT)
        .uri(format!("http://test{path}"))
        .header("sec-websocket-version", version)
        .extension(Protocol::from_static(protocol));
    let (response, send) = sender
        .send_request(request.body(()).unwrap(), false)
        .unwrap();
    let response = response.await.unwrap();
    (response.status().as_u16(), send, response.into_body())
}

async fn opened(serving: &Serving, path: &str) -> (SendStream<Bytes>, RecvStream) {
    let mut sender = connected(serving).await;
    let (status, send, receive) = asked(&mut sender, path, ("websocket", "13")).await;
    assert_eq!(status, 200);
    (send, receive)
}

/// The next `count` bytes that come.
async fn bytes(receive: &mut RecvStream, buffer: &mut Vec<u8>, count: usize) -> Vec<u8> {
    while buffer.len() < count {
        let piece = receive.data().await.unwrap().unwrap();
        receive
            .flow_control()
            .release_capacity(piece.len())
            .unwrap();
        buffer.extend_from_slice(&piece);
    }
    buffer.drain(..count).collect()
}

fn send(stream: &mut SendStream<Bytes>, first: u8, payload: &[u8]) {
    stream
        .send_data(frame(first, payload).into(), false)
        .unwrap();
}

#[test]
fn messages_go_both_ways_and_the_stream_ends_with_the_close() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let (mut stream, mut receive) = opened(&serving, "/").await;
        let mut buffer = Vec::new();
        send(&mut stream, 0x81, b"hello");
        assert_eq!(bytes(&mut receive, &mut buffer, 7).await, b"\x81\x05hello");
        // More than all windows take at once.
        let large = vec![b'x'; 400_000];
        send(&mut stream, 0x82, &large);
        let head = bytes(&mut receive, &mut buffer, 10).await;
        assert_eq!(
            head,
            [&[0x82, 127][..], &400_000_u64.to_be_bytes()].concat()
        );
        assert!(bytes(&mut receive, &mut buffer, large.len()).await == large);
        send(&mut stream, 0x88, b"\x03\xe8");
        assert_eq!(
            bytes(&mut receive, &mut buffer, 4).await,
            b"\x88\x02\x03\xe8"
        );
        stream.send_data(Bytes::new(), true).unwrap();
        assert!(receive.data().await.is_none());
        while serving.server.use_so_far().websockets > 0 {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn an_application_that_closes_or_fails_says_so() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        for (path, close) in ENDINGS {
            let (mut stream, mut receive) = opened(&serving, path).await;
            let said = bytes(&mut receive, &mut Vec::new(), close.len()).await;
            assert_eq!(said, close, "{path}");
            send(&mut stream, 0x88, &close[2..4]);
            while let Some(Ok(more)) = receive.data().await {
                assert_eq!(more, "");
            }
        }
    });
}

#[test]
fn a_client_that_resets_its_stream_or_sends_trailers_is_gone() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let (mut stream, mut receive) = opened(&serving, "/").await;
        send(&mut stream, 0x81, b"hello");
        bytes(&mut receive, &mut Vec::new(), 7).await;
        stream.send_reset(Reason::CANCEL);
        let (mut stream, mut receive) = opened(&serving, "/").await;
        stream.send_trailers(HeaderMap::new()).unwrap();
        let refused = receive.data().await.unwrap().unwrap_err();
        assert_eq!(refused.reason(), Some(Reason::PROTOCOL_ERROR));
        drop(opened(&serving, "/").await);
        while serving.server.use_so_far().websockets > 0 {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn what_is_no_websocket_gets_its_status() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let mut sender = connected(&serving).await;
        for (path, terms, status) in [
            ("/", ("websocket", "8"), 426),
            ("/", ("other", "13"), 501),
            ("/refused", ("websocket", "13"), 500),
            ("/rejected", ("websocket", "13"), 403),
            ("/denied", ("websocket", "13"), 401),
        ] {
            assert_eq!(asked(&mut sender, path, terms).await.0, status, "{path}");
        }
    });
}

#[test]
fn a_drain_closes_a_tunnel_with_1012() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let (mut stream, mut receive) = opened(&serving, "/").await;
        serving.server.drain(None);
        let said = bytes(&mut receive, &mut Vec::new(), 4).await;
        assert_eq!(said, b"\x88\x02\x03\xf4");
        send(&mut stream, 0x88, b"\x03\xf4");
        stream.send_data(Bytes::new(), true).unwrap();
        serving.server.drained().await;
    });
}
