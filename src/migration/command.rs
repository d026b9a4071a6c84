//! One command line of another server, taken apart and put together again.

use super::effect::{Effect, Note, Weight};
use super::servers::{Server, Takes};
use super::words::{Word, quoted, split};

/// Commands whose arguments name packages, not servers.
const INSTALLERS: [&str; 7] = ["pip", "pip3", "uv", "apt", "apt-get", "apk", "echo"];

/// A variable with arguments of gunicorn's.
const GUNICORN_ARGUMENTS: &str = "GUNICORN_CMD_ARGS=";

/// Where metrics are by default, with Granian.
const METRICS: (&str, &str) = ("127.0.0.1", "9090");

/// One option, as it was written, and what it comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// `--timeout 60`
    pub about: String,
    /// The result.
    pub effects: Vec<Effect>,
    /// A shell expands something in its value.
    pub expands: bool,
}

/// Reads a settings file that a command line names.
pub type ReadSettings<'a> = &'a dyn Fn(Server, &str) -> Result<Vec<Item>, String>;

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

    /// Of settings alone, where there is no line.
    pub fn of_settings(server: Server, items: Vec<Item>) -> Self {
        let mut made = Made::default();
        made.add(items);
        made.command(server, vec![Word::plain("lowmem-serve")])
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
    let mut command = made.command(server, program);
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

/// The options and the positional arguments of a command line.
fn items(server: Server, words: &[Word]) -> Vec<Item> {
    let mut items = Vec::new();
    let mut words = words.iter();
    while let Some(Word::Plain { text, expands }) = words.next() {
        if !text.starts_with('-') || text.len() == 1 {
            let is_flags = *expands && text.starts_with('$');
            let effects = match is_flags {
                true => unknown("may hold flags of that server: migrate what is in it, too"),
                false => server.positional(text),
            };
            items.push(Item {
                about: text.clone(),
                effects,
                expands: *expands,
            });
            continue;
        }
        let (name, value) = named(server, text);
        let Some(option) = server.option(name) else {
            let effects = unknown(&format!(
                "is no option of {} that is known here",
                server.name()
            ));
            items.push(Item {
                about: text.clone(),
                effects,
                expands: false,
            });
            continue;
        };
        let (value, expands) = match (option.takes, value) {
            (Takes::Nothing, value) => (value.unwrap_or_default().to_owned(), false),
            (Takes::Value, Some(value)) => (value.to_owned(), *expands),
            (Takes::Value, None) => match words.next() {
                Some(Word::Plain { text, expands }) => (text.clone(), *expands),
                _ => (String::new(), false),
            },
        };
        let about = match (value.as_str(), option.takes) {
            ("", _) | (_, Takes::Nothing) => name.to_owned(),
            (value, Takes::Value) => format!("{name} {value}"),
        };
        items.push(Item {
            about,
            effects: option.effects(&value),
            expands,
        });
    }
    items
}

/// `--name=value`, or `-w4`.
pub(super) fn named(server: Server, text: &str) -> (&str, Option<&str>) {
    if let Some((name, value)) = text.split_once('=').filter(|_| text.starts_with("--")) {
        return (name, Some(value));
    }
    let is_joined = !text.starts_with("--") && text.is_char_boundary(2) && text.len() > 2;
    if is_joined && server.option(text).is_none() {
        let (name, value) = text.split_at(2);
        if server
            .option(name)
            .is_some_and(|option| option.takes == Takes::Value)
        {
            return (name, Some(value.strip_prefix('=').unwrap_or(value)));
        }
    }
    (text, None)
}

fn unknown(why: &str) -> Vec<Effect> {
    vec![Effect::Note(Weight::Missing, why.to_owned())]
}

/// The results so far.
#[derive(Default)]
struct Made {
    notes: Vec<Note>,
    variables: Vec<String>,
    verb: Option<&'static str>,
    application: Option<String>,
    callable: Option<String>,
    flags: Vec<(&'static str, Option<String>, bool)>,
    directories: Vec<String>,
    paths: Vec<String>,
    metrics: Option<(Option<String>, Option<String>)>,
    passed: Vec<Word>,
}

impl Made {
    /// Adds the options, after those of the files that they name; what is typed wins.
    fn add_with_files(&mut self, server: Server, typed: Vec<Item>, read: ReadSettings<'_>) {
        let mut own = Vec::new();
        let mut files = Vec::new();
        for mut item in typed {
            let is_file = |effect: &Effect| matches!(effect, Effect::SettingsFile(_));
            let named: Vec<_> = item
                .effects
                .extract_if(.., |effect| is_file(effect))
                .collect();
            for effect in named {
                if let Effect::SettingsFile(file) = effect {
                    files.extend(self.read(server, &item.about, &file, read));
                }
            }
            own.push(item);
        }
        for effect in own.iter().flat_map(|item| &item.effects) {
            if let Effect::Flag(typed, _) = effect {
                let is_typed = |e: &mut Effect| matches!(e, Effect::Flag(name, _) if name == typed);
                files.iter_mut().for_each(|item| {
                    item.effects.extract_if(.., is_typed).for_each(drop);
                });
            }
        }
        self.add(files);
        self.add(own);
    }

    fn read(
        &mut self,
        server: Server,
        about: &str,
        file: &str,
        read: ReadSettings<'_>,
    ) -> Vec<Item> {
        read(server, file).unwrap_or_else(|why| {
            self.note(about, Weight::Missing, why);
            Vec::new()
        })
    }

    fn note(&mut self, about: &str, weight: Weight, why: String) {
        let about = about.to_owned();
        self.notes.push(Note { about, weight, why });
    }

    fn add(&mut self, items: Vec<Item>) {
        for Item {
            about,
            effects,
            expands,
        } in items
        {
            for effect in effects {
                self.take(&about, effect, expands);
            }
        }
    }

    fn take(&mut self, about: &str, effect: Effect, expands: bool) {
        match effect {
            Effect::Flag(verb @ ("run" | "dev"), _) => self.verb = Some(verb),
            Effect::Flag(name, value) => self.flags.push((name, value, expands)),
            Effect::Variable(text) => self.variables.push(text),
            Effect::Application(name) => self.application = Some(name),
            Effect::Callable(name) => self.callable = Some(name),
            Effect::StaticDirectory(directory) => self.directories.push(directory),
            Effect::StaticPath(path) => self.paths.push(path),
            Effect::Metrics => self.metrics = Some(self.metrics.take().unwrap_or_default()),
            Effect::MetricsHost(host) => self.metrics.get_or_insert_default().0 = Some(host),
            Effect::MetricsPort(port) => self.metrics.get_or_insert_default().1 = Some(port),
            Effect::SettingsFile(file) => {
                let why = format!("{file} is not read from within a file: migrate it, too");
                self.note(about, Weight::Missing, why);
            }
            Effect::Note(weight, why) => self.note(about, weight, why),
        }
    }

    fn command(mut self, server: Server, program: Vec<Word>) -> Command {
        self.finish(server);
        let word = |text: String, expands: bool| Word::Plain {
            expands: expands && text.contains('$'),
            text,
        };
        let mut arguments: Vec<Word> = self.verb.into_iter().map(Word::plain).collect();
        arguments.extend(self.application.map(Word::plain));
        for (name, value, expands) in self.flags {
            arguments.push(Word::plain(name));
            arguments.extend(value.map(|value| word(value, expands)));
        }
        arguments.append(&mut self.passed);
        Command {
            server,
            notes: self.notes,
            before: Vec::new(),
            variables: self.variables,
            program,
            arguments,
            after: Vec::new(),
            is_wrapped: false,
        }
    }

    /// The meaning of several options together, and of those that were not given.
    fn finish(&mut self, server: Server) {
        let mut paths = std::mem::take(&mut self.paths).into_iter();
        for directory in std::mem::take(&mut self.directories) {
            let path = paths.next().unwrap_or_else(|| "/static".to_owned());
            self.flags
                .push(("--static", Some(format!("{path}={directory}")), true));
        }
        if let Some((host, port)) = self.metrics.take() {
            let host = host.unwrap_or_else(|| METRICS.0.to_owned());
            let port = port.unwrap_or_else(|| METRICS.1.to_owned());
            self.flags
                .push(("--status-bind", Some(format!("{host}:{port}")), true));
        }
        if let Some(name) = self.application.as_mut() {
            let has_attribute = name.contains(':');
            if let Some(callable) = self.callable.take() {
                let module = name.split(':').next().unwrap_or_default();
                *name = format!("{module}:{callable}");
            } else if server == Server::Uwsgi && !has_attribute {
                name.push_str(":application");
            }
        }
        if server == Server::Uvicorn {
            return;
        }
        let said: Vec<_> = self
            .flags
            .iter()
            .map(|(name, value, _)| Effect::Flag(name, value.clone()))
            .collect();
        for effect in server.unasked(&said) {
            self.take("", effect, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
