//! How many connections there may be, and where they come from.

use std::time::Duration;

use lowmem_http::server::Listener;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::serving::{Serving, on_one_thread, read_all, read_until, settings};

const REQUEST: &[u8] = b"GET /again HTTP/1.1\r\nhost: a\r\n\r\n";

#[test]
fn an_idle_connection_makes_room_for_a_new_one() {
    on_one_thread(async {
        let mut config = settings();
        config.limits.connections = Some(2);
        let serving = Serving::with(&config, None).await;
        let mut idle = serving.connect().await;
        idle.write_all(REQUEST).await.unwrap();
        read_until(&mut idle, "/again").await;
        let mut sockets = Vec::new();
        for _ in 0..3 {
            let mut socket = serving.connect().await;
            socket.write_all(REQUEST).await.unwrap();
            read_until(&mut socket, "/again").await;
            sockets.push(socket);
        }
        assert_eq!(read_all(&mut idle).await, "");
        assert!(serving.server.open_connections() <= 2);
    });
}

#[test]
fn connections_that_are_busy_keep_new_ones_in_the_queue() {
    on_one_thread(async {
        let mut config = settings();
        config.limits.connections = Some(1);
        let serving = Serving::with(&config, None).await;
        let mut busy = serving.connect().await;
        let slow = b"GET /slow HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        busy.write_all(slow).await.unwrap();
        let mut next = serving.connect().await;
        next.write_all(REQUEST).await.unwrap();
        assert!(read_all(&mut busy).await.ends_with("slow"));
        drop(busy);
        read_until(&mut next, "/again").await;
    });
}

#[test]
fn a_unix_socket_is_served() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let name = format!("lowmem-served-{}.sock", std::process::id());
        let path = std::env::temp_dir().join(name);
        let listener = UnixListener::bind(&path).unwrap();
        let text = path.to_str().unwrap().to_owned();
        serving.server.accept(vec![Listener::Unix(listener, text)]);
        let mut socket = UnixStream::connect(&path).await.unwrap();
        for _ in 0..2 {
            socket.write_all(REQUEST).await.unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"/again http unix") {
                assert_ne!(socket.read_buf(&mut answer).await.unwrap(), 0);
            }
            // Long enough to be parked.
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        std::fs::remove_file(&path).unwrap();
    });
}

#[test]
fn health_checks_are_answered_without_the_application() {
    on_one_thread(async {
        let mut config = settings();
        config.health_path = Some("/health".to_owned());
        let serving = Serving::with(&config, None).await;
        let healthy = serving
            .say(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n")
            .await;
        assert!(healthy.ends_with("\r\n\r\nok\n"), "{healthy}");
        let other = serving
            .say(b"GET /health?x HTTP/1.1\r\nhost: a\r\n\r\n")
            .await;
        assert!(other.ends_with("/health http 127.0.0.1"), "{other}");
        assert_eq!(serving.server.use_so_far().begun, 1);
    });
}
