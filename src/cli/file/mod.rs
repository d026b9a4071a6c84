//! The settings file: what was typed once, for every start.
//!
//! `lowmem-serve.toml`, or the table `tool.lowmem-serve` of a `pyproject.toml`, both in the working
//! directory only: a server that obeyed a file further up would do other things in a checkout than
//! in its image. Its settings become the options' default values, so that the environment and the
//! command line win over them.

mod caches;
mod check;
mod jobs;
mod several;

use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::Command;
use toml::de::DeTable;

use self::check::Whose;

pub(super) use check::unknown;
pub(super) use several::{Several, Table};

/// The names, best first.
pub const NAMES: [&str; 2] = ["lowmem-serve.toml", PROJECT];

/// Of an application its own places, and before the tables of several those that they share.
const BIND: &str = "bind";

/// A file that belongs to others, too.
const PROJECT: &str = "pyproject.toml";

/// Where in it ours is.
const TABLE: [&str; 2] = ["tool", "lowmem-serve"];

/// A settings file whose settings are possible.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    entries: Vec<Entry>,
    /// The applications, where there are several.
    several: Option<Several>,
}

/// One setting.
#[derive(Debug)]
pub(super) struct Entry {
    /// The option's id.
    pub id: String,
    /// As they would have been typed.
    pub values: Vec<String>,
    /// `lowmem-serve.toml:3`
    pub place: String,
}

