//! Files in which servers are started or configured.

use toml::de::{DeTable, DeValue};

use super::servers::Server;
use super::words::{Word, split};

/// Something in a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// Where: `web` of a Procfile, `CMD`, `ExecStart`.
    pub place: String,
    /// What.
    pub content: Content,
}

/// The content of a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Content {
    /// A command line.
    Words(Vec<Word>),
    /// Names and values of a server's settings; a list has several of one name.
    Settings(Server, Vec<(String, String)>),
    /// The file is a program, whose variables are settings.
    Program(Server),
}

/// Reads a file by its name, or by what is in it.
///
/// # Errors
/// It has nothing that is known.
pub fn in_file(name: &str, text: &str) -> Result<Vec<Found>, String> {
    let file = name.rsplit('/').next().unwrap_or(name);
    let ends = |end: &str| file.ends_with(end);
    if ends(".py") {
        let server = match file.contains("hypercorn") {
            true => Server::Hypercorn,
            false => Server::Gunicorn,
        };
        return Ok(vec![Found {
            place: file.to_owned(),
            content: Content::Program(server),
        }]);
    }
    if ends(".toml") {
        return hypercorn(file, text);
    }
    let found = if file.starts_with("Procfile") {
        procfile(text)?
    } else if file.starts_with("Dockerfile")
        || file.starts_with("Containerfile")
        || ends(".Dockerfile")
    {
        dockerfile(text)?
    } else if ends(".service") {
        unit(text)?
    } else if ends(".yml") || ends(".yaml") {
        compose(text)?
    } else if text.lines().any(|line| line.trim_start().starts_with('[')) && !text.starts_with("#!")
    {
        ini(text)?
    } else {
        script(text)?
    };
    if found.is_empty() {
        return Err(format!(
            "{name}: no command line and no settings of another server were found; what is read: gunicorn.conf.py, \
             hypercorn.toml, uwsgi.ini, supervisord.conf, Procfile, Dockerfile, compose.yaml, NAME.service, shell scripts"
        ));
    }
    Ok(found)
}

fn words(place: &str, words: Vec<Word>) -> Found {
    Found {
        place: place.to_owned(),
        content: Content::Words(words),
    }
}

fn names_server(text: &str) -> bool {
    let mut parts = text.split(|c: char| !(c.is_alphanumeric() || "-_".contains(c)));
    parts.any(|part| Server::named(part).is_some())
}

fn procfile(text: &str) -> Result<Vec<Found>, String> {
    let entries = joined(text).into_iter().filter_map(|line| {
        let (name, command) = line.split_once(':')?;
        names_server(command).then(|| Ok(words(name.trim(), split(command)?)))
    });
    entries.collect()
}

/// The last ENTRYPOINT and CMD of a Dockerfile, with gunicorn's variable.
fn dockerfile(text: &str) -> Result<Vec<Found>, String> {
    let (mut entry, mut command, mut variable) = (Vec::new(), Vec::new(), None);
    let (mut place, mut is_script) = ("CMD", false);
    for line in joined(text) {
        let (instruction, rest) = line
            .trim()
            .split_once(char::is_whitespace)
            .unwrap_or((&line, ""));
        match instruction.to_ascii_uppercase().as_str() {
            "ENTRYPOINT" => {
                (entry, is_script) = (
                    instruction_words(rest)?,
                    !rest.trim_start().starts_with('['),
                );
                command.clear();
            }
            "CMD" => command = instruction_words(rest)?,
            "ENV" => {
                let words = split(rest)?;
                let found = words
                    .iter()
                    .filter_map(Word::text)
                    .find(|w| w.starts_with("GUNICORN_CMD_ARGS="));
                variable = found.map(str::to_owned).or(variable);
            }
            _ => {}
        }
    }
    if !entry.is_empty() {
        place = "ENTRYPOINT";
    }
    // A shell that is the entry point is not told the CMD.
    let all = match is_script {
        true => entry,
        false => [entry, command].concat(),
    };
    let text: Vec<_> = all.iter().filter_map(Word::text).collect();
    if !names_server(&text.join(" ")) {
        return Ok(Vec::new());
    }
    let variable = variable.into_iter().map(Word::plain);
    Ok(vec![words(place, variable.chain(all).collect())])
}

