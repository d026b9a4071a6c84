//! Whose a connection is. Pure: first bytes and the table in, what to do out.

use super::refusal::Refusal;
use crate::beginning::{self, Beginning};
use crate::routes::{Found, Routes};

/// The decision about a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Look again when more has come.
    Wait,
    /// Send it to the application with this number.
    To(usize),
    /// Answer it.
    Refuse(Refusal),
}

/// The applications that can be had, as far as it matters here.
pub(super) trait Known {
    /// The number of the one with this name, and whether it is served over TLS.
    fn find(&self, name: &str) -> Option<(usize, bool)>;
}

/// Looks at what a connection begins with, which is all that is looked at if `is_full`.
pub(super) fn judge(bytes: &[u8], is_full: bool, routes: &Routes, known: &impl Known) -> Verdict {
    match beginning::look(bytes) {
        Beginning::Unfinished if is_full => Verdict::Refuse(Refusal::too_large(bytes)),
        Beginning::Unfinished => Verdict::Wait,
        Beginning::Bad(why) => Verdict::Refuse(Refusal::malformed(bytes, why)),
        Beginning::Tls(name) => {
            let name = name.unwrap_or_default();
            match routes.of_name(&name).map(|name| known.find(name)) {
                Some(Some((number, true))) => Verdict::To(number),
                Some(None) => Verdict::Refuse(Refusal::TLS_UNAVAILABLE),
                Some(Some((_, false))) | None => Verdict::Refuse(Refusal::TLS_UNKNOWN),
            }
        }
        Beginning::Request {
            host,
            path,
            is_http2,
        } => request(&host, &path, is_http2, routes, known),
    }
}

fn request(
    host: &[u8],
    path: &[u8],
    is_http2: bool,
    routes: &Routes,
    known: &impl Known,
) -> Verdict {
    let refused = |status, text: &str| Verdict::Refuse(Refusal::of(is_http2, status, text));
    let name = match routes.find(host, path) {
        Found::Application { name, .. } => name,
        Found::NoHost => return refused(421, "No application here has this host.\n"),
        Found::NoPath => return refused(404, "No application here has this path.\n"),
    };
    match known.find(name) {
        Some((number, false)) => Verdict::To(number),
        Some((_, true)) => refused(
            400,
            "This host is served over HTTPS: use https:// in the URL.\n",
        ),
        None => refused(503, "Service Unavailable\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::{Host, Route};

    struct Names(&'static [(&'static str, bool)]);

    impl Known for Names {
        fn find(&self, name: &str) -> Option<(usize, bool)> {
            let number = self.0.iter().position(|(own, _)| *own == name)?;
            Some((number, self.0[number].1))
        }
    }

    const KNOWN: Names = Names(&[("plain", false), ("secure", true)]);

    fn table() -> Routes {
        let route = |host: &str, path: &str, application: &str| Route {
            host: Host::parse(host).unwrap(),
            path: path.to_owned(),
            application: application.to_owned(),
        };
        vec![
            route("plain.x", "/app", "plain"),
            route("secure.x", "", "secure"),
            route("gone.x", "", "gone"),
        ]
        .into()
    }

    fn judged(text: &str) -> Verdict {
        judge(text.as_bytes(), false, &table(), &KNOWN)
    }

    fn status(text: &str) -> Option<u16> {
        match judged(text) {
            Verdict::Refuse(refusal) => refusal.status(),
            Verdict::Wait | Verdict::To(_) => None,
        }
    }

    #[test]
    fn a_request_goes_where_it_belongs_or_is_told_why_not() {
        assert_eq!(
            judged("GET /app/x HTTP/1.1\r\nhost: plain.x\r\n"),
            Verdict::To(0)
        );
        assert_eq!(judged("GET /app/x HTTP/1.1\r\n"), Verdict::Wait);
        for (text, wanted) in [
            ("GET /other HTTP/1.1\r\nhost: plain.x\r\n", 404),
            ("GET / HTTP/1.1\r\nhost: other.x\r\n", 421),
            ("GET / HTTP/1.1\r\nhost: secure.x\r\n", 400),
            ("GET / HTTP/1.1\r\nhost: gone.x\r\n", 503),
            ("GET / HTTP/1.1\r\n\r\n", 400),
        ] {
            assert_eq!(status(text), Some(wanted), "{text}");
        }
    }

    #[test]
    fn what_has_no_end_is_refused_when_all_was_looked_at() {
        let verdict = judge(b"GET /app HTTP/1.1\r\n", true, &table(), &KNOWN);
        let Verdict::Refuse(refusal) = verdict else {
            panic!("{verdict:?}");
        };
        assert_eq!(refusal.status(), Some(431));
    }
}
