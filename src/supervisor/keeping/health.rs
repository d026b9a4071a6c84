//! Health checks that the supervisor answers, and what it says where it cannot have a request answered.

use crate::supervisor::unavailable;

/// The bytes that have arrived on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judged {
    /// A whole health check.
    Health(Check),
    /// It may become one.
    Undecided,
    /// Something for the application.
    Other,
}

/// A request for the health path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Check {
    /// The bytes of its head.
    pub(super) length: usize,
    /// The connection ends with it.
    pub(super) closes: bool,
    is_head: bool,
}

/// The answer to a health check, which is a worker's, too.
const ANSWERS: [&str; 4] = [
    "HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 3\r\n\r\nok\n",
    "HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 3\r\n\
     connection: close\r\n\r\nok\n",
    "HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 3\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 3\r\n\
     connection: close\r\n\r\n",
];

impl Check {
    pub(super) fn answer(&self) -> &'static [u8] {
        let which = 2 * usize::from(self.is_head) + usize::from(self.closes);
        ANSWERS[which].as_bytes()
    }
}

/// Looks at the beginning of a request, which may be for one of several paths.
pub(super) fn judge_all(seen: &[u8], paths: &[String]) -> Judged {
    let mut judged = Judged::Other;
    for path in paths {
        match judge(seen, path) {
            Judged::Other => {}
            Judged::Undecided => judged = Judged::Undecided,
            health => return health,
        }
    }
    judged
}

/// Looks at the beginning of a request. Only what is beyond doubt is a health check: the exact path, no
/// query, no body, no change of protocol. Whatever else there is about such a request, a worker says.
pub(super) fn judge(seen: &[u8], path: &str) -> Judged {
    let Some((is_head, is_old, line)) = request_line(seen, path) else {
        let could_be = lines(path).any(|(.., line)| line.as_bytes().starts_with(seen));
        return if could_be {
            Judged::Undecided
        } else {
            Judged::Other
        };
    };
    let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if seen.len() < super::PEEK {
            Judged::Undecided
        } else {
            Judged::Other
        };
    };
    // The line's own end may be the first half of the empty line.
    let fields = seen.get(line..end + 2).unwrap_or_default();
    let mut check = Check {
        length: end + 4,
        closes: is_old,
        is_head,
    };
    let mut has_host = is_old;
    for field in fields.split(|byte| *byte == b'\n') {
        let Some(colon) = field.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = (&field[..colon], field[colon + 1..].trim_ascii());
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        if ["content-length", "transfer-encoding", "expect", "upgrade"]
            .into_iter()
            .any(is)
        {
            return Judged::Other;
        }
        has_host |= is("host");
        if is("connection") && value.eq_ignore_ascii_case(b"close") {
            check.closes = true;
        }
    }
    if has_host {
        Judged::Health(check)
    } else {
        Judged::Other
    }
}

/// Whether it is HEAD, and HTTP/1.0, and the length of the line, if it is one of ours.
fn request_line(seen: &[u8], path: &str) -> Option<(bool, bool, usize)> {
    let mut all = lines(path);
    let (is_head, is_old, line) = all.find(|(.., line)| seen.starts_with(line.as_bytes()))?;
    Some((is_head, is_old, line.len()))
}

fn lines(path: &str) -> impl Iterator<Item = (bool, bool, String)> {
    let all = [("GET", 1), ("HEAD", 1), ("GET", 0), ("HEAD", 0)];
    all.into_iter().map(move |(method, minor)| {
        let line = format!("{method} {path} HTTP/1.{minor}\r\n");
        (method == "HEAD", minor == 0, line)
    })
}

/// The answer to a request for which there is no worker.
pub(super) fn refusal(retry_after: u64) -> String {
    unavailable::answer(
        "The application does not answer. Try again later.\n",
        retry_after,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str) -> Judged {
        judge(text.as_bytes(), "/healthz")
    }

    const CHECK: &str = "GET /healthz HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n";

    #[test]
    fn a_whole_check_is_one_and_each_beginning_of_it_may_become_one() {
        let Judged::Health(check) = judged(CHECK) else {
            panic!("no check");
        };
        assert_eq!((check.length, check.closes), (CHECK.len(), false));
        for length in 1..CHECK.len() {
            assert_eq!(judged(&CHECK[..length]), Judged::Undecided, "{length}");
        }
    }

    #[test]
    fn a_request_after_it_is_not_part_of_it() {
        let two = CHECK.to_owned() + "GET / HTTP/1.1\r\n";
        assert!(matches!(judged(&two), Judged::Health(check) if check.length == CHECK.len()));
    }

    #[test]
    fn a_client_that_closes_is_told_so() {
        for text in [
            "GET /healthz HTTP/1.0\r\n\r\n",
            "HEAD /healthz HTTP/1.1\r\nhost: a\r\nconnection: Close\r\n\r\n",
        ] {
            assert!(
                matches!(judged(text), Judged::Health(check) if check.closes),
                "{text}"
            );
        }
    }

    #[test]
    fn anything_else_is_for_the_application() {
        for text in [
            "GET / HTTP/1.1\r\n",
            "GET /healthz?x HTTP/1.1\r\n",
            "GET /healthz2 HTTP/1.1\r\n",
            "POST /healthz HTTP/1.1\r\n",
            "PRI * HTTP/2.0\r\n",
            "GET /healthz HTTP/1.1\r\n\r\n",
            "GET /healthz HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\n",
            "GET /healthz HTTP/1.1\r\nhost: a\r\nUpgrade: websocket\r\n\r\n",
            "\x16\x03\x01",
        ] {
            assert_eq!(judged(text), Judged::Other, "{text}");
        }
        let long = format!(
            "GET /healthz HTTP/1.1\r\nx: {}",
            "y".repeat(super::super::PEEK)
        );
        assert_eq!(judged(&long), Judged::Other);
    }

    #[test]
    fn an_answer_says_how_long_it_is() {
        let refused = refusal(7);
        let (head, body) = refused.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("\r\nretry-after: 7\r\n"));
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())));
    }
}