/// The file that was named, else the one in the working directory, if there is one. An error is all
/// that is wrong with it, a line for each.
pub(super) fn find(named: Option<&Path>, directory: &Path) -> Result<Option<File>, String> {
    if let Some(path) = named {
        if path.extension().is_some_and(|end| end == "py") {
            return Err(format!(
                "--config {0}: a settings file is in TOML; lowmem-serve migrate --settings {0} writes one",
                path.display()
            ));
        }
        let text = fs::read_to_string(directory.join(path));
        let text = text.map_err(|error| format!("--config {}: {error}", path.display()))?;
        return match read(path, &text)? {
            Some(file) => Ok(Some(file)),
            None => Err(format!(
                "{} has no table [{}]",
                path.display(),
                TABLE.join(".")
            )),
        };
    }
    for name in NAMES {
        let text = match fs::read_to_string(directory.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            // Nothing says that the file of others is meant for us.
            Err(_) if name == PROJECT => continue,
            Err(error) => return Err(format!("{name}: {error}")),
            Ok(text) => text,
        };
        if name == PROJECT && !text.contains(TABLE[1]) {
            continue;
        }
        if let Some(file) = read(Path::new(name), &text)? {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

/// Reads a file's text; none if it is a project's that says nothing to us.
pub(super) fn read(path: &Path, text: &str) -> Result<Option<File>, String> {
    let place = |at: usize| format!("{}:{}", path.display(), line(text, at));
    let root = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        format!("{}: {}", place(at), error.message())
    })?;
    let mut table = root.get_ref();
    if path.file_name().is_some_and(|name| name == PROJECT) {
        for name in TABLE {
            let inner = table.get(name).and_then(|value| value.get_ref().as_table());
            match inner {
                Some(inner) => table = inner,
                None => return Ok(None),
            }
        }
    }
    let mut entries = Vec::new();
    let mut wrong = Vec::new();
    let is_several = several::is_about_several(table);
    let whose = if is_several { Whose::All } else { Whose::Alone };
    for (key, value) in table {
        let (name, at) = (key.get_ref().as_ref(), key.span().start);
        if several::reads(name) {
            continue;
        }
        let own = match value.get_ref().as_table() {
            Some(inner) if jobs::is_ours(name) => Some(jobs::entries(name, inner, at, &place)),
            Some(inner) if caches::is_ours(name) => Some(caches::entries(inner, at, &place)),
            _ => None,
        };
        if let Some(own) = own {
            match own {
                Ok(own) => entries.extend(own),
                Err(own) => wrong.extend(own),
            }
            continue;
        }
        match check::entry(whose, key.get_ref(), value.get_ref()) {
            Ok((id, values)) => entries.push(Entry {
                id,
                values,
                place: place(key.span().start),
            }),
            Err(why) => wrong.push((key.span().start, why)),
        }
    }
    let several = is_several.then(|| several::read(path, text, table, &mut wrong));
    if wrong.is_empty() {
        return Ok(Some(File {
            path: path.to_owned(),
            entries,
            several,
        }));
    }
    wrong.sort();
    let lines = wrong
        .iter()
        .map(|(at, why)| format!("{}: {why}", place(*at)));
    Err(lines.collect::<Vec<_>>().join("\n"))
}

/// The number of the line that a byte is on, from 1.
fn line(text: &str, at: usize) -> usize {
    let before = &text.as_bytes()[..at.min(text.len())];
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

impl File {
    /// Makes the settings the default values of the options, those of the subcommands too.
    pub(super) fn apply(&self, command: Command) -> Command {
        let command = with_defaults(command, &self.entries);
        command.mut_subcommands(|command| self.apply(command))
    }

    /// The same for an application of several: the places before the tables are those that they share.
    pub(super) fn apply_to_all(&self, command: Command) -> Command {
        let others = self.entries.iter().filter(|entry| entry.id != BIND);
        with_defaults(command, others)
    }

    /// `bind` before the tables, and where it is set.
    pub(super) fn shared_places(&self) -> Option<(Vec<String>, String)> {
        let entry = self.entry(BIND).filter(|entry| !entry.values.is_empty())?;
        Some((entry.values.clone(), entry.place.clone()))
    }

    /// The applications, where the file has several.
    pub(super) fn several(&self) -> Option<&Several> {
        self.several.as_ref()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// `lowmem-serve.toml:3`, where an option is set.
    pub(super) fn place(&self, id: &str) -> Option<String> {
        Some(self.entry(id)?.place.clone())
    }

    fn entry(&self, id: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.id == id)
    }
}

impl Table {
    /// As [`File::apply`], with this application's settings.
    pub(super) fn apply(&self, command: Command) -> Command {
        with_defaults(command, &self.entries)
    }
}

fn with_defaults<'a>(
    command: Command,
    entries: impl IntoIterator<Item = &'a Entry> + Clone,
) -> Command {
    command.mut_args(|arg| {
        let entry = entries
            .clone()
            .into_iter()
            .find(|entry| arg.get_id() == &entry.id);
        match entry {
            // Of a list that is there and empty nothing is left to say.
            Some(entry) if !entry.values.is_empty() => arg.default_values(entry.values.clone()),
            _ => arg,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        read(Path::new("lowmem-serve.toml"), text).unwrap_err()
    }

    fn values(text: &str, id: &str) -> Vec<String> {
        let file = read(Path::new("lowmem-serve.toml"), text).unwrap().unwrap();
        file.entry(id).unwrap().values.clone()
    }

    #[test]
    fn names_may_have_underscores() {
        assert_eq!(values("log_level = 'debug'", "log_level"), ["debug"]);
        assert_eq!(values("log-level = 'debug'", "log_level"), ["debug"]);
        assert_eq!(values("limit-max-requests = 7", "max_requests"), ["7"]);
    }

    #[test]
    fn each_sort_of_value_is_written_as_toml_has_it() {
        assert_eq!(values("app = 'a:b'", "app"), ["a:b"]);
        assert_eq!(values("factory = true", "factory"), ["true"]);
        assert_eq!(
            values("timeout-keep-alive = 2.5", "timeout_keep_alive"),
            ["2.5"]
        );
        assert_eq!(
            values("header = ['a: b', 'c:d']", "headers"),
            ["a: b", "c:d"]
        );
        assert_eq!(values("uds-mode = 0o660", "uds_mode"), ["660"]);
        assert_eq!(values("uds-mode = '660'", "uds_mode"), ["660"]);
        assert_eq!(values("header = 'a:b'", "headers"), ["a:b"]);
    }

    #[test]
    fn all_mistakes_are_told_with_their_lines() {
        let text =
            "prot = 80\n\nport = 'eighty'\nfactory = 'yes'\nttl = '6 weeks'\nlog-level = 'loud'\n";
        let wrong = wrong(text);
        let lines: Vec<&str> = wrong.lines().collect();
        assert_eq!(lines.len(), 5, "{wrong}");
        for (line, part) in lines.iter().zip([
            "lowmem-serve.toml:1: there is no setting prot; did you mean port?",
            "lowmem-serve.toml:3: port wants a whole number, not a string",
            "lowmem-serve.toml:4: factory wants true or false, not a string",
            "lowmem-serve.toml:5: ttl = \"6 weeks\": not a time like",
            "lowmem-serve.toml:6: log-level = \"loud\": the choices are critical, error,",
        ]) {
            assert!(line.starts_with(part), "{line}");
        }
    }

    #[test]
    fn what_is_no_toml_is_told_with_its_line() {
        assert!(wrong("port = 80\nhost = \n").starts_with("lowmem-serve.toml:2: "));
    }

    #[test]
    fn a_negation_is_no_setting_and_says_what_to_write() {
        let wrong = wrong("no-access-log = true");
        assert!(wrong.ends_with("write access-log = false"), "{wrong}");
    }

    #[test]
    fn a_project_without_our_table_says_nothing() {
        let path = Path::new("pyproject.toml");
        assert!(read(path, "[project]\nname = 'x'\n").unwrap().is_none());
        let ours = "[project]\nname = 'x'\n[tool.lowmem-serve]\nport = 81\n";
        let file = read(path, ours).unwrap().unwrap();
        assert_eq!(file.place("port").unwrap(), "pyproject.toml:4");
    }
}
