//! Options of other servers that are typed as this server's own.

use super::effect::{Effect, Weight};
use super::items::named;
use super::servers::{ALL, Opt, Server, Takes};

/// The translation of a command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Direct {
    /// In this server's words.
    pub words: Vec<String>,
    /// The words that were taken for something else.
    pub notices: Vec<String>,
    /// The words that cannot be taken, each with what to do instead.
    pub refused: Vec<(String, String)>,
}

/// Whether this server has an option, and whether a value follows it.
pub type Own<'a> = &'a dyn Fn(&str) -> Option<bool>;

/// Reads the words after the program's name.
pub fn direct(words: &[String], own: Own<'_>) -> Direct {
    let mut direct = Direct::default();
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        let name = word.split('=').next().unwrap_or(word);
        let next = words.peek().map(|next| next.as_str());
        if let Some(takes) = own(name).filter(|_| !is_uwsgis(word, next)) {
            direct.words.push(word.clone());
            if takes && !word.contains('=') {
                direct.words.extend(words.next().cloned());
            }
            continue;
        }
        let Some((server, option, name, value)) = found(word, next) else {
            direct.words.push(word.clone());
            continue;
        };
        let value = match (option.takes, value) {
            (Takes::Nothing, _) => String::new(),
            (Takes::Value, Some(value)) => value,
            (Takes::Value, None) => words.next().cloned().unwrap_or_default(),
        };
        let typed = format!("{name} {value}");
        direct.take(server, typed.trim_end(), option.effects(&value));
    }
    direct
}

/// `--http :8000` is a place there, and a version of HTTP here.
fn is_uwsgis(word: &str, next: Option<&str>) -> bool {
    let value = match word.split_once('=') {
        Some(("--http", value)) => value,
        None if word == "--http" => next.unwrap_or_default(),
        _ => return false,
    };
    let port = value.rsplit_once(':').map(|(_, port)| port);
    port.is_some_and(|port| port.parse::<u16>().is_ok())
}

/// The option, of the first server that has one of this name and kind.
fn found<'a>(
    word: &'a str,
    next: Option<&str>,
) -> Option<(Server, &'static Opt, &'a str, Option<String>)> {
    if !word.starts_with('-') || word.len() == 1 {
        return None;
    }
    ALL.into_iter().find_map(|server| {
        let (name, value) = named(server, word);
        let option = server.option(name)?;
        let text = value.or(next).unwrap_or_default();
        fits(server, name, text).then(|| (server, option, name, value.map(str::to_owned)))
    })
}

/// Whether an option with several meanings has this server's.
fn fits(server: Server, name: &str, value: &str) -> bool {
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    match (name, server) {
        // A version of HTTP with Granian, a place with uWSGI.
        ("--http", Server::Granian) => false,
        // A port with Daphne, processes with uWSGI, a file with the others.
        ("-p", Server::Gunicorn | Server::Hypercorn) => !is_number,
        // Workers, or uWSGI's module.
        ("-w", Server::Uwsgi) => !is_number,
        ("-w", _) => is_number,
        // A host with Daphne, a buffer with uWSGI.
        ("-b", Server::Gunicorn | Server::Hypercorn) => value.contains(':'),
        ("-b", Server::Uwsgi) => is_number,
        // A user, or a Unix socket.
        ("-u", Server::Daphne) => value.contains('/'),
        ("-u", _) => !value.contains('/'),
        // The length of a queue with uWSGI, a place with Waitress.
        ("--listen", Server::Uwsgi) => is_number,
        _ => true,
    }
}

impl Direct {
    fn take(&mut self, server: Server, typed: &str, effects: Vec<Effect>) {
        let (from, name) = (server.name(), typed);
        let mut words = Vec::new();
        let mut remarks = Vec::new();
        for effect in effects {
            match effect {
                Effect::Flag(flag, value) => {
                    words.extend([Some(flag.to_owned()), value].into_iter().flatten())
                }
                Effect::Application(app) => words.push(app),
                Effect::Note(Weight::Missing, why) => {
                    return self.refused.push((name.to_owned(), why));
                }
                Effect::Note(_, why) => remarks.push(why),
                Effect::Metrics | Effect::MetricsHost(_) | Effect::MetricsPort(_) => {
                    return self.refuse(name, "--status-bind HOST:PORT");
                }
                Effect::StaticDirectory(_) | Effect::StaticPath(_) => {
                    return self.refuse(name, "--static /path=DIR");
                }
                Effect::Variable(_) => {
                    return self.refuse(name, "set it in the environment, or --env-file FILE");
                }
                Effect::Callable(_) => {
                    return self.refuse(name, "name the application: module:attribute");
                }
                Effect::SettingsFile(file) => {
                    let remedy = format!(
                        "lowmem-serve migrate {file} prints what is in it (--config takes TOML)"
                    );
                    return self.refuse(name, &remedy);
                }
            }
        }
        let remarks = remarks.join("; ");
        self.notices
            .push(match (words.is_empty(), remarks.is_empty()) {
                (true, _) => format!("{typed} is {from}'s and does nothing here: {remarks}"),
                (false, true) => format!("{typed} is {from}'s; here it is {}", words.join(" ")),
                (false, false) => format!(
                    "{typed} is {from}'s; here it is {}: {remarks}",
                    words.join(" ")
                ),
            });
        self.words.extend(words);
    }

    fn refuse(&mut self, typed: &str, remedy: &str) {
        self.refused.push((typed.to_owned(), remedy.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Direct {
        let own = |name: &str| match name {
            "--port" | "--http" | "--header" => Some(true),
            "--reload" => Some(false),
            _ => None,
        };
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        direct(&words, &own)
    }

    #[test]
    fn options_with_one_meaning_are_taken() {
        for (typed, here) in [
            ("a:b -w 4 -b :80", "a:b --workers 4 --bind :80"),
            ("a:b -b 0.0.0.0 -p 80", "a:b --host 0.0.0.0 --port 80"),
            ("-k uvicorn.workers.UvicornWorker a:b", "a:b"),
            ("a:b --header -w --port 1", "a:b --header -w --port 1"),
            (
                "--http :8000 -w pkg:app -p 2",
                "--bind :8000 pkg:app --port 2",
            ),
            ("a:b --http 1", "a:b --http 1"),
            ("a:b --listen :80", "a:b --bind :80"),
            ("a:b --listen 100", "a:b --backlog 100"),
            ("a:b --nope 3", "a:b --nope 3"),
            (
                "--interface asginl a:b",
                "--interface asgi3 --lifespan off a:b",
            ),
        ] {
            let direct = of(typed);
            assert_eq!(direct.words.join(" "), here, "{typed}");
            assert!(direct.refused.is_empty(), "{typed}");
        }
    }

    #[test]
    fn those_without_a_counterpart_are_told_together() {
        let refused = of("a:b -t 60 -D -c gunicorn.conf.py --metrics").refused;
        let names: Vec<_> = refused.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["-t 60", "-D", "-c gunicorn.conf.py", "--metrics"]);
        assert!(
            refused[2]
                .1
                .contains("lowmem-serve migrate gunicorn.conf.py")
        );
    }

    #[test]
    fn every_word_that_is_taken_has_a_notice() {
        let direct = of("-w 4 -k uvicorn.workers.UvicornWorker a:b");
        assert_eq!(
            direct.notices[0],
            "-w 4 is gunicorn's; here it is --workers 4"
        );
        assert!(direct.notices[1].contains("does nothing here"));
    }
}
