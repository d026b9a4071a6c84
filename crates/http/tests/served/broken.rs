//! Clients that are slow, broken, or ask for too much.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;

use crate::clients::{get, http1, read};
use crate::serving::{Serving, on_one_thread, read_all, read_until, settings};

#[test]
fn what_the_rfc_does_not_allow_is_refused() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let long = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(9000));
        let many = format!(
            "GET / HTTP/1.1\r\nhost: a\r\n{}\r\n",
            "a: b\r\n".repeat(200)
        );
        let large = format!(
            "GET / HTTP/1.1\r\nhost: a\r\na: {}\r\n\r\n",
            "b".repeat(40_000)
        );
        for (request, status) in [
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\nhost: a\n\n", 400),
            ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
            (
                "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n",
                400,
            ),
            ("GET / HTTP/1.1\r\nhost: a\r\na b: c\r\n\r\n", 400),
            (
                "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
                400,
            ),
            (
                "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
                400,
            ),
            (
                "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n",
                501,
            ),
            ("CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n", 501),
            ("GET / HTTP/3.0\r\nhost: a\r\n\r\n", 505),
            (&long, 414),
            (&many, 431),
            (&large, 431),
        ] {
            let answer = serving.say(request.as_bytes()).await;
            let expected = format!("HTTP/1.1 {status} ");
            assert!(answer.starts_with(&expected), "{request:.60}: {answer:.80}");
        }
    });
}

#[test]
fn a_head_that_does_not_come_in_time_is_a_408() {
    on_one_thread(async {
        let mut config = settings();
        config.limits.header_read = Duration::from_millis(100);
        let serving = Serving::with(&config, None).await;
        let mut socket = serving.connect().await;
        socket.write_all(b"GET / HT").await.unwrap();
        let started = Instant::now();
        let answer = read_until(&mut socket, "\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(started.elapsed() >= Duration::from_millis(90));
    });
}

#[test]
fn a_body_that_does_not_come_in_time_is_a_408() {
    on_one_thread(async {
        let mut config = settings();
        config.limits.body_read = Some(Duration::from_millis(100));
        let serving = Serving::with(&config, None).await;
        let mut socket = serving.connect().await;
        let head = b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nab";
        socket.write_all(head).await.unwrap();
        let answer = read_until(&mut socket, "\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    });
}

#[test]
fn a_response_that_does_not_begin_in_time_is_a_504() {
    on_one_thread(async {
        let mut config = settings();
        config.limits.request = Some(Duration::from_millis(40));
        let serving = Serving::with(&config, None).await;
        let mut socket = serving.connect().await;
        let requests = b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n";
        socket.write_all(requests).await.unwrap();
        let answer = read_until(&mut socket, "Gateway Timeout").await;
        assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    });
}

#[test]
fn a_body_is_limited_whether_it_is_announced_or_not() {
    on_one_thread(async {
        let mut config = settings();
        config.limits.body = Some(10);
        let serving = Serving::with(&config, None).await;
        for rest in [
            "content-length: 11\r\n\r\n",
            "transfer-encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n",
        ] {
            let request = format!("POST /echo HTTP/1.1\r\nhost: a\r\n{rest}");
            let answer = serving.say(request.as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        }
    });
}

#[test]
fn more_requests_than_allowed_are_a_503() {
    on_one_thread(async {
        let mut config = settings();
        config.limits.concurrency = Some(1);
        let serving = Serving::with(&config, None).await;
        let mut first = serving.connect().await;
        first
            .write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(30)).await;
        let mut client = http1(serving.connect().await).await;
        let answer = read(client.send_request(get("/")).await.unwrap()).await;
        assert_eq!(answer.0, 503);
        read_until(&mut first, "slow").await;
        let mut client = http1(serving.connect().await).await;
        assert_eq!(
            read(client.send_request(get("/")).await.unwrap()).await.0,
            200
        );
    });
}

#[test]
fn a_client_that_goes_away_is_told_to_the_application() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let socket = serving.endless().await;
        drop(socket);
        while serving.server.open_connections() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(serving.server.served(), 1);
    });
}

#[test]
fn a_client_that_reads_slowly_gets_everything() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let mut socket = serving.connect().await;
        let request = b"GET /large HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        socket.write_all(request).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let answer = read_all(&mut socket).await;
        assert!(answer.len() > 1 << 20);
    });
}
