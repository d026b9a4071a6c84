//! hyper as a client.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};

pub type Text = Full<Bytes>;

/// A connection of HTTP/1.1; its task is hyper's.
pub async fn http1(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> http1::SendRequest<Text> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// A connection of HTTP/2.
pub async fn http2(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> http2::SendRequest<Text> {
    let stream = TokioIo::new(stream);
    let (sender, connection) = http2::handshake(TokioExecutor::new(), stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

pub fn get(path: &str) -> Request<Text> {
    Request::get(format!("http://test{path}"))
        .header("host", "test")
        .body(Text::default())
        .unwrap()
}

pub fn post(path: &str, body: impl Into<Bytes>) -> Request<Text> {
    Request::post(format!("http://test{path}"))
        .header("host", "test")
        .body(Text::new(body.into()))
        .unwrap()
}

/// Status and body of an answer.
pub async fn read(response: Response<hyper::body::Incoming>) -> (u16, Bytes) {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap();
    (status, body.to_bytes())
}
