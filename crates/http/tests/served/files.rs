//! Static files.

use lowmem_base::config::Mount;

use crate::serving::{Serving, on_one_thread, settings};

#[test]
fn files_are_served_whole_in_part_and_not_again() {
    let folder = std::env::temp_dir().join(format!("lowmem-served-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("a.txt"), "0123456789").unwrap();
    on_one_thread(async {
        let mut config = settings();
        config.mounts = vec![Mount {
            prefix: "/static".to_owned(),
            directory: folder.clone(),
            index: None,
            fallback: None,
            cache_control: None,
            pass: false,
        }];
        let serving = Serving::with(&config, None).await;
        let ask = |more: &str| {
            format!("GET /static/a.txt HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{more}\r\n")
        };
        let whole = serving.say(ask("").as_bytes()).await;
        assert!(
            whole.starts_with("HTTP/1.1 200 ") && whole.ends_with("0123456789"),
            "{whole}"
        );
        let part = serving.say(ask("range: bytes=2-4\r\n").as_bytes()).await;
        assert!(
            part.starts_with("HTTP/1.1 206 ") && part.ends_with("\r\n\r\n234"),
            "{part}"
        );
        let etag = whole
            .lines()
            .find(|line| line.starts_with("etag: "))
            .unwrap();
        let again = format!("if-none-match: {}\r\n", &etag["etag: ".len()..]);
        let again = serving.say(ask(&again).as_bytes()).await;
        assert!(again.starts_with("HTTP/1.1 304 "), "{again}");
        let beyond = serving.say(ask("range: bytes=20-\r\n").as_bytes()).await;
        assert!(beyond.starts_with("HTTP/1.1 416 "), "{beyond}");
        let missing = b"GET /static/../../etc/passwd HTTP/1.1\r\nhost: a\r\n\r\n";
        assert!(serving.say(missing).await.starts_with("HTTP/1.1 404 "));
    });
    std::fs::remove_dir_all(&folder).unwrap();
}
