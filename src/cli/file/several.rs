//! Several applications: `[apps.NAME]`, in the settings file or in those that it includes.
//!
//! An included file is one application, named as the file, or has tables `[apps.NAME]` itself. What
//! is wrong with one keeps the others from nothing: it is told, and they are served.

use std::fs;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::{Entry, check, jobs, line};

/// The table that holds the tables of applications.
const APPLICATIONS: &str = "apps";

/// Which other files there are.
const INCLUDE: &str = "include";

/// A table of variables.
const VARIABLES: &str = "env";

/// Names are parts of log lines, of process titles and of commands.
const LONGEST_NAME: usize = 32;

/// The applications of a settings file.
#[derive(Debug, Default)]
pub(in crate::cli) struct Several {
    pub tables: Vec<Table>,
    /// Patterns of other files, absolute.
    pub include: Vec<PathBuf>,
    /// The mistakes in included files, a line for each.
    pub wrong: Vec<String>,
}

/// One application.
#[derive(Debug)]
pub(in crate::cli) struct Table {
    pub name: String,
    /// `fleet.toml:12`
    pub place: String,
    /// The directory of its file, where relative paths begin.
    pub base: PathBuf,
    /// It is in a file of its own, or of several, that another one includes.
    pub is_included: bool,
    pub entries: Vec<Entry>,
    /// Variables of its environment.
    pub variables: Vec<(String, String)>,
}

/// A file that is being read: its text, and what has been found wrong with it.
struct Reading<'a> {
    path: &'a Path,
    text: &'a str,
    wrong: Vec<(usize, String)>,
}

/// Whether a table has to do with several applications.
pub(super) fn is_about_several(table: &DeTable<'_>) -> bool {
    is_one_of_ours(table, APPLICATIONS) || is_one_of_ours(table, INCLUDE)
}

fn is_one_of_ours(table: &DeTable<'_>, name: &str) -> bool {
    table.get(name).is_some()
}

/// Whether a key of the whole file is read here.
pub(super) fn reads(key: &str) -> bool {
    key == APPLICATIONS || key == INCLUDE
}

/// Reads the tables and the files that the table includes; mistakes in the file itself go to `wrong`.
pub(super) fn read(
    path: &Path,
    text: &str,
    table: &DeTable<'_>,
    wrong: &mut Vec<(usize, String)>,
) -> Several {
    let base = directory(path);
    let mut reading = Reading {
        path,
        text,
        wrong: Vec::new(),
    };
    let mut several = Several {
        include: reading.patterns(table, &base),
        tables: reading.tables(table, &base, false),
        wrong: Vec::new(),
    };
    wrong.append(&mut reading.wrong);
    for pattern in several.include.clone() {
        for file in matching(&pattern) {
            if file != *path {
                several.add_file(&file);
            }
        }
    }
    several
}

/// Where a file is, absolute.
fn directory(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.parent().map(Path::to_owned).unwrap_or_default()
}

/// The files that a pattern matches, in order.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let found = glob::glob(&pattern.to_string_lossy());
    let found = found.into_iter().flatten().filter_map(Result::ok);
    found.filter(|path| path.is_file()).collect()
}

impl Several {
    fn add_file(&mut self, path: &Path) {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            // It has gone since it was listed.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            Err(error) => return self.wrong.push(format!("{}: {error}", path.display())),
        };
        let mut reading = Reading {
            path,
            text: &text,
            wrong: Vec::new(),
        };
        let tables = reading.included();
        if reading.wrong.is_empty() {
            for table in tables {
                self.add(table);
            }
        } else {
            self.wrong.extend(reading.lines());
        }
    }

    fn add(&mut self, table: Table) {
        match self.tables.iter().find(|other| other.name == table.name) {
            Some(other) => self.wrong.push(format!(
                "{}: there is an application {} already, in {}",
                table.place, table.name, other.place
            )),
            None => self.tables.push(table),
        }
    }
}

