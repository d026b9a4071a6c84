//! `--warm-up`: requests that a worker makes to itself before it is ready.
//!
//! They take the way of any request, over a socket pair in place of a client, so that whatever the
//! application makes at its first request (imports, templates, pools) is there for the first client.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::application::Application;
use super::between_requests::Resting;
use super::socket::Socket;
use super::state::Server;
use super::stream::Stream;
use crate::alarm::Alarm;
use crate::peers::{Peers, ServerAddress};
use crate::tasks;

/// More of a response is read and forgotten.
const BUFFER: usize = 16 * 1024;

impl<A: Application> Server<A> {
    /// Requests a path of the application. Nothing of it is in the access log, or counted.
    ///
    /// # Errors
    /// The status or the failure in place of a good answer.
    pub async fn warm_up(
        self: &Rc<Self>,
        path: &str,
        server: ServerAddress,
        patience: Duration,
    ) -> Result<(), String> {
        self.shared.access.mute(true);
        let answered = self.ask_itself(path, server, patience).await;
        self.shared.access.mute(false);
        self.shared.forget_served();
        answered
    }

    async fn ask_itself(
        self: &Rc<Self>,
        path: &str,
        server: ServerAddress,
        patience: Duration,
    ) -> Result<(), String> {
        let text = |error: std::io::Error| error.to_string();
        let (ours, theirs) = UnixStream::pair().map_err(text)?;
        let peers = Peers {
            client: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            server,
            routed: false,
        };
        // Not through TLS: the certificate may be for any name.
        let resting = Resting::new(Stream::Plain(Socket::Unix(theirs)), peers);
        let guard = self.shared.connections.add();
        tasks::spawn(Rc::clone(self).serve_http1(guard, resting));
        let alarm = Alarm::new().map_err(text)?;
        let (mut answer, mut time) = (pin!(exchange(ours, path)), pin!(alarm.after(patience)));
        poll_fn(|cx| {
            if let Poll::Ready(status) = answer.as_mut().poll(cx) {
                return Poll::Ready(match status.map_err(text)? {
                    200..=399 => Ok(()),
                    status => Err(format!("it was answered with {status}")),
                });
            }
            let is_over = time.as_mut().poll(cx).is_ready();
            if is_over {
                let seconds = patience.as_secs();
                return Poll::Ready(Err(format!("no answer after {seconds} s")));
            }
            Poll::Pending
        })
        .await
    }
}

/// The status of the answer, once all of that has come.
async fn exchange(mut client: UnixStream, path: &str) -> std::io::Result<u16> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nuser-agent: lowmem-serve (warm-up)\r\n\
         accept: */*\r\nconnection: close\r\n\r\n"
    );
    client.write_all(request.as_bytes()).await?;
    let mut buffer = vec![0; BUFFER];
    let mut status = None;
    loop {
        let count = client.read(&mut buffer).await?;
        if count == 0 {
            return status.ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into());
        }
        // `HTTP/1.1 200 `: a head is written whole.
        let code = buffer[..count]
            .get(9..12)
            .and_then(|code| str::from_utf8(code).ok());
        status = status.or(code.and_then(|code| code.parse().ok()));
    }
}
