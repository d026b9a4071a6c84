//! A whole server, with the `h2` crate as its client: whatever the client does at whatever pace, each
//! request that it does not give up is answered, and neither finds fault with the other.

use std::cell::OnceCell;
use std::future::poll_fn;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{Method, Request};
use lowmem_base::config::{HttpSettings, LimitSettings, ServerSettings};
use lowmem_http::peers::{Peers, TlsFacts};
use lowmem_http::server::application::Application;
use lowmem_http::server::{
    Body, Conversation, Exchange, Listener, Piece, Received, RequestHead, ResponseHead, Server,
};
use lowmem_http::tasks;
use tokio::runtime::{Builder, Runtime};
use tokio::task::{LocalSet, yield_now};

/// No exchange takes so long, however busy the machine is.
const LONGEST: Duration = Duration::from_secs(30);

/// Streams of one run, and steps of each.
const STREAMS: usize = 12;
const STEPS: usize = 8;

/// Answers with what it receives, in pieces, or with as many bytes as the path says.
struct Echo;

impl Application for Echo {
    type Connection = ();

    fn connect(&self, _: &Peers, _: Option<&TlsFacts>) {}

    fn request(&self, (): &(), head: &RequestHead<'_>, exchange: Arc<Exchange>) {
        let path = String::from_utf8_lossy(head.path).into_owned();
        if path == "/echo" {
            tasks::spawn(echo(exchange));
        } else {
            let size = path[1..].parse().expect("the path is a number");
            begin(&exchange, Some(size));
            let _ = exchange.body(Piece::Shared(vec![b'x'; size].into()), false);
            let _ = exchange.finish();
        }
    }

    fn takes_websockets(&self) -> bool {
        false
    }

