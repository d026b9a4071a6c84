//! The access log.

use std::fs;
use std::path::PathBuf;

use lowmem_base::config::{AccessFormat, AccessSettings, ServerSettings};
use tokio::io::AsyncWriteExt;

use crate::clients::{get, http2, read};
use crate::serving::{Serving, on_one_thread, read_until, settings};

fn logging(name: &str, format: &str) -> (ServerSettings, PathBuf) {
    let file = format!("lowmem-log-{}-{name}", std::process::id());
    let file = std::env::temp_dir().join(file);
    let config = ServerSettings {
        access: AccessSettings {
            enabled: true,
            format: AccessFormat::parse(format).unwrap(),
            colors: false,
            file: Some(file.clone()),
        },
        ..settings()
    };
    (config, file)
}

fn lines(serving: &Serving, file: &PathBuf) -> Vec<String> {
    serving.server.flush_logs();
    let text = fs::read_to_string(file).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_line_tells_of_a_response_as_soon_as_it_has_begun_or_ended() {
    on_one_thread(async {
        for (name, format, expected) in [
            (
                "begun",
                "%(h)s %(r)s %(s)s %({user-agent}i)s",
                "127.0.0.1 GET /a?b=1 HTTP/1.1 200 me",
            ),
            ("ended", "%(s)s %(B)s %(U)s", "200 17 /a"),
        ] {
            let (config, file) = logging(name, format);
            let serving = Serving::with(&config, None).await;
            let request = b"GET /a?b=1 HTTP/1.1\r\nhost: a\r\nuser-agent: me\r\n\r\n";
            serving.say(request).await;
            let mut client = http2(serving.connect().await).await;
            read(client.send_request(get("/two")).await.unwrap()).await;
            let lines = lines(&serving, &file);
            assert_eq!(lines[0], expected);
            assert!(lines[1].contains("/two"), "{lines:?}");
            fs::remove_file(&file).unwrap();
        }
    });
}

#[test]
fn a_client_that_left_before_its_answer_is_a_499() {
    on_one_thread(async {
        let (config, file) = logging("left", "%(s)s %(U)s");
        let serving = Serving::with(&config, None).await;
        let mut socket = serving.connect().await;
        let request = b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc";
        socket.write_all(request).await.unwrap();
        let mut other = serving.connect().await;
        let request = b"GET /b HTTP/1.1\r\nhost: a\r\n\r\n";
        other.write_all(request).await.unwrap();
        read_until(&mut other, "/b http").await;
        drop((socket, other));
        while serving.server.open_connections() > 0 {
            tokio::task::yield_now().await;
        }
        let lines = lines(&serving, &file);
        assert!(lines.contains(&"499 /echo".to_owned()), "{lines:?}");
        fs::remove_file(&file).unwrap();
    });
}
