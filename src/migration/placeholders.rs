//! Placeholders in uWSGI's settings files: `%(name)` stands for the value of an earlier line, whose name need be no
//! setting's.

use std::collections::BTreeMap;

use super::servers::Server;

/// A line of a settings file.
#[derive(Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// The value as it was written.
    pub written: String,
    /// The value in effect; none where it has a placeholder that only uWSGI can fill in.
    pub value: Option<String>,
}

/// Names that define a placeholder: `set-ph = site=shop`.
const DEFINITIONS: [&str; 3] = ["set", "set-ph", "set-placeholder"];

/// The settings of a file, without the lines that are there for placeholders only.
pub fn settings(server: Server, pairs: &[(String, String)]) -> Vec<Setting> {
    let all = |(name, written): &(String, String)| Setting {
        name: name.clone(),
        written: written.clone(),
        value: Some(written.clone()),
    };
    if server != Server::Uwsgi {
        return pairs.iter().map(all).collect();
    }
    let mut known = BTreeMap::new();
    let mut settings = Vec::new();
    for pair in pairs {
        let mut setting = all(pair);
        setting.value = filled(&setting.written, &known);
        let definition = DEFINITIONS.contains(&setting.name.as_str());
        let (name, value) = match setting.value.as_deref().and_then(|v| v.split_once('=')) {
            Some((name, value)) if definition => (name.to_owned(), Some(value.to_owned())),
            _ => (setting.name.clone(), setting.value.clone()),
        };
        if let Some(value) = value {
            known.insert(name, value);
        }
        let is_used = || {
            let used = format!("%({})", setting.name);
            pairs.iter().any(|(_, value)| value.contains(&used))
        };
        if !definition && (server.has_setting(&setting.name) || !is_used()) {
            settings.push(setting);
        }
    }
    settings
}

/// A value with what its placeholders stand for; none where one is left.
fn filled(written: &str, known: &BTreeMap<String, String>) -> Option<String> {
    let mut text = String::new();
    let mut rest = written;
    while let Some((before, after)) = rest.split_once("%(") {
        let (name, after) = after.split_once(')')?;
        text += before;
        text += known.get(name)?;
        rest = after;
    }
    text += rest;
    // `$(NAME)` is a variable, `%d` the file's directory, and there are as many of these as there are letters.
    let is_magic = |(_, after): (&str, &str)| after.starts_with(char::is_alphabetic);
    let is_left = text.contains("$(") || text.split_once('%').is_some_and(is_magic);
    (!is_left).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let lines = text.lines().filter_map(|line| line.split_once(" = "));
        lines.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    fn read(text: &str) -> Vec<(String, Option<String>)> {
        let all = settings(Server::Uwsgi, &pairs(text)).into_iter();
        all.map(|setting| (setting.name, setting.value)).collect()
    }

    #[test]
    fn earlier_lines_fill_placeholders_and_those_that_are_no_settings_are_gone() {
        let text = "project = shop\nset-ph = base=/srv\nchdir = %(base)/%(project)\nhome = %(chdir)/venv\nother = 1";
        let wanted = [
            ("chdir", "/srv/shop"),
            ("home", "/srv/shop/venv"),
            ("other", "1"),
        ];
        let wanted = wanted.map(|(name, value)| (name.to_owned(), Some(value.to_owned())));
        assert_eq!(read(text), wanted);
    }

    #[test]
    fn what_only_uwsgi_knows_is_left() {
        for value in ["%(later)/x", "$(HOME)/x", "%d/x", "%(unfinished"] {
            let wanted = [("chdir".to_owned(), None)];
            assert_eq!(read(&format!("chdir = {value}")), wanted, "{value}");
        }
        assert_eq!(
            read("chdir = /100%/x"),
            [("chdir".to_owned(), Some("/100%/x".to_owned()))]
        );
    }

    #[test]
    fn other_servers_files_have_none() {
        let read = settings(Server::Hypercorn, &pairs("root_path = %(x)"));
        assert_eq!(read[0].value.as_deref(), Some("%(x)"));
    }
}
