//! `lowmem-serve migrate`: command lines and files of other servers in this one's words.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use super::{refused, write};
use crate::cli::{self, Migrate, Origin, Setting};
use crate::environment::Search;
use crate::exit::Exit;
use crate::migration::{
    self, Command, Content, Effect, Item, Note, PythonSetting, Server, Weight, Word,
};
use crate::surroundings::Surroundings;

/// Writes the commands to stdout, and the remarks about them to stderr.
pub(super) fn run(asked: &Migrate, around: &Surroundings) -> Exit {
    let migrated = match commands(asked, around) {
        Ok(commands) => commands,
        Err(why) => {
            eprintln!("error: {why}");
            return Exit::Usage;
        }
    };
    let is_one = migrated.len() == 1;
    let mut text = String::new();
    for (place, mut command) in migrated {
        let typed = checked(&mut command);
        if let Some(place) = place.filter(|_| !is_one) {
            text += &format!("# {place}\n");
        }
        text += &match asked.settings {
            true => settings(typed.as_ref()),
            false => command.line() + "\n",
        };
        if typed.is_none() && asked.settings {
            return refused(&"the settings cannot be written as long as these are wrong");
        }
        tell(&command);
    }
    write(text.as_bytes())
}

type Migrated = Vec<(Option<String>, Command)>;

fn commands(asked: &Migrate, around: &Surroundings) -> Result<Migrated, String> {
    let read = |server: Server, file: &str| read(server, Path::new(file), asked, around);
    if let [one] = asked.what.as_slice() {
        let path = around.directory.join(one);
        if !path.is_file() {
            let command = migration::of_line(one, &read).map_err(|why| match one.trim() {
                word if word.is_empty() || word.contains(char::is_whitespace) => why,
                _ if path.is_dir() => format!("{one} is a directory; name a file in it"),
                _ => format!("{one} is no file here, and no command line: {why}"),
            })?;
            return Ok(vec![(None, command)]);
        }
        let text = fs::read_to_string(&path).map_err(|error| format!("{one}: {error}"))?;
        let found = migration::in_file(one, &text)?;
        let mut all = Vec::new();
        for each in found {
            let command = match each.content {
                Content::Words(words) => migration::of_words(words, &read)?,
                Content::Settings(server, pairs) => {
                    Command::of_settings(server, items(server, &pairs))
                }
                Content::Program(server) => Command::of_settings(server, read(server, one)?),
            };
            all.push((Some(each.place), command));
        }
        return Ok(all);
    }
    let words = asked.what.iter().map(Word::plain).collect();
    Ok(vec![(None, migration::of_words(words, &read)?)])
}

/// The settings of a file that a command line names.
fn read(
    server: Server,
    file: &Path,
    asked: &Migrate,
    around: &Surroundings,
) -> Result<Vec<Item>, String> {
    let path = around.directory.join(file);
    if file.extension().is_some_and(|end| end == "py") {
        let search = Search::from(asked.python.clone(), around);
        let python = search.find().map_err(|error| error.to_string())?.python;
        let set = migration::read_python(&python, &path, &around.directory)?;
        return Ok(set
            .into_iter()
            .filter_map(|setting| item(server, setting))
            .collect());
    }
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", file.display()))?;
    let found = migration::in_file(&file.to_string_lossy(), &text)?;
    let settings = found.into_iter().find_map(|found| match found.content {
        Content::Settings(of, pairs) if of == server => Some(items(server, &pairs)),
        _ => None,
    });
    settings.ok_or_else(|| format!("{} has no settings of {}", file.display(), server.name()))
}

/// Pairs of a settings file.
fn items(server: Server, pairs: &[(String, String)]) -> Vec<Item> {
    let one = |setting: migration::Setting| {
        let effects = match setting.value {
            Some(value) => server.of_setting(&setting.name, &value),
            None => {
                let why = "uWSGI puts a value in its place: write that";
                vec![Effect::Note(Weight::Missing, why.to_owned())]
            }
        };
        Item {
            about: format!("{} = {}", setting.name, setting.written),
            effects,
            expands: false,
        }
    };
    let settings = migration::settings(server, pairs).into_iter();
    settings.map(one).collect()
}

/// A variable of a program; none where it is no setting.
fn item(server: Server, setting: PythonSetting) -> Option<Item> {
    let about = setting.name.clone();
    let note = |why: String| vec![Effect::Note(Weight::Missing, why)];
    let mut effects = if server.has_hook(&setting.name) {
        note("a function that the server calls: lifespan and atexit are the places here (docs/gunicorn.md)".to_owned())
    } else if !server.has_setting(&setting.name) || setting.calls {
        return None;
    } else if let Some(kind) = setting.other {
        note(format!(
            "a {kind} cannot be a flag: see docs/configuration.md"
        ))
    } else {
        let values = setting.values.iter();
        values
            .flat_map(|value| server.of_setting(&setting.name, value))
            .collect()
    };
    if let Some(expression) = setting.computed {
        let why = format!(
            "it is computed, and came to {}: {expression}",
            setting.values.join(", ")
        );
        effects.push(Effect::Note(Weight::Different, why));
    }
    Some(Item {
        about,
        effects,
        expands: false,
    })
}

/// Reads the command as this server will; what it would refuse is one more note.
fn checked(command: &mut Command) -> Option<cli::Typed> {
    let program = OsString::from("lowmem-serve");
    let words = command.arguments().into_iter().map(OsString::from);
    let argv: Vec<_> = [program].into_iter().chain(words).collect();
    let result = cli::parse_settings(&argv);
    let error = match result {
        Ok(typed) => return Some(typed),
        Err(error) => error.to_string(),
    };
    let first = error.lines().next().unwrap_or_default();
    // A variable is a value that only the shell knows.
    if !command.line().contains('$') {
        let why = first.trim_start_matches("error: ").to_owned();
        command.notes.push(Note {
            about: String::new(),
            weight: Weight::Missing,
            why,
        });
    }
    None
}

/// The settings that were said, as a file has them.
fn settings(typed: Option<&cli::Typed>) -> String {
    let said = typed.into_iter().flat_map(|typed| &typed.settings);
    let said = said.filter(|setting| setting.origin == Origin::CommandLine);
    let line = |Setting { name, value, .. }: &Setting| {
        let value = value.as_ref().map(ToString::to_string).unwrap_or_default();
        format!("{name} = {value}\n")
    };
    said.map(line).collect()
}

fn tell(command: &Command) {
    let mut notes: Vec<&Note> = command.notes.iter().collect();
    notes.sort_by_key(|note| note.weight);
    for weight in [Weight::Missing, Weight::Different, Weight::Needless] {
        let of_weight: Vec<_> = notes.iter().filter(|note| note.weight == weight).collect();
        if of_weight.is_empty() {
            continue;
        }
        eprintln!(
            "{}",
            match weight {
                Weight::Missing => "# has no counterpart:",
                Weight::Different => "# is different here:",
                Weight::Needless => "# is not needed here:",
            }
        );
        for Note { about, why, .. } in of_weight {
            let about = match about.as_str() {
                "" => String::new(),
                about => format!("{about}: "),
            };
            eprintln!("#   {about}{why}");
        }
    }
}
