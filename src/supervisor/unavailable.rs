//! The answer to a request for which there is no worker.

/// A 503 with this text; the client may come back after so many seconds.
pub(super) fn answer(text: &str, retry_after: u64) -> String {
    format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\n\
         content-length: {}\r\nretry-after: {retry_after}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    )
}
