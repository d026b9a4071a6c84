//! Bodies that the application does not read, that are shorter than was said, or come too late.

use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use hyper::header::HeaderMap;
use hyper::{Method, Request};
use tokio::io::AsyncWriteExt;

use crate::clients::{get, http1, post, read};
use crate::serving::{Serving, on_one_thread, read_all, read_until, settings};

#[test]
fn an_unread_body_is_read_to_its_end_where_that_is_near() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let mut socket = serving.connect().await;
        for size in [1000, 200_000] {
            let head =
                format!("POST /unread HTTP/1.1\r\nhost: a\r\ncontent-length: {size}\r\n\r\n");
            socket.write_all(head.as_bytes()).await.unwrap();
            socket.write_all(&vec![b'a'; size]).await.unwrap();
            read_until(&mut socket, "/unread http").await;
        }
        let chunked = "POST /again HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
        socket.write_all(chunked.as_bytes()).await.unwrap();
        read_until(&mut socket, "/again http").await;
        socket.write_all(b"no chunk\r\n").await.unwrap();
        read_all(&mut socket).await;
    });
}

#[test]
fn a_body_that_is_far_from_its_end_costs_the_connection() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let mut socket = serving.connect().await;
        let head = "POST /unread HTTP/1.1\r\nhost: a\r\ncontent-length: 9000000\r\n\r\n";
        socket.write_all(head.as_bytes()).await.unwrap();
        let _ = socket.write_all(&vec![b'a'; 600_000]).await;
        assert!(read_all(&mut socket).await.contains("/unread http"));
    });
}

#[test]
fn a_response_that_is_shorter_than_announced_cuts_the_connection() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let answer = serving.say(b"GET /short HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(
            answer.contains("content-length: 10") && answer.ends_with("abc"),
            "{answer}"
        );
        let mut sender = h2(&serving).await;
        let request = Request::get("http://test/short").body(()).unwrap();
        let (response, _) = sender.send_request(request, true).unwrap();
        let mut body = response.await.unwrap().into_body();
        let _ = body.data().await.unwrap();
        let error = body.data().await.unwrap().unwrap_err();
        assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
    });
}

async fn h2(serving: &Serving) -> h2::client::SendRequest<Bytes> {
    let (sender, connection) = h2::client::handshake(serving.connect().await)
        .await
        .unwrap();
    tokio::task::spawn_local(async move {
        let _ = connection.await;
    });
    sender.ready().await.unwrap()
}

#[test]
fn a_body_that_is_not_what_it_said_to_be_resets_its_stream() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let mut sender = h2(&serving).await;
        for (length, body) in [("3", "abcd"), ("5", "abcd")] {
            let request = Request::post("http://test/echo").header("content-length", length);
            let (response, mut send) = sender
                .send_request(request.body(()).unwrap(), false)
                .unwrap();
            let _ = send.send_data(body.into(), true);
            let error = response.await.unwrap_err();
            assert_eq!(error.reason(), Some(Reason::PROTOCOL_ERROR), "{length}");
        }
        let request = Request::post("http://test/echo").body(()).unwrap();
        let (response, mut send) = sender.send_request(request, false).unwrap();
        send.send_data("abcd".into(), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-checksum", "1".parse().unwrap());
        send.send_trailers(trailers).unwrap();
        let body = response.await.unwrap().into_body().data().await.unwrap();
        assert_eq!(body.unwrap(), "abcd");
    });
}

#[test]
fn a_client_that_expects_is_told_to_go_on_over_http2_too() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let mut sender = h2(&serving).await;
        let request = Request::post("http://test/echo").header("expect", "100-continue");
        let request = request.body(()).unwrap();
        let (mut response, mut send) = sender.send_request(request, false).unwrap();
        let told = std::future::poll_fn(|cx| response.poll_informational(cx));
        let told = told.await.unwrap().unwrap();
        assert_eq!(told.status(), 100);
        send.send_data("abcd".into(), true).unwrap();
        assert_eq!(response.await.unwrap().status(), 200);
    });
}

#[test]
fn late_bodies_are_a_408_over_http2_too() {
    on_one_thread(async {
        let mut config = settings();
        config.limits.body_read = Some(Duration::from_millis(100));
        let serving = Serving::with(&config, None).await;
        let mut sender = h2(&serving).await;
        let request = Request::builder()
            .method(Method::POST)
            .uri("http://test/echo");
        let request = request.body(()).unwrap();
        let (response, _send) = sender.send_request(request, false).unwrap();
        assert_eq!(response.await.unwrap().status(), 408);
    });
}

#[test]
fn a_client_that_takes_nothing_is_given_up() {
    on_one_thread(async {
        let mut config = settings();
        config.limits.write = Some(Duration::from_millis(200));
        let serving = Serving::with(&config, None).await;
        let mut sender = h2(&serving).await;
        let request = Request::get("http://test/large").body(()).unwrap();
        let (response, _) = sender.send_request(request, true).unwrap();
        let mut body = response.await.unwrap().into_body();
        let error = loop {
            // The bytes that were read are not granted again.
            match body.data().await.unwrap() {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(error.reason(), Some(Reason::CANCEL));
    });
}

#[test]
fn event_streams_end_when_they_are_told_to_and_hold_nothing_up() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let mut client = http1(serving.connect().await).await;
        let events = client.send_request(get("/events")).await.unwrap();
        let mut other = http1(serving.connect().await).await;
        let forever = other.send_request(get("/forever")).await.unwrap();
        let long = Duration::from_secs(1);
        let started = std::time::Instant::now();
        serving.server.no_long_requests(long).await;
        assert!(
            started.elapsed() >= Duration::from_millis(400),
            "one is open"
        );
        serving.server.end_streams(Some(Duration::ZERO));
        assert_eq!(read(events).await, (200, "data: 1\n\n".into()));
        assert_eq!(read(forever).await, (200, "on and on".into()));
        let mut third = http1(serving.connect().await).await;
        assert_eq!(
            read(third.send_request(post("/echo", "a")).await.unwrap())
                .await
                .1,
            "a"
        );
    });
}
