//! One command line of another server, taken apart and put together again.

use super::effect::Note;
use super::items::{Item, ReadSettings, items};
use super::made::Made;
use super::servers::Server;
use super::words::{Word, quoted, split};

/// Commands whose arguments name packages, not servers.
const INSTALLERS: [&str; 7] = ["pip", "pip3", "uv", "apt", "apt-get", "apk", "echo"];

/// A variable with arguments of gunicorn's.
const GUNICORN_ARGUMENTS: &str = "GUNICORN_CMD_ARGS=";

/// The command line of this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Where it comes from.
    pub server: Server,
    /// The remarks.
    pub notes: Vec<Note>,
    /// `exec`, `poetry run`, another command and `&&`.
    before: Vec<Word>,
    /// `NAME=VALUE`
    variables: Vec<String>,
    program: Vec<Word>,
    arguments: Vec<Word>,
    after: Vec<Word>,
    /// It is one word behind `sh -c`.
    is_wrapped: bool,
}

impl Command {
    /// As it is written in a shell.
    pub fn line(&self) -> String {
        let mut inner: Vec<String> = Vec::new();
        if !self.is_wrapped {
            inner.extend(self.before.iter().map(Word::written));
        }
        if !self.variables.is_empty() {
            inner.push("env".to_owned());
            inner.extend(self.variables.iter().map(|v| quoted(v, v.contains('$'))));
        }
        let rest = self
            .program
            .iter()
            .chain(&self.arguments)
            .chain(&self.after);
        inner.extend(rest.map(Word::written));
        let inner = inner.join(" ");
        if !self.is_wrapped {
            return inner;
        }
        let mut outer: Vec<String> = self.before.iter().map(Word::written).collect();
        outer.push(quoted(&inner, false));
        outer.join(" ")
    }

    /// The words behind the program, as it is received where nothing is expanded.
    pub fn arguments(&self) -> Vec<&str> {
        self.arguments.iter().filter_map(Word::text).collect()
    }

    fn made(made: Made, server: Server, program: Vec<Word>) -> Self {
        let written = made.written(server);
        Self {
            server,
            notes: written.notes,
            before: Vec::new(),
            variables: written.variables,
            program,
            arguments: written.arguments,
            after: Vec::new(),
            is_wrapped: false,
        }
    }

    /// Of settings alone, where there is no line.
    pub fn of_settings(server: Server, items: Vec<Item>) -> Self {
        let mut made = Made::default();
        made.add(items);
        Self::made(made, server, vec![Word::plain("lowmem-serve")])
    }
}

/// Reads a line as a shell does.
///
/// # Errors
/// It is no command line, or of no server that is known.
pub fn of_line(line: &str, read: ReadSettings<'_>) -> Result<Command, String> {
    of_words(split(line)?, read)
}

/// Reads words.
///
/// # Errors
/// No server that is known is among them.
pub fn of_words(words: Vec<Word>, read: ReadSettings<'_>) -> Result<Command, String> {
    let Some((at, server)) = server_in(&words) else {
        return behind_shell(&words, read);
    };
    let end = words[at..]
        .iter()
        .position(|word| matches!(word, Word::Operator(_)));
    let end = end.map_or(words.len(), |end| at + end);
    let (mut before, program) = program(&words[..at], &words[at]);
    let mut made = Made::default();
    let mut given = Vec::new();
    before.retain(
        |word| match word.text().and_then(|t| t.strip_prefix(GUNICORN_ARGUMENTS)) {
            Some(more) if server == Server::Gunicorn => {
                given.extend(split(more).unwrap_or_default());
                false
            }
            _ => true,
        },
    );
    given.extend_from_slice(&words[at + 1..end]);
    if server == Server::Uvicorn {
        made.passed = given;
    } else {
        let typed = items(server, &given);
        made.add_with_files(server, typed, read);
    }
    let mut command = Command::made(made, server, program);
    command.before = before;
    command.after = words[end..].to_vec();
    Ok(command)
}

/// `sh -c "gunicorn app:app"`
fn behind_shell(words: &[Word], read: ReadSettings<'_>) -> Result<Command, String> {
    let is_flag = |word: &Word| {
        word.text()
            .is_some_and(|t| matches!(t, "-c" | "-lc" | "-ec"))
    };
    let at = words.iter().position(is_flag);
    let script = at.and_then(|at| words.get(at + 1)).and_then(Word::text);
    let (Some(at), Some(script)) = (at, script.filter(|script| script.contains(' '))) else {
        return Err(
            "no uvicorn, gunicorn, hypercorn, daphne, granian, uwsgi, waitress-serve, fastapi or flask is in it".to_owned(),
        );
    };
    let mut inner = of_line(script, read)?;
    // What stands before the server in the script is a part of it.
    let mut program = std::mem::take(&mut inner.before);
    program.append(&mut inner.program);
    inner.program = program;
    inner.before = words[..=at].to_vec();
    inner.is_wrapped = true;
    Ok(inner)
}

