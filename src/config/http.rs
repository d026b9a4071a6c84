//! HTTP, without its limits.

use super::mistakes::Mistakes;
use super::{HttpSettings, HttpVersions, header, is_on};
use crate::cli::Http;

/// The meaning of the flags.
pub(super) fn meant(
    typed: &Http,
    notices: &mut Vec<String>,
    mistakes: &mut Mistakes,
) -> HttpSettings {
    HttpSettings {
        versions: versions(typed, notices, mistakes),
        max_streams: typed.http2_max_streams,
        server_header: is_on(typed.no_server_header, typed.server_header),
        date_header: is_on(typed.no_date_header, typed.date_header),
        headers: headers(&typed.headers, mistakes),
        request_id: typed.request_id,
    }
}

/// Which versions of HTTP are spoken. Uvicorn's words choose among parsers.
fn versions(typed: &Http, notices: &mut Vec<String>, mistakes: &mut Mistakes) -> HttpVersions {
    match typed.http.as_str() {
        "auto" => HttpVersions::Auto,
        "1" => HttpVersions::Http1,
        "2" => HttpVersions::Http2,
        word if matches!(word, "h11" | "httptools" | "zttp") || word.contains(':') => {
            notices.push(format!(
                "--http {word} is ignored: it is about implementations that only Uvicorn has"
            ));
            HttpVersions::Auto
        }
        word => {
            let why = format!("there is no \"{word}\"; the choices are auto, 1 and 2");
            mistakes.add("--http", why);
            HttpVersions::Auto
        }
    }
}

fn headers(typed: &[String], mistakes: &mut Mistakes) -> Vec<(String, String)> {
    let mut headers = Vec::with_capacity(typed.len());
    for text in typed {
        match header::parse(text) {
            Ok(header) => headers.push(header),
            Err(why) => mistakes.add("--header", format!("{text:?}: {why}")),
        }
    }
    headers
}
