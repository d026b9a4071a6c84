//! The phrase that Uvicorn writes after a status.

use crate::status::reason_phrase;

/// The phrases of Python's `http.HTTPStatus`, which Uvicorn prints; nothing for a status it does not know.
/// Four are those of before RFC 9110, and one is nginx's.
pub(super) fn phrase(status: u16) -> &'static str {
    match status {
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Long",
        416 => "Requested Range Not Satisfiable",
        422 => "Unprocessable Entity",
        499 => "Client Closed Request",
        other => reason_phrase(i64::from(other)),
    }
}
