//! Requests and answers over HTTP/2.

use bytes::Bytes;
use futures_util::future::join_all;
use hyper::Method;
use tokio::io::AsyncWriteExt;

use crate::clients::{get, http2, post, read};
use crate::serving::{Serving, on_one_thread, read_all, settings};

#[test]
fn fifty_streams_are_answered_on_one_connection() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let client = http2(serving.connect().await).await;
        let answers = (0..50).map(|number| {
            let mut client = client.clone();
            async move {
                let path = if number % 10 == 0 {
                    "/slow".to_owned()
                } else {
                    format!("/{number}")
                };
                read(client.send_request(get(&path)).await.unwrap()).await
            }
        });
        for (number, (status, body)) in join_all(answers).await.into_iter().enumerate() {
            let expected = match number % 10 {
                0 => "slow".to_owned(),
                _ => format!("/{number} http 127.0.0.1"),
            };
            assert_eq!((status, body), (200, expected.into()));
        }
        assert_eq!(serving.server.open_connections(), 1);
    });
}

#[test]
fn bodies_go_through_the_windows_in_both_directions() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let mut client = http2(serving.connect().await).await;
        for size in [0, 1, 16_384, 65_536, 700_000, 2 << 20] {
            let body = Bytes::from(vec![b'a'; size]);
            let request = post("/echo", body.clone());
            let answer = read(client.send_request(request).await.unwrap()).await;
            assert_eq!((answer.0, answer.1 == body), (200, true), "{size}");
        }
        let answer = read(client.send_request(get("/large")).await.unwrap()).await;
        assert_eq!(answer.1.len(), 1 << 20);
        let (_, streamed) = read(client.send_request(get("/stream")).await.unwrap()).await;
        assert!(streamed.ends_with(b"piece 99;end"));
    });
}

#[test]
fn head_has_no_body_and_silence_is_a_500() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let mut client = http2(serving.connect().await).await;
        let mut request = get("/");
        *request.method_mut() = Method::HEAD;
        let response = client.send_request(request).await.unwrap();
        assert_eq!(response.headers()["content-length"], "16");
        assert_eq!(read(response).await, (200, Bytes::new()));
        let answer = read(client.send_request(get("/silent")).await.unwrap()).await;
        assert_eq!(answer.0, 500);
    });
}

#[test]
fn a_client_that_gives_a_stream_up_is_told_to_the_application() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let mut client = http2(serving.connect().await).await;
        let response = client.send_request(get("/forever")).await.unwrap();
        drop(response);
        // The connection serves on.
        let answer = read(client.send_request(get("/on")).await.unwrap()).await;
        assert_eq!(answer.0, 200);
    });
}

#[test]
fn too_large_a_body_is_a_413_and_the_connection_serves_on() {
    on_one_thread(async {
        let mut config = settings();
        config.limits.body = Some(1000);
        let serving = Serving::with(&config, None).await;
        let mut client = http2(serving.connect().await).await;
        let request = post("/echo", vec![b'a'; 1001]);
        let answer = read(client.send_request(request).await.unwrap()).await;
        assert_eq!(answer.0, 413);
        let answer = read(client.send_request(post("/echo", "b")).await.unwrap()).await;
        assert_eq!(answer, (200, "b".into()));
    });
}

#[test]
fn what_breaks_the_protocol_ends_the_connection() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    on_one_thread(async {
        let serving = Serving::plain().await;
        for broken in [
            &b"\0\0\x01\x00\0\0\0\0\x01a"[..],
            b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\0",
            b"\0\0\x05\x06\0\0\0\0\0aaaaa",
            b"\0\0\x01\x01\x04\0\0\0\x01\xff",
            b"\xff\xff\xff\x00\0\0\0\0\x01",
        ] {
            let mut socket = serving.connect().await;
            socket.write_all(&[PREFACE, broken].concat()).await.unwrap();
            let answer = read_all(&mut socket).await;
            // GOAWAY is a frame of kind 7 on stream 0.
            assert!(answer.contains("\u{7}\0\0\0\0\0"), "{broken:?}: {answer:?}");
        }
    });
}