/// `["gunicorn", "app:app"]`, or a line for a shell.
fn instruction_words(text: &str) -> Result<Vec<Word>, String> {
    match serde_json::from_str::<Vec<String>>(text.trim()) {
        Ok(list) => Ok(list.into_iter().map(Word::plain).collect()),
        Err(_) => split(text),
    }
}

/// ExecStart of a unit of systemd's.
fn unit(text: &str) -> Result<Vec<Found>, String> {
    let (mut found, mut variable) = (Vec::new(), None);
    for line in joined(text) {
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        match key.trim() {
            "Environment" => {
                let words = split(value)?;
                let own = words
                    .iter()
                    .filter_map(Word::text)
                    .find(|w| w.starts_with("GUNICORN_CMD_ARGS="));
                variable = own.map(str::to_owned).or(variable);
            }
            "ExecStart" if names_server(value) => {
                let command = value
                    .trim_start()
                    .trim_start_matches(['-', '@', ':', '+', '!']);
                found.push(split(command)?);
            }
            _ => {}
        }
    }
    let with_variable = |command: Vec<Word>| {
        variable
            .clone()
            .into_iter()
            .map(Word::plain)
            .chain(command)
            .collect()
    };
    Ok(found
        .into_iter()
        .map(|command| words("ExecStart", with_variable(command)))
        .collect())
}

/// `command:` and `entrypoint:` of a Compose file, in the forms that people write.
fn compose(text: &str) -> Result<Vec<Found>, String> {
    let mut found = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let indent = line.len() - line.trim_start().len();
        let entry = line.trim().split_once(':');
        let Some((place @ ("command" | "entrypoint"), value)) = entry else {
            continue;
        };
        let mut inner = Vec::new();
        while let Some(next) =
            lines.next_if(|n| n.len() - n.trim_start().len() > indent && !n.trim().is_empty())
        {
            inner.push(next.trim());
        }
        let value = value.trim();
        let all = if value.starts_with('[') {
            instruction_words(value)?
        } else if inner.iter().any(|line| line.starts_with("- ")) {
            let items = inner
                .iter()
                .map(|line| line.trim_start_matches("- ").trim_matches(['"', '\'']));
            items.map(Word::plain).collect()
        } else {
            let start = value.trim_start_matches(['>', '|', '-']);
            split(&format!("{start} {}", inner.join(" ")))?
        };
        let text: Vec<_> = all.iter().filter_map(Word::text).collect();
        if names_server(&text.join(" ")) {
            // A line that is quoted as a whole is a command line again.
            let all = match all.as_slice() {
                [Word::Plain { text, .. }] => split(text)?,
                _ => all,
            };
            found.push(words(place, all));
        }
    }
    Ok(found)
}

/// `[uwsgi]`, or `command` of supervisord's programs.
fn ini(text: &str) -> Result<Vec<Found>, String> {
    let (mut section, mut settings, mut found) = (String::new(), Vec::new(), Vec::new());
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|line| line.split(']').next())
        {
            name.clone_into(&mut section);
            continue;
        }
        let (key, value) = line
            .split_once('=')
            .map_or((line, "true"), |(k, v)| (k.trim(), v.trim()));
        if section == "uwsgi" {
            settings.push((key.to_owned(), value.to_owned()));
        } else if key == "command" && names_server(value) {
            found.push(words(&section, split(value)?));
        }
    }
    if !settings.is_empty() {
        let content = Content::Settings(Server::Uwsgi, settings);
        found.push(Found {
            place: "[uwsgi]".to_owned(),
            content,
        });
    }
    Ok(found)
}

fn hypercorn(file: &str, text: &str) -> Result<Vec<Found>, String> {
    let root = DeTable::parse(text).map_err(|error| format!("{file}: {}", error.message()))?;
    let mut settings = Vec::new();
    for (key, value) in root.get_ref() {
        let name = key.get_ref().to_string();
        match value.get_ref() {
            DeValue::Array(values) => {
                settings.extend(
                    values
                        .iter()
                        .map(|value| (name.clone(), scalar(value.get_ref()))),
                );
            }
            DeValue::Table(_) => {}
            value => settings.push((name, scalar(value))),
        }
    }
    if settings.is_empty() {
        return Err(format!("{file} has no settings of Hypercorn's"));
    }
    let content = Content::Settings(Server::Hypercorn, settings);
    Ok(vec![Found {
        place: file.to_owned(),
        content,
    }])
}

