//! What several options of another server come to together, in this server's words.

use super::effect::{Effect, Note, Weight};
use super::items::{Item, ReadSettings};
use super::servers::Server;
use super::words::Word;

/// Where metrics are by default, with Granian.
const METRICS: (&str, &str) = ("127.0.0.1", "9090");

/// The results so far.
#[derive(Default)]
pub(super) struct Made {
    notes: Vec<Note>,
    variables: Vec<String>,
    verb: Option<&'static str>,
    application: Option<String>,
    callable: Option<String>,
    flags: Vec<(&'static str, Option<String>, bool)>,
    directories: Vec<String>,
    paths: Vec<String>,
    metrics: Option<(Option<String>, Option<String>)>,
    /// Words of a server whose options are this one's.
    pub(super) passed: Vec<Word>,
}

/// The words of this server's command line, and the remarks about them.
pub(super) struct Written {
    pub notes: Vec<Note>,
    pub variables: Vec<String>,
    pub arguments: Vec<Word>,
}

impl Made {
    /// Adds the options, after those of the files that they name; what is typed wins.
    pub(super) fn add_with_files(
        &mut self,
        server: Server,
        typed: Vec<Item>,
        read: ReadSettings<'_>,
    ) {
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

    pub(super) fn add(&mut self, items: Vec<Item>) {
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

    /// The words that all of it comes to.
    pub(super) fn written(mut self, server: Server) -> Written {
        self.finish(server);
        let word = |text: String, expands: bool| Word::Plain {
            expands: expands && text.contains('$'),
            text,
        };
        let mut arguments: Vec<Word> = self.verb.into_iter().map(Word::plain).collect();
        // A name has no `$` of its own.
        arguments.extend(self.application.map(|name| word(name, true)));
        for (name, value, expands) in self.flags {
            arguments.push(Word::plain(name));
            arguments.extend(value.map(|value| word(value, expands)));
        }
        arguments.append(&mut self.passed);
        Written {
            notes: self.notes,
            variables: self.variables,
            arguments,
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
        let flags = self.flags.iter();
        let flags = flags.map(|(name, value, _)| Effect::Flag(name, value.clone()));
        let notes = self.notes.iter();
        let notes = notes.map(|note| Effect::Note(note.weight, note.why.clone()));
        let said: Vec<_> = flags.chain(notes).collect();
        for effect in server.unasked(&said) {
            self.take("", effect, false);
        }
    }
}