/// Where the server's name is.
fn server_in(words: &[Word]) -> Option<(usize, Server)> {
    let mut first = "";
    let mut begins = true;
    for (at, word) in words.iter().enumerate() {
        let Some(text) = word.text() else {
            begins = true;
            continue;
        };
        if std::mem::take(&mut begins) {
            first = text;
        }
        let installs = INSTALLERS.contains(&first)
            && words.get(at.wrapping_sub(1)).and_then(Word::text) != Some("run");
        if let Some(server) = Server::named(text).filter(|_| !installs) {
            return Some((at, server));
        }
    }
    None
}

/// This server in the other one's place: in the same directory, or behind `-m`.
fn program(before: &[Word], word: &Word) -> (Vec<Word>, Vec<Word>) {
    let mut before = before.to_vec();
    let text = word.text().unwrap_or_default();
    if before.last().and_then(Word::text) == Some("-m") {
        let module = [before.pop(), Some(Word::plain("lowmem_serve"))];
        let python = before.pop();
        let program = python.into_iter().chain(module.into_iter().flatten());
        return (before, program.collect());
    }
    let program = match text.rsplit_once('/') {
        Some((directory, _)) => format!("{directory}/lowmem-serve"),
        None => "lowmem-serve".to_owned(),
    };
    (before, vec![Word::plain(program)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::effect::{Effect, Weight};

    fn none(_: Server, file: &str) -> Result<Vec<Item>, String> {
        Err(format!("{file} is not there"))
    }

    fn line(typed: &str) -> String {
        of_line(typed, &none).unwrap().line()
    }

    fn missing(typed: &str) -> Vec<String> {
        let notes = of_line(typed, &none).unwrap().notes;
        let missing = notes
            .into_iter()
            .filter(|note| note.weight == Weight::Missing);
        missing.map(|note| note.about).collect()
    }

    #[test]
    fn a_line_is_put_together_again() {
        for (theirs, ours) in [
            ("gunicorn app:app", "lowmem-serve app:app"),
            (
                "gunicorn -w4 -b:80 pkg.wsgi",
                "lowmem-serve pkg.wsgi:application --workers 4 --bind :80",
            ),
            ("exec gunicorn a:b", "exec lowmem-serve a:b"),
            ("poetry run gunicorn a:b", "poetry run lowmem-serve a:b"),
            ("/srv/v/bin/gunicorn a:b", "/srv/v/bin/lowmem-serve a:b"),
            ("python -m gunicorn a:b", "python -m lowmem_serve a:b"),
            (
                "pip install gunicorn && gunicorn a:b",
                "pip install gunicorn && lowmem-serve a:b",
            ),
            ("gunicorn a:b > log 2>&1", "lowmem-serve a:b > log 2>&1"),
            (
                "gunicorn -b 0.0.0.0:$PORT a:b",
                "lowmem-serve a:b --bind \"0.0.0.0:$PORT\"",
            ),
            (
                "sh -c 'exec gunicorn -b :$PORT a:b'",
                "sh -c 'exec lowmem-serve a:b --bind \":$PORT\"'",
            ),
            (
                "GUNICORN_CMD_ARGS='-w 2' gunicorn a:b",
                "lowmem-serve a:b --workers 2",
            ),
            ("gunicorn -e A=1 a:b", "env A=1 lowmem-serve a:b"),
            (
                "uvicorn a:b --port 80 $MORE",
                "lowmem-serve a:b --port 80 \"$MORE\"",
            ),
            (
                "fastapi run main.py --app api",
                "lowmem-serve run main.py:api",
            ),
            (
                "granian a --metrics --metrics-port 9",
                "lowmem-serve a:app --status-bind 127.0.0.1:9",
            ),
            ("uwsgi --module a --callable b", "lowmem-serve a:b"),
            (
                "uwsgi -s site.sock -w a:b",
                "lowmem-serve a:b --bind unix:site.sock",
            ),
            (
                "gunicorn ${APP:-main:app} -w 2",
                "lowmem-serve \"${APP:-main:app}\" --workers 2",
            ),
            ("gunicorn $M:app", "lowmem-serve \"$M:app\""),
        ] {
            assert_eq!(line(theirs), ours, "{theirs}");
        }
    }

    #[test]
    fn what_has_no_counterpart_is_told() {
        assert_eq!(
            missing("gunicorn -t 60 --nope a:b $MORE"),
            ["-t 60", "--nope", "$MORE"]
        );
        assert_eq!(missing("gunicorn -c conf.py a:b"), ["-c conf.py"]);
    }

    #[test]
    fn a_line_of_no_server_is_none() {
        assert!(of_line("celery -A app worker", &none).is_err());
    }

    #[test]
    fn what_is_typed_wins_over_the_file() {
        let file = |_: Server, _: &str| {
            let bind = Effect::Flag("--bind", Some("a:1".to_owned()));
            let workers = Effect::Flag("--workers", Some("2".to_owned()));
            let effects = vec![bind, workers];
            Ok(vec![Item {
                about: String::new(),
                effects,
                expands: false,
            }])
        };
        let command = of_line("gunicorn -c x.py -b b:2 a:b", &file).unwrap();
        assert_eq!(command.line(), "lowmem-serve a:b --workers 2 --bind b:2");
    }
}
