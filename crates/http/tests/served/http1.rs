//! Requests and answers over HTTP/1.1.

use bytes::Bytes;
use hyper::Method;
use tokio::io::AsyncWriteExt;

use crate::clients::{get, http1, post, read};
use crate::serving::{Serving, on_one_thread, read_until, settings};

#[test]
fn a_connection_is_kept_between_requests() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let mut client = http1(serving.connect().await).await;
        for number in 0..20 {
            let path = format!("/{number}");
            let answer = read(client.send_request(get(&path)).await.unwrap()).await;
            assert_eq!(answer, (200, format!("{path} http 127.0.0.1").into()));
        }
        assert_eq!(serving.server.served(), 20);
        assert_eq!(serving.server.open_connections(), 1);
    });
}

#[test]
fn the_servers_own_fields_are_sent_unless_they_are_off() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let mut client = http1(serving.connect().await).await;
        let response = client.send_request(get("/")).await.unwrap();
        assert_eq!(response.headers()["server"], "lowmem-serve");
        assert!(response.headers().contains_key("date"));
        let mut config = settings();
        (config.http.server_header, config.http.date_header) = (false, false);
        config.http.headers = vec![("x-own".to_owned(), "1".to_owned())];
        let serving = Serving::with(&config, None).await;
        let mut client = http1(serving.connect().await).await;
        let response = client.send_request(get("/")).await.unwrap();
        assert!(!response.headers().contains_key("server"));
        assert!(!response.headers().contains_key("date"));
        assert_eq!(response.headers()["x-own"], "1");
    });
}

#[test]
fn bodies_of_every_size_come_back() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let mut client = http1(serving.connect().await).await;
        for size in [0, 1, 1000, 65_536, 65_537, 1 << 20] {
            let body = Bytes::from(vec![b'a'; size]);
            let request = post("/echo", body.clone());
            let answer = read(client.send_request(request).await.unwrap()).await;
            assert_eq!((answer.0, answer.1 == body), (200, true), "{size}");
        }
    });
}

#[test]
fn a_chunked_body_is_decoded_however_it_is_cut() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let head = "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
        let body = "5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nx-trailer: 1\r\n\r\n";
        let text = format!("{head}{body}");
        for step in [1, 3, 7, 1000] {
            let mut socket = serving.connect().await;
            socket.set_nodelay(true).unwrap();
            for piece in text.as_bytes().chunks(step) {
                socket.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            let answer = read_until(&mut socket, "hello world").await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        }
    });
}

#[test]
fn a_streamed_answer_is_chunked_and_whole() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let mut client = http1(serving.connect().await).await;
        let response = client.send_request(get("/stream")).await.unwrap();
        assert_eq!(response.headers()["transfer-encoding"], "chunked");
        let (_, body) = read(response).await;
        assert!(body.starts_with(b"piece 0;") && body.ends_with(b"piece 99;end"));
        let answer = read(client.send_request(get("/large")).await.unwrap()).await;
        assert_eq!((answer.0, answer.1.len()), (200, 1 << 20));
    });
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let mut socket = serving.connect().await;
        let request = |path| format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
        let all = [request("/slow"), request("/b"), request("/c")].concat();
        socket.write_all(all.as_bytes()).await.unwrap();
        let answers = read_until(&mut socket, "/c http").await;
        let places = ["slow", "/b http", "/c http"].map(|text| answers.find(text).unwrap());
        assert!(places.is_sorted(), "{answers}");
    });
}

#[test]
fn head_and_http10_and_close_are_understood() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let mut client = http1(serving.connect().await).await;
        let mut request = get("/");
        *request.method_mut() = Method::HEAD;
        let response = client.send_request(request).await.unwrap();
        assert_eq!(response.headers()["content-length"], "16");
        assert_eq!(read(response).await, (200, Bytes::new()));
        let old = serving.say(b"GET /old HTTP/1.0\r\n\r\n").await;
        assert!(old.contains("connection: close") && old.ends_with("/old http 127.0.0.1"));
        let closing = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        assert!(serving.say(closing).await.contains("connection: close"));
    });
}

#[test]
fn a_client_that_expects_is_told_to_go_on() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let mut socket = serving.connect().await;
        let head = "POST /echo HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n\
                    content-length: 5\r\n\r\n";
        socket.write_all(head.as_bytes()).await.unwrap();
        let interim = read_until(&mut socket, "\r\n\r\n").await;
        assert_eq!(interim, "HTTP/1.1 100 Continue\r\n\r\n");
        socket.write_all(b"hello").await.unwrap();
        let answer = read_until(&mut socket, "hello").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"));
    });
}

#[test]
fn an_application_without_an_answer_is_a_500() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let mut client = http1(serving.connect().await).await;
        let answer = read(client.send_request(get("/silent")).await.unwrap()).await;
        assert_eq!(answer.0, 500);
    });
}
