//! Idle connections, drains, and the hand-over from one server to another.

use std::time::Duration;

use lowmem_base::control::{HandOver, socket_pair};
use tokio::io::AsyncWriteExt;

use crate::clients::{get, http1, http2, read};
use crate::serving::{Serving, on_one_thread, read_all, read_until, settings};

const REQUEST: &[u8] = b"GET /again HTTP/1.1\r\nhost: a\r\n\r\n";

/// Longer than a connection is idle before it is parked, and a sweep.
const PARKED: Duration = Duration::from_millis(800);

#[test]
fn a_parked_connection_serves_again() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let mut socket = serving.connect().await;
        for _ in 0..2 {
            socket.write_all(REQUEST).await.unwrap();
            read_until(&mut socket, "/again http 127.0.0.1").await;
            tokio::time::sleep(PARKED).await;
            assert_eq!(serving.server.open_connections(), 1);
        }
    });
}

#[test]
fn an_idle_connection_expires() {
    on_one_thread(async {
        let mut config = settings();
        config.limits.keep_alive = Duration::from_millis(400);
        let serving = Serving::with(&config, None).await;
        let mut socket = serving.connect().await;
        socket.write_all(REQUEST).await.unwrap();
        assert!(
            read_all(&mut socket)
                .await
                .ends_with("/again http 127.0.0.1")
        );
        assert_eq!(serving.server.open_connections(), 0);
    });
}

#[test]
fn a_drain_waits_for_the_request_and_closes_what_is_idle() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let mut idle = serving.connect().await;
        idle.write_all(REQUEST).await.unwrap();
        read_until(&mut idle, "/again").await;
        let mut busy = serving.connect().await;
        busy.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(30)).await;
        serving.server.drain(None);
        assert!(serving.server.is_draining());
        let answer = read_all(&mut busy).await;
        assert!(answer.contains("connection: close") && answer.ends_with("slow"));
        read_all(&mut idle).await;
        drop((busy, idle));
        serving.server.drained().await;
        assert_eq!(serving.server.open_connections(), 0);
    });
}

#[test]
fn a_drain_ends_a_connection_of_http2_between_its_requests() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let mut client = http2(serving.connect().await).await;
        let slow = client.send_request(get("/slow"));
        tokio::time::sleep(Duration::from_millis(30)).await;
        serving.server.drain(None);
        assert_eq!(read(slow.await.unwrap()).await, (200, "slow".into()));
        drop(client);
        serving.server.drained().await;
    });
}

#[test]
fn streams_without_an_end_find_one() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let mut client = http1(serving.connect().await).await;
        let response = client.send_request(get("/forever")).await.unwrap();
        let mut second = http2(serving.connect().await).await;
        let other = second.send_request(get("/forever")).await.unwrap();
        serving.server.drain(None);
        serving.server.disconnect_all();
        assert_eq!(read(response).await.1, "on and on");
        assert_eq!(read(other).await.1, "on and on");
        drop((client, second));
        serving.server.drained().await;
    });
}

#[test]
fn every_connection_can_be_cut() {
    on_one_thread(async {
        let serving = Serving::plain().await;
        let mut socket = serving.endless().await;
        serving.server.cut_all();
        read_all(&mut socket).await;
        serving.server.drain(None);
        serving.server.drained().await;
    });
}

#[test]
fn idle_connections_move_to_the_successor() {
    on_one_thread(async {
        let old = Serving::plain().await;
        let mut sockets = Vec::new();
        for _ in 0..40 {
            let mut socket = old.connect().await;
            socket.write_all(REQUEST).await.unwrap();
            read_until(&mut socket, "/again").await;
            sockets.push(socket);
        }
        let mut half = old.connect().await;
        half.write_all(b"GET /half HTTP").await.unwrap();
        tokio::time::sleep(PARKED).await;
        let new = old.successor(&settings());
        let (ours, theirs) = socket_pair().unwrap();
        new.server.adopt(HandOver::over(theirs));
        old.server.drain(Some(HandOver::over(ours)));
        old.server.drained().await;
        for socket in &mut sockets {
            socket.write_all(REQUEST).await.unwrap();
            read_until(socket, "/again http 127.0.0.1").await;
        }
        half.write_all(b"/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        read_until(&mut half, "/half http 127.0.0.1").await;
        assert_eq!((old.server.served(), new.server.served()), (40, 41));
        assert_eq!(old.server.handed_over(), 41);
    });
}

#[test]
fn the_quota_is_told_once_it_is_reached() {
    on_one_thread(async {
        let mut config = settings();
        config.max_requests = Some(3);
        let serving = Serving::with(&config, None).await;
        let mut client = http1(serving.connect().await).await;
        let asked = async {
            for _ in 0..3 {
                read(client.send_request(get("/")).await.unwrap()).await;
            }
        };
        futures_util::future::join(serving.server.quota_reached(), asked).await;
    });
}