impl Reading<'_> {
    fn place(&self, at: usize) -> String {
        format!("{}:{}", self.path.display(), line(self.text, at))
    }

    fn lines(mut self) -> Vec<String> {
        let mut wrong = std::mem::take(&mut self.wrong);
        wrong.sort();
        let told = wrong.iter();
        told.map(|(at, why)| format!("{}: {why}", self.place(*at)))
            .collect()
    }

    fn patterns(&mut self, table: &DeTable<'_>, base: &Path) -> Vec<PathBuf> {
        let Some((key, value)) = table.get_key_value(INCLUDE) else {
            return Vec::new();
        };
        let at = key.span().start;
        let values = match value.get_ref() {
            DeValue::Array(values) => values,
            _ => {
                let why = "include wants a list of strings, like [\"apps/*.toml\"]";
                self.wrong.push((at, why.to_owned()));
                return Vec::new();
            }
        };
        let mut patterns = Vec::new();
        for value in values {
            let text = value.get_ref().as_str().unwrap_or_default();
            match glob::Pattern::new(text) {
                Ok(_) if !text.is_empty() => patterns.push(base.join(text)),
                Ok(_) => {
                    let why = "include wants a list of strings";
                    self.wrong.push((value.span().start, why.to_owned()));
                }
                Err(error) => {
                    let why = format!("include {text:?}: {error}");
                    self.wrong.push((value.span().start, why));
                }
            }
        }
        patterns
    }

    /// The applications in `[apps.NAME]`.
    fn tables(&mut self, table: &DeTable<'_>, base: &Path, is_included: bool) -> Vec<Table> {
        let Some((key, value)) = table.get_key_value(APPLICATIONS) else {
            return Vec::new();
        };
        let Some(applications) = value.get_ref().as_table() else {
            let why = "apps wants tables: [apps.NAME]".to_owned();
            self.wrong.push((key.span().start, why));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (name, value) in applications {
            let at = name.span().start;
            match value.get_ref().as_table() {
                Some(own) => {
                    let name = name.get_ref();
                    tables.extend(self.table(name, at, own, base, is_included));
                }
                None => {
                    let why = format!("apps.{} wants a table", name.get_ref());
                    self.wrong.push((at, why));
                }
            }
        }
        tables
    }

    /// The applications of an included file.
    fn included(&mut self) -> Vec<Table> {
        let root = match DeTable::parse(self.text) {
            Ok(root) => root,
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                self.wrong.push((at, error.message().to_owned()));
                return Vec::new();
            }
        };
        let base = directory(self.path);
        let root = root.get_ref();
        if !is_one_of_ours(root, APPLICATIONS) {
            let name = self.path.file_stem().unwrap_or_default().to_string_lossy();
            return self
                .table(&name, 0, root, &base, true)
                .into_iter()
                .collect();
        }
        for (key, _) in root {
            if key.get_ref() != APPLICATIONS {
                let why = format!(
                    "{} is outside of [apps.NAME]; what holds for all stands in the file that \
                     includes this one",
                    key.get_ref()
                );
                self.wrong.push((key.span().start, why));
            }
        }
        self.tables(root, &base, true)
    }

    fn table(
        &mut self,
        name: &str,
        at: usize,
        table: &DeTable<'_>,
        base: &Path,
        is_included: bool,
    ) -> Option<Table> {
        if !is_name(name) {
            let why = format!(
                "{name:?} is no name for an application: letters, digits, - and _, at most \
                 {LONGEST_NAME}"
            );
            self.wrong.push((at, why));
            return None;
        }
        let mut own = Table {
            name: name.to_owned(),
            place: self.place(at),
            base: base.to_owned(),
            is_included,
            entries: Vec::new(),
            variables: Vec::new(),
        };
        for (key, value) in table {
            let at = key.span().start;
            if key.get_ref() == VARIABLES {
                own.variables = self.variables(value.get_ref(), at);
                continue;
            }
            let inner = value.get_ref().as_table();
            if let Some(inner) = inner.filter(|_| jobs::is_ours(key.get_ref())) {
                match jobs::entries(key.get_ref(), inner, at, &|at| self.place(at)) {
                    Ok(entries) => own.entries.extend(entries),
                    Err(wrong) => self.wrong.extend(wrong),
                }
                continue;
            }
            match check::entry(check::Whose::Application, key.get_ref(), value.get_ref()) {
                Ok((id, values)) => own.entries.push(Entry {
                    id,
                    values,
                    place: self.place(at),
                }),
                Err(why) => self.wrong.push((at, why)),
            }
        }
        Some(own)
    }

    fn variables(&mut self, value: &DeValue<'_>, at: usize) -> Vec<(String, String)> {
        let Some(table) = value.as_table() else {
            let why = "env wants a table of strings, like { MODE = \"live\" }".to_owned();
            self.wrong.push((at, why));
            return Vec::new();
        };
        let mut variables = Vec::new();
        for (name, value) in table {
            let at = name.span().start;
            let name = name.get_ref();
            match value.get_ref().as_str() {
                Some(_) if name.is_empty() || name.contains(['=', '\0']) => {
                    self.wrong.push((at, format!("env: {name:?} is no name")));
                }
                Some(text) if text.contains('\0') => {
                    self.wrong.push((at, format!("env: {name} has a NUL")));
                }
                Some(text) => variables.push((name.clone().into_owned(), text.to_owned())),
                None => self.wrong.push((at, format!("env: {name} wants a string"))),
            }
        }
        variables
    }
}

fn is_name(name: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    (1..=LONGEST_NAME).contains(&name.len())
        && name.chars().all(is_allowed)
        && !name.starts_with('-')
}
