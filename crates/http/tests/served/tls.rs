//! HTTP/1.1 and HTTP/2 over TLS, with rustls as the client.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lowmem_base::config::{HttpVersions, ServerSettings};
use lowmem_http::tls;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::clients::{get, http1, http2, post, read};
use crate::identity::{Folder, files};
use crate::serving::{Serving, on_one_thread, settings};

/// Tells the folders of tests apart.
static NUMBER: AtomicUsize = AtomicUsize::new(0);

/// A server with a certificate of its own, and a connector that trusts it.
pub async fn encrypted(
    protocol: &str,
    change: impl FnOnce(&mut ServerSettings),
) -> (Serving, TlsConnector) {
    let name = "localhost".to_owned();
    let own = rcgen::generate_simple_self_signed([name]).unwrap();
    let folder = Folder::new(&format!("{}-{NUMBER:?}", protocol.replace('/', "-")));
    NUMBER.fetch_add(1, Ordering::Relaxed);
    let file = folder.write("own.pem", own.cert.pem() + &own.signing_key.serialize_pem());
    let settings_of_tls = files(&file, None);
    let identity = tls::load(&settings_of_tls, HttpVersions::Auto.protocols()).unwrap();
    let mut config = settings();
    config.tls = Some(settings_of_tls);
    change(&mut config);
    let serving = Serving::with(&config, Some(identity)).await;
    let mut roots = RootCertStore::empty();
    roots.add(own.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let mut client = client.with_root_certificates(roots).with_no_client_auth();
    client.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    (serving, TlsConnector::from(Arc::new(client)))
}

pub async fn connected(serving: &Serving, connector: &TlsConnector) -> TlsStream<TcpStream> {
    let name = ServerName::try_from("localhost").unwrap();
    connector
        .connect(name, serving.connect().await)
        .await
        .unwrap()
}

#[test]
fn http1_is_served_and_its_idle_connection_parked_with_its_session() {
    on_one_thread(async {
        let (serving, connector) = encrypted("http/1.1", |_| {}).await;
        let mut client = http1(connected(&serving, &connector).await).await;
        for _ in 0..2 {
            let answer = read(client.send_request(get("/")).await.unwrap()).await;
            assert_eq!(answer, (200, "/ https 127.0.0.1".into()));
            tokio::time::sleep(Duration::from_millis(800)).await;
        }
        let body = vec![b'a'; 300_000];
        let answer = read(
            client
                .send_request(post("/echo", body.clone()))
                .await
                .unwrap(),
        )
        .await;
        assert!(answer.1 == body);
    });
}

#[test]
fn http2_is_agreed_on_and_served() {
    on_one_thread(async {
        let (serving, connector) = encrypted("h2", |_| {}).await;
        let mut client = http2(connected(&serving, &connector).await).await;
        let answer = read(client.send_request(get("/large")).await.unwrap()).await;
        assert_eq!(answer.1.len(), 1 << 20);
        serving.server.drain(None);
        drop(client);
        serving.server.drained().await;
    });
}

#[test]
fn http_without_tls_is_told_so() {
    on_one_thread(async {
        let (serving, _) = encrypted("plain", |_| {}).await;
        let answer = serving.say(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(
            answer.starts_with("HTTP/1.1 400 ") && answer.contains("https://"),
            "{answer}"
        );
    });
}