fn scalar(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(is) => is.to_string(),
        _ => String::new(),
    }
}

/// The lines of a shell script that start a server.
fn script(text: &str) -> Result<Vec<Found>, String> {
    let lines = joined(text)
        .into_iter()
        .filter(|line| !line.trim_start().starts_with('#'));
    let mut found = Vec::new();
    for line in lines.filter(|line| names_server(line)) {
        let all = split(&line)?;
        let has_arguments = all.len() > 1;
        let installs = all
            .first()
            .and_then(Word::text)
            .is_some_and(|w| w.starts_with("pip"));
        if has_arguments && !installs {
            found.push(words(&format!("`{}…`", first_words(&line)), all));
        }
    }
    Ok(found)
}

fn first_words(line: &str) -> String {
    line.split_whitespace()
        .take(2)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Lines, with those joined that end in a backslash.
fn joined(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = String::new();
    for line in text.lines() {
        match line.trim_end().strip_suffix('\\') {
            Some(part) => {
                open.push_str(part);
                open.push(' ');
            }
            None => lines.push(std::mem::take(&mut open) + line),
        }
    }
    lines.push(open);
    lines.retain(|line| !line.trim().is_empty());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(name: &str, text: &str) -> Vec<String> {
        let found = in_file(name, text).unwrap();
        let line = |found: &Found| match &found.content {
            Content::Words(words) => {
                let words: Vec<_> = words.iter().map(Word::written).collect();
                format!("{}: {}", found.place, words.join(" "))
            }
            content => format!("{}: {content:?}", found.place),
        };
        found.iter().map(line).collect()
    }

    #[test]
    fn commands_are_found_where_they_are() {
        for (name, text, line) in [
            (
                "Procfile",
                "web: gunicorn a:b\nworker: celery x\n",
                "web: gunicorn a:b",
            ),
            (
                "Dockerfile",
                "FROM x\nCMD [\"gunicorn\", \\\n \"a:b\"]\n",
                "CMD: gunicorn a:b",
            ),
            (
                "Dockerfile",
                "ENTRYPOINT [\"gunicorn\"]\nCMD [\"a:b\"]",
                "ENTRYPOINT: gunicorn a:b",
            ),
            (
                "a/Dockerfile.web",
                "CMD exec gunicorn -b :$PORT a:b",
                "CMD: exec gunicorn -b \":$PORT\" a:b",
            ),
            (
                "a.service",
                "[Service]\nExecStart=-/v/bin/gunicorn \\\n  a:b",
                "ExecStart: /v/bin/gunicorn a:b",
            ),
            (
                "compose.yaml",
                "services:\n  a:\n    command: gunicorn a:b\n",
                "command: gunicorn a:b",
            ),
            (
                "compose.yaml",
                "a:\n  command:\n    - gunicorn\n    - a:b\nb:\n",
                "command: gunicorn a:b",
            ),
            (
                "supervisord.conf",
                "[program:web]\ncommand=gunicorn a:b\n",
                "program:web: gunicorn a:b",
            ),
            (
                "start.sh",
                "#!/bin/sh\nset -e\nexec gunicorn \\\n a:b\n",
                "`exec gunicorn…`: exec gunicorn a:b",
            ),
        ] {
            assert_eq!(lines(name, text), [line], "{name}");
        }
    }

    #[test]
    fn settings_are_read_from_ini_and_toml() {
        let found = in_file("uwsgi.ini", "[uwsgi]\nhttp = :80\nmaster\n; x\n").unwrap();
        let pairs = vec![
            ("http".to_owned(), ":80".to_owned()),
            ("master".to_owned(), "true".to_owned()),
        ];
        assert_eq!(found[0].content, Content::Settings(Server::Uwsgi, pairs));
        let found = in_file("hypercorn.toml", "bind = [\"a:1\", \"b:2\"]\nworkers = 2\n").unwrap();
        let Content::Settings(Server::Hypercorn, pairs) = &found[0].content else {
            panic!("{found:?}");
        };
        assert_eq!(pairs.len(), 3);
    }

    #[test]
    fn a_file_without_a_server_is_told_what_is_read() {
        let why = in_file("Procfile", "web: node x.js\n").unwrap_err();
        assert!(why.contains("what is read: gunicorn.conf.py"), "{why}");
    }
}
