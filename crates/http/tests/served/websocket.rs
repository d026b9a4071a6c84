//! WebSockets over HTTP/1.1, frame by frame.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::application::ENDINGS;
use crate::serving::{Serving, on_one_thread, read_all, read_until, settings};

fn handshake(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n{more}\r\n"
    )
}

/// A client's frame, with a mask that changes its bytes.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let mut frame = vec![first];
    match payload.len() {
        length @ ..126 => frame.push(0x80 | length as u8),
        length @ ..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&mask);
    frame.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    frame
}

async fn expect(socket: &mut TcpStream, bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    socket.read_exact(&mut got).await.unwrap();
    assert_eq!(got, bytes);
}

async fn opened(serving: &Serving, more: &str) -> TcpStream {
    let mut socket = serving.connect().await;
    socket
        .write_all(handshake("/", more).as_bytes())
        .await
        .unwrap();
    let answer = read_until(&mut socket, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    // The example of RFC 6455 section 1.3.
    assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
    socket
}

#[test]
fn messages_pings_and_the_close_are_answered() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let mut socket = opened(&serving, "").await;
        socket.write_all(&frame(0x81, b"hello")).await.unwrap();
        expect(&mut socket, b"\x81\x05hello").await;
        socket.write_all(&frame(0x02, b"ab")).await.unwrap();
        socket.write_all(&frame(0x89, b"ping")).await.unwrap();
        expect(&mut socket, b"\x8a\x04ping").await;
        socket.write_all(&frame(0x80, b"cd")).await.unwrap();
        expect(&mut socket, b"\x82\x04abcd").await;
        let long = vec![b'x'; 300];
        socket.write_all(&frame(0x81, &long)).await.unwrap();
        expect(&mut socket, &[&b"\x81\x7e\x01\x2c"[..], &long].concat()).await;
        socket.write_all(&frame(0x88, b"\x03\xe8")).await.unwrap();
        expect(&mut socket, b"\x88\x02\x03\xe8").await;
        read_all(&mut socket).await;
    });
}

#[test]
fn a_message_comes_back_compressed_where_that_was_agreed() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let offer = "sec-websocket-extensions: permessage-deflate\r\n";
        let mut socket = opened(&serving, offer).await;
        let long = vec![b'x'; 20_000];
        socket.write_all(&frame(0x81, &long)).await.unwrap();
        let mut head = [0; 2];
        socket.read_exact(&mut head).await.unwrap();
        assert_eq!(head[0], 0xc1);
        assert!(usize::from(head[1]) < 126);
    });
}

#[test]
fn what_breaks_the_protocol_is_closed_with_its_code() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        for (broken, code) in [
            (vec![0x81, 0x01, b'a'], 1002_u16),
            (frame(0x83, b""), 1002),
            (frame(0x81, b"\xff"), 1007),
            (frame(0x80, b""), 1002),
            (frame(0x88, b"\x03"), 1002),
        ] {
            let mut socket = opened(&serving, "").await;
            socket.write_all(&broken).await.unwrap();
            let mut head = [0; 4];
            socket.read_exact(&mut head).await.unwrap();
            assert_eq!(
                (head[0], u16::from_be_bytes([head[2], head[3]])),
                (0x88, code)
            );
        }
    });
}

#[test]
fn a_handshake_may_be_refused() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let refused = serving.say(handshake("/refused", "").as_bytes()).await;
        assert!(!refused.contains("101"), "{refused}");
        let old = handshake("/", "").replace("version: 13", "version: 8");
        assert!(
            serving
                .say(old.as_bytes())
                .await
                .starts_with("HTTP/1.1 426 ")
        );
    });
}

#[test]
fn a_drain_closes_with_1012() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let mut socket = opened(&serving, "").await;
        assert_eq!(serving.server.use_so_far().websockets, 1);
        serving.server.drain(None);
        let mut head = [0; 4];
        socket.read_exact(&mut head).await.unwrap();
        assert_eq!(
            (head[0], u16::from_be_bytes([head[2], head[3]])),
            (0x88, 1012)
        );
        socket.write_all(&frame(0x88, b"\x03\xf4")).await.unwrap();
        read_all(&mut socket).await;
        serving.server.drained().await;
    });
}

#[test]
fn an_application_answers_a_handshake_as_it_likes() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let answer =
            async |path: &str, more: &str| serving.say(handshake(path, more).as_bytes()).await;
        let denied = answer("/denied", "").await;
        assert!(denied.starts_with("HTTP/1.1 401 ") && denied.ends_with("who are you?"));
        assert!(answer("/rejected", "").await.starts_with("HTTP/1.1 403 "));
        let offers = "sec-websocket-protocol: one, two\r\n";
        let chosen = answer("/chosen", offers).await;
        assert!(
            chosen.contains("sec-websocket-protocol: two\r\n"),
            "{chosen}"
        );
    });
}

#[test]
fn an_application_that_closes_or_fails_says_so() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        for (path, close) in ENDINGS {
            let mut socket = serving.connect().await;
            let request = handshake(path, "");
            socket.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(close) {
                assert_ne!(socket.read_buf(&mut answer).await.unwrap(), 0);
            }
            socket.write_all(&frame(0x88, &close[2..4])).await.unwrap();
            read_all(&mut socket).await;
        }
    });
}

#[test]
fn a_silent_client_is_asked_and_given_up() {
    on_one_thread(async {
        let mut config = settings();
        let websockets = config.websockets.as_mut().unwrap();
        websockets.ping_interval = Some(Duration::from_millis(100));
        websockets.ping_timeout = Some(Duration::from_millis(100));
        let serving = Serving::with(&config, None).await;
        let mut socket = opened(&serving, "").await;
        let mut ping = [0; 6];
        socket.read_exact(&mut ping).await.unwrap();
        assert_eq!(ping[0], 0x89);
        socket.write_all(&frame(0x8a, &ping[2..])).await.unwrap();
        let mut rest = Vec::new();
        while !rest.windows(2).any(|it| it == 1011_u16.to_be_bytes()) {
            assert_ne!(socket.read_buf(&mut rest).await.unwrap(), 0);
        }
    });
}

#[test]
fn too_big_a_message_is_closed_with_1009() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let mut socket = opened(&serving, "").await;
        socket
            .write_all(&frame(0x82, &vec![0; (1 << 20) + 1]))
            .await
            .unwrap();
        let mut head = [0; 4];
        socket.read_exact(&mut head).await.unwrap();
        assert_eq!(u16::from_be_bytes([head[2], head[3]]), 1009);
    });
}
