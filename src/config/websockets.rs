//! How WebSockets are served.

use std::time::Duration;

use super::WebSockets;
use super::mistakes::Mistakes;
use crate::cli::WebSocket;

/// Uvicorn's words that choose among its implementations.
const IMPLEMENTATIONS: [&str; 3] = ["websockets", "websockets-sansio", "wsproto"];

/// Says what the flags mean; nothing where WebSockets are not served.
pub(super) fn meant(
    typed: &WebSocket,
    notices: &mut Vec<String>,
    mistakes: &mut Mistakes,
) -> Option<WebSockets> {
    let ping_interval = seconds("--ws-ping-interval", typed.ws_ping_interval, mistakes);
    let ping_timeout = seconds("--ws-ping-timeout", typed.ws_ping_timeout, mistakes);
    let word = typed.ws.as_str();
    if IMPLEMENTATIONS.contains(&word) || word.contains(':') {
        notices.push(format!(
            "--ws {word} is ignored: it is about implementations that only Uvicorn has"
        ));
    } else if !["auto", "none"].contains(&word) {
        mistakes.add(
            "--ws",
            format!("there is no \"{word}\"; the choices are auto and none"),
        );
    }
    (word != "none").then_some(WebSockets {
        ping_interval,
        ping_timeout,
        max_size: typed.ws_max_size,
        per_message_deflate: typed.ws_per_message_deflate,
    })
}

/// A time; none where it is 0 or less, as Uvicorn has it.
fn seconds(option: &'static str, number: f64, mistakes: &mut Mistakes) -> Option<Duration> {
    if number <= 0.0 {
        return None;
    }
    let time = Duration::try_from_secs_f64(number);
    time.map_err(|_| mistakes.add(option, "not a possible number of seconds"))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(ws: &str, interval: f64) -> WebSocket {
        WebSocket {
            ws: ws.to_owned(),
            ws_max_size: 1,
            ws_ping_interval: interval,
            ws_ping_timeout: 20.0,
            ws_per_message_deflate: true,
        }
    }

    fn counted(ws: &str, interval: f64) -> (Option<WebSockets>, usize, usize) {
        let (mut notices, mut mistakes) = (Vec::new(), Mistakes::default());
        let meant = meant(&typed(ws, interval), &mut notices, &mut mistakes);
        (meant, notices.len(), mistakes.len())
    }

    #[test]
    fn none_is_none_and_a_choice_that_is_none_here_is_told() {
        assert_eq!(counted("none", 20.0), (None, 0, 0));
        for (word, notices, mistakes) in [
            ("auto", 0, 0),
            ("wsproto", 1, 0),
            ("module:Class", 1, 0),
            ("sockets", 0, 1),
        ] {
            let (meant, told, wrong) = counted(word, 20.0);
            assert!(meant.is_some());
            assert_eq!((told, wrong), (notices, mistakes), "{word}");
        }
    }

    #[test]
    fn no_time_is_no_ping() {
        let interval = |seconds| counted("auto", seconds).0.unwrap().ping_interval;
        assert_eq!(interval(2.5), Some(Duration::from_millis(2500)));
        assert_eq!((interval(0.0), interval(-1.0)), (None, None));
        assert_eq!(counted("auto", f64::NAN).2, 1);
    }
}