    fn websocket(&self, (): &(), _: &RequestHead<'_>, _: Arc<Conversation>) {}
}

fn begin(exchange: &Exchange, length: Option<usize>) {
    let Ok(buffer) = exchange.begin() else { return };
    let mut head = ResponseHead::new(buffer, 200);
    if let Some(length) = length {
        let field = head.field(b"content-length", length.to_string().as_bytes());
        field.expect("it is a number");
    }
    let _ = exchange.start(head);
}

async fn echo(exchange: Arc<Exchange>) {
    begin(&exchange, None);
    loop {
        match poll_fn(|cx| exchange.poll_receive(Some(cx.waker()))).await {
            Received::Disconnect => break,
            Received::Body { data, more } => {
                if let Body::Copied(bytes) = data {
                    let _ = exchange.body(Piece::Small(&bytes), more);
                    poll_fn(|cx| exchange.poll_sent(cx.waker())).await;
                }
                if !more {
                    break;
                }
            }
        }
    }
    let _ = exchange.finish();
}

/// A server that lives for the whole process, and the runtime that it is on.
struct Serving {
    runtime: Runtime,
    tasks: LocalSet,
    address: SocketAddr,
    _server: Rc<Server<Echo>>,
}

impl Serving {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("there is a runtime");
        let tasks = LocalSet::new();
        let name = format!("lowmem-serve-fuzz-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name).expect("the name is short");
        let listener = UnixListener::bind_addr(&address).expect("the name is free");
        listener.set_nonblocking(true).expect("a socket can be");
        let server = tasks.block_on(&runtime, async {
            let server = Server::new(Echo, &settings(), None).expect("descriptors are left");
            let listener = tokio::net::UnixListener::from_std(listener).expect("it is a socket");
            server.accept(vec![Listener::Unix(listener, String::new())]);
            server
        });
        Self {
            runtime,
            tasks,
            address,
            _server: server,
        }
    }
}

fn settings() -> ServerSettings {
    ServerSettings {
        http: HttpSettings {
            max_streams: 100,
            ..HttpSettings::default()
        },
        limits: LimitSettings {
            keep_alive: LONGEST,
            header_read: LONGEST,
            head: 16 * 1024,
            fields: 100,
            target: 8 * 1024,
            ..LimitSettings::default()
        },
        ..ServerSettings::default()
    }
}

thread_local! {
    // Never dropped: the tasks of h2 cannot be where a thread ends.
    static SERVING: OnceCell<&'static Serving> = const { OnceCell::new() };
}

/// The first two bytes are the windows of the client; then come streams of up to [`STEPS`] bytes each.
pub fn run(bytes: &[u8]) {
    let Some(([stream, connection], scripts)) = bytes.split_first_chunk() else {
        return;
    };
    SERVING.with(|serving| {
        let serving = serving.get_or_init(|| Box::leak(Box::new(Serving::new())));
        let said = converse(serving, (*stream, *connection), scripts);
        let within = async { tokio::time::timeout(LONGEST, said).await };
        let ended = serving.tasks.block_on(&serving.runtime, within);
        ended.expect("the server answers in time");
    });
}

async fn converse(serving: &Serving, (stream, connection): (u8, u8), scripts: &[u8]) {
    let socket = UnixStream::connect_addr(&serving.address).expect("the server listens");
    socket.set_nonblocking(true).expect("a socket can be");
    let socket = tokio::net::UnixStream::from_std(socket).expect("it is a socket");
    let handshake = h2::client::Builder::new()
        .initial_window_size((1 + u32::from(stream)) * 300)
        .initial_connection_window_size(65_535 + u32::from(connection) * 1000)
        .handshake(socket);
    let (sender, connection) = handshake.await.expect("the server speaks HTTP/2");
    let driven = tokio::task::spawn_local(connection);
    let scripts = scripts.chunks(STEPS).take(STREAMS);
    join_all(scripts.map(|script| play(sender.clone(), script))).await;
    drop(sender);
    let ended = driven.await.expect("h2 does not panic");
    ended.expect("h2 finds no fault with the server");
}

/// One request, step by step: even bytes are a GET, odd ones a POST whose body comes back.
async fn play(mut sender: SendRequest<Bytes>, script: &[u8]) {
    let (first, steps) = script.split_first().expect("a chunk has a byte");
    sender = sender.ready().await.expect("there is room for a stream");
    if first & 1 == 0 {
        let size = usize::from(*first) * 700;
        let (response, _) = send(&mut sender, Method::GET, &format!("/{size}"), true);
        if let Some(body) = read(response, steps).await {
            assert_eq!(body.len(), size);
        }
        return;
    }
    let (response, body) = send(&mut sender, Method::POST, "/echo", false);
    let reading = tokio::task::spawn_local({
        let steps = steps.to_vec();
        async move { read(response, &steps).await }
    });
    let sent = write(body, steps).await;
    let read = reading.await.expect("reading does not panic");
    if let (Some(sent), Some(read)) = (sent, read) {
        assert!(sent == read, "{} sent, {} read", sent.len(), read.len());
    }
}

fn send(
    sender: &mut SendRequest<Bytes>,
    method: Method,
    path: &str,
    ends: bool,
) -> (ResponseFuture, SendStream<Bytes>) {
    let request = Request::builder()
        .method(method)
        .uri(format!("http://fuzz{path}"));
    let request = request.body(()).expect("the request is one");
    sender
        .send_request(request, ends)
        .expect("a stream can be opened")
}

/// Sends a body, a piece for each step; gives back what was sent, unless the stream was reset.
async fn write(mut body: SendStream<Bytes>, steps: &[u8]) -> Option<Vec<u8>> {
    let mut sent = Vec::new();
    for step in steps {
        match step & 7 {
            0 => yield_now().await,
            1 => {
                body.send_reset(Reason::CANCEL);
                return None;
            }
            _ => {
                let piece = vec![*step; usize::from(*step) * 97];
                sent.extend_from_slice(&piece);
                // Refused where the other side has reset the stream.
                body.send_data(piece.into(), false).ok()?;
            }
        }
    }
    body.send_data(Bytes::new(), true).ok()?;
    Some(sent)
}

/// Reads a response with pauses; gives back its body, unless it was given up.
async fn read(response: ResponseFuture, steps: &[u8]) -> Option<Vec<u8>> {
    let mut steps = steps.iter();
    let response = response.await.ok()?;
    assert_eq!(response.status(), 200);
    let mut body: RecvStream = response.into_body();
    let mut all = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.ok()?;
        all.extend_from_slice(&piece);
        match steps.next().map(|step| step >> 5) {
            Some(0) => return None,
            Some(1) => yield_now().await,
            _ => {}
        }
        body.flow_control().release_capacity(piece.len()).ok()?;
    }
    Some(all)
}
