//! The options of one command line of another server, one by one.

use super::effect::{Effect, Weight};
use super::servers::{Server, Takes};
use super::words::Word;

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

/// The options and the positional arguments of a command line.
pub(super) fn items(server: Server, words: &[Word]) -> Vec<Item> {
    let mut items = Vec::new();
    let mut words = words.iter();
    while let Some(Word::Plain { text, expands }) = words.next() {
        if !text.starts_with('-') || text.len() == 1 {
            // `$MODULE:app` and `${APP:-main:app}` are an application.
            let is_name = text.replace(":-", "").contains(':');
            let is_flags = *expands && text.starts_with('$') && !is_name;
            let effects = match is_flags {
                true => unknown("may hold flags of that server: migrate its contents, too"),
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
