//! Static files, and files that the application sends.

use std::path::Path;

use lowmem_base::config::Mount;

use crate::application::SOURCE;
use crate::clients::{get, http2, read};
use crate::identity::Folder;
use crate::serving::{Serving, on_one_thread, settings};
use crate::tls::{connected, encrypted};

fn mounted(directory: &Path) -> Mount {
    Mount {
        prefix: "/static".to_owned(),
        directory: directory.to_owned(),
        index: None,
        fallback: None,
        cache_control: None,
        pass: false,
    }
}

async fn serving(mount: Mount) -> Serving {
    let mut config = settings();
    config.mounts = vec![mount];
    Serving::with(&config, None).await
}

async fn ask(serving: &Serving, line: &str, more: &str) -> String {
    let request = format!("{line} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{more}\r\n");
    serving.say(request.as_bytes()).await
}

#[test]
fn files_are_served_whole_in_part_and_not_again() {
    let folder = Folder::new("files");
    let file = folder.write("a.txt", "0123456789");
    on_one_thread(async {
        let serving = serving(mounted(file.parent().unwrap())).await;
        let ask = async |more: &str| ask(&serving, "GET /static/a.txt", more).await;
        let whole = ask("").await;
        assert!(
            whole.starts_with("HTTP/1.1 200 ") && whole.ends_with("0123456789"),
            "{whole}"
        );
        let part = ask("range: bytes=2-4\r\n").await;
        assert!(
            part.starts_with("HTTP/1.1 206 ") && part.ends_with("\r\n\r\n234"),
            "{part}"
        );
        let parts = ask("range: bytes=0-0,-2\r\n").await;
        assert!(parts.contains("multipart/byteranges; boundary=") && parts.contains("\r\n\r\n89"));
        let etag = whole
            .lines()
            .find(|line| line.starts_with("etag: "))
            .unwrap();
        let etag = &etag["etag: ".len()..];
        let again = ask(&format!("if-none-match: {etag}\r\n")).await;
        assert!(again.starts_with("HTTP/1.1 304 "), "{again}");
        let changed = ask("if-match: \"other\"\r\n").await;
        assert!(changed.starts_with("HTTP/1.1 412 "), "{changed}");
        let other = ask("if-range: \"other\"\r\nrange: bytes=2-4\r\n").await;
        assert!(other.starts_with("HTTP/1.1 200 "), "{other}");
        let beyond = ask("range: bytes=20-\r\n").await;
        assert!(beyond.starts_with("HTTP/1.1 416 "), "{beyond}");
    });
}

#[test]
fn each_request_gets_the_status_of_what_is_there() {
    let folder = Folder::new("statuses");
    let file = folder.write("index.html", "home");
    let directory = file.parent().unwrap();
    std::fs::create_dir(directory.join("sub")).unwrap();
    folder.write("sub/index.html", "below");
    on_one_thread(async {
        let own = serving(mounted(directory)).await;
        let mut mount = mounted(directory);
        (mount.index, mount.fallback) =
            (Some("index.html".to_owned()), Some("index.html".to_owned()));
        mount.cache_control = Some("max-age=60".to_owned());
        let with_index = serving(mount).await;
        let mut mount = mounted(directory);
        mount.pass = true;
        let passing = serving(mount).await;
        for (serving, line, expected) in [
            (&own, "GET /static/../../etc/passwd", "404 "),
            (&own, "GET /static/sub", "404 "),
            (&own, "GET /static/none", "404 "),
            (&own, "POST /static/index.html", "405 "),
            (&own, "HEAD /static/index.html", "content-length: 4"),
            (&with_index, "GET /static/", "\r\n\r\nhome"),
            (&with_index, "GET /static/sub?x", "location: ./sub/?x"),
            (&with_index, "GET /static/sub/", "\r\n\r\nbelow"),
            (
                &with_index,
                "GET /static/any/where",
                "cache-control: max-age=60",
            ),
            (&passing, "GET /static/none", "/static/none http"),
            (
                &passing,
                "POST /static/index.html",
                "/static/index.html http",
            ),
            (&passing, "GET /static/index.html", "\r\n\r\nhome"),
        ] {
            let answer = ask(serving, line, "").await;
            assert!(answer.contains(expected), "{line}: {answer}");
        }
    });
}

#[test]
fn a_compressed_sibling_is_sent_to_those_that_take_it() {
    let folder = Folder::new("siblings");
    let file = folder.write("a.css", "plain");
    folder.write("a.css.gz", "gzip");
    on_one_thread(async {
        let serving = serving(mounted(file.parent().unwrap())).await;
        let ask = async |more: &str| ask(&serving, "GET /static/a.css", more).await;
        let gzip = ask("accept-encoding: br, gzip\r\n").await;
        assert!(
            gzip.contains("content-encoding: gzip") && gzip.ends_with("gzip"),
            "{gzip}"
        );
        let plain = ask("").await;
        assert!(
            plain.contains("vary: accept-encoding") && plain.ends_with("plain"),
            "{plain}"
        );
    });
}

#[test]
fn large_files_come_whole_over_every_protocol() {
    let folder = Folder::new("large");
    let text: Vec<u8> = (0..1_000_000_u32)
        .map(|at| b'a' + (at % 23) as u8)
        .collect();
    let file = folder.write("large.txt", &text);
    let source = std::fs::read(SOURCE).unwrap();
    on_one_thread(async {
        let mount = mounted(file.parent().unwrap());
        let serving = serving(mount.clone()).await;
        let plain = ask(&serving, "GET /static/large.txt", "").await;
        assert!(plain.as_bytes().ends_with(&text));
        let sent = ask(&serving, "GET /file", "").await;
        assert!(sent.as_bytes().ends_with(&source));
        let mut client = http2(serving.connect().await).await;
        let answer = read(client.send_request(get("/static/large.txt")).await.unwrap()).await;
        assert!(answer.1 == text);
        let (serving, connector) = encrypted("h2", |config| config.mounts = vec![mount]).await;
        let mut client = http2(connected(&serving, &connector).await).await;
        let answer = read(client.send_request(get("/static/large.txt")).await.unwrap()).await;
        assert!(answer.1 == text);
        let answer = read(client.send_request(get("/file")).await.unwrap()).await;
        assert!(answer.1 == source);
    });
}
