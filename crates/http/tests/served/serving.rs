//! A server on a free port, and the runtime that it and its clients are on.

use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use lowmem_base::config::{HttpSettings, HttpVersions, LimitSettings, ServerSettings, WebSockets};
use lowmem_http::server::{Listener, Server};
use lowmem_http::tls::Identity;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use crate::application::Paths;

/// No test waits for longer: slow parts have short limits here.
const LONGEST: Duration = Duration::from_secs(9);

/// Runs a test on a runtime like a worker's.
pub fn on_one_thread(test: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        tokio::time::timeout(LONGEST, test).await.unwrap();
    });
}

/// The settings of a worker that serves both versions of HTTP, with limits that tests can reach.
pub fn settings() -> ServerSettings {
    ServerSettings {
        http: HttpSettings {
            versions: HttpVersions::Auto,
            max_streams: 100,
            server_header: true,
            date_header: true,
            ..HttpSettings::default()
        },
        limits: LimitSettings {
            keep_alive: Duration::from_secs(5),
            header_read: Duration::from_secs(5),
            head: 16 * 1024,
            fields: 100,
            target: 8 * 1024,
            ..LimitSettings::default()
        },
        websockets: Some(WebSockets {
            ping_interval: None,
            ping_timeout: None,
            max_size: 1 << 20,
            per_message_deflate: true,
        }),
        ..ServerSettings::default()
    }
}

/// A running server.
pub struct Serving {
    pub server: Rc<Server<Paths>>,
    pub address: SocketAddr,
    listener: std::net::TcpListener,
}

impl Serving {
    pub async fn plain() -> Self {
        Self::with(&settings(), None).await
    }

    pub async fn with(config: &ServerSettings, identity: Option<Identity>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let serving = Self::on(&listener, config, identity);
        tokio::task::yield_now().await;
        serving
    }

    /// A connection on which a response without an end has begun.
    pub async fn endless(&self) -> TcpStream {
        let mut socket = self.connect().await;
        let request = b"GET /forever HTTP/1.1\r\nhost: a\r\n\r\n";
        socket.write_all(request).await.unwrap();
        read_until(&mut socket, "on and on").await;
        socket
    }

    /// A further server on the same listener, as a successor has it.
    pub fn successor(&self, config: &ServerSettings) -> Self {
        Self::on(&self.listener, config, None)
    }

    fn on(
        listener: &std::net::TcpListener,
        config: &ServerSettings,
        identity: Option<Identity>,
    ) -> Self {
        let server = Server::new(Paths::default(), config, identity).unwrap();
        let own = TcpListener::from_std(listener.try_clone().unwrap()).unwrap();
        server.accept(vec![Listener::Tcp(own)]);
        Self {
            server,
            address: listener.local_addr().unwrap(),
            listener: listener.try_clone().unwrap(),
        }
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// The answer on a new connection that sends `text` and then nothing more.
    pub async fn say(&self, text: &[u8]) -> String {
        let mut socket = self.connect().await;
        let _ = socket.write_all(text).await;
        let _ = socket.shutdown().await;
        read_all(&mut socket).await
    }
}

/// Reads to the end; a reset is an end, too.
pub async fn read_all(socket: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = socket.read(&mut buffer).await {
        all.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// Reads until the text contains `end`.
pub async fn read_until(socket: &mut TcpStream, end: &str) -> String {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&all).into_owned();
        if text.contains(end) {
            return text;
        }
        let count = socket.read(&mut buffer).await.unwrap();
        assert!(count > 0, "ended with {text:?}");
        all.extend_from_slice(&buffer[..count]);
    }
}
