//! Options of other servers that are typed here: those with one clear meaning are taken with a notice,
//! those without a counterpart are reported together.

use std::ffi::OsString;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

use crate::migration;

/// First words whose flags are the server's.
const SERVING: [&str; 4] = ["config", "dev", "run", "serve"];

/// The options that clap adds to a definition when it reads with it.
const BUILT_IN: [&str; 2] = ["-h", "--help"];

/// A suggestion is as near as a slip of the finger.
const FARTHEST: usize = 2;

/// The command line in this server's words, and what was taken for something else.
pub(super) fn translated(
    argv: &[OsString],
    definition: &Command,
) -> Result<(Vec<OsString>, Vec<String>), clap::Error> {
    let as_typed = || Ok((argv.to_vec(), Vec::new()));
    let words: Option<Vec<String>> = argv
        .iter()
        .skip(1)
        .map(|word| word.to_str().map(str::to_owned))
        .collect();
    let Some(words) = words else {
        return as_typed();
    };
    let first = words.iter().find(|word| !word.starts_with('-'));
    let is_command = |name: &String| definition.find_subcommand(name).is_some();
    if first.is_some_and(|first| is_command(first) && !SERVING.contains(&first.as_str())) {
        return as_typed();
    }
    let direct = migration::direct(&words, &|name| own(definition, name));
    if !direct.refused.is_empty() {
        return Err(refusal(&direct.refused, &words));
    }
    let program = argv.iter().take(1).cloned();
    let words = direct.words.into_iter().map(OsString::from);
    Ok((program.chain(words).collect(), direct.notices))
}

/// Whether an option is one of this server's, and whether a value follows it.
fn own(definition: &Command, name: &str) -> Option<bool> {
    if BUILT_IN.contains(&name) {
        return Some(false);
    }
    let is_named = |arg: &&Arg| match name.strip_prefix("--") {
        Some(long) => {
            arg.get_long() == Some(long)
                || arg.get_all_aliases().is_some_and(|all| all.contains(&long))
        }
        None => {
            let mut rest = name.chars().skip(1);
            name.starts_with('-') && rest.next() == arg.get_short() && rest.next().is_none()
        }
    };
    let arg = definition
        .get_arguments()
        .filter(|arg| !arg.is_positional())
        .find(is_named)?;
    Some(arg.get_action().takes_values() && !arg.is_require_equals_set())
}

fn refusal(refused: &[(String, String)], words: &[String]) -> clap::Error {
    let mut text = String::from("of another server, and without a counterpart here:\n");
    for (typed, why) in refused {
        text += &format!("\n  {typed}\n      {why}");
    }
    let typed: Vec<_> = words
        .iter()
        .map(|word| migration::quoted(word, false))
        .collect();
    let line = format!("gunicorn {}", typed.join(" "));
    text += &format!(
        "\n\nLeave them out. To read a whole command line: lowmem-serve migrate {}\n",
        migration::quoted(&line, false)
    );
    clap::Error::raw(ErrorKind::UnknownArgument, text)
}

/// Why two words are no command line, where the first is no command or the command is not the first.
pub(super) fn misplaced(argv: &[OsString], definition: &Command) -> Option<String> {
    let words = argv.iter().skip(1).map(|word| word.to_str());
    let words: Vec<&str> = words.collect::<Option<_>>()?;
    let mut bare = Vec::new();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match own(definition, word) {
            Some(true) => drop(rest.next()),
            Some(false) => {}
            None if word.starts_with('-') => {}
            None => bare.push(*word),
        }
    }
    let [first, second, ..] = bare[..] else {
        return None;
    };
    let is_command = |name: &str| definition.find_subcommand(name).is_some();
    if is_command(first) {
        return None;
    }
    if is_command(second) {
        return Some(format!("the command comes first: lowmem-serve {second} …"));
    }
    if first.contains([':', '.', '/']) {
        let why = "is one application too many; docs/apps.md has how to serve several";
        return Some(format!("'{second}' {why}"));
    }
    let names = definition.get_subcommands();
    let mut names = names.flat_map(|known| known.get_all_aliases().chain([known.get_name()]));
    let similar = names.find(|name| distance(first, name) <= FARTHEST);
    Some(match similar {
        Some(name) => format!("there is no command '{first}'; a similar one is '{name}'"),
        None => format!("there is no command '{first}'; to serve: lowmem-serve {second}"),
    })
}

/// Takes a suggestion out of an error that is only spelt a little alike.
pub(super) fn explained(mut error: clap::Error, usage: StyledStr) -> clap::Error {
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let (typed, suggested) = (
        text(ContextKind::InvalidArg),
        text(ContextKind::SuggestedArg),
    );
    if let (Some(typed), Some(suggested)) = (typed, suggested)
        && distance(&typed, &suggested) > FARTHEST
        && !suggested.starts_with(&typed)
    {
        error.remove(ContextKind::SuggestedArg);
        error.remove(ContextKind::Suggested);
        error.insert(ContextKind::Usage, ContextValue::StyledStr(usage));
    }
    error
}

/// The number of letters to insert, remove, replace or swap with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let replaced = last[j] + usize::from(a[i] != b[j]);
            let mut least = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    #[test]
    fn a_word_that_is_no_command_is_told() {
        let told = |words: &str| {
            let argv: Vec<OsString> = words.split(' ').map(OsString::from).collect();
            misplaced(&argv, &cli::definition())
        };
        for (words, said) in [
            ("x serv a:b", "no command 'serv'; a similar one is 'serve'"),
            (
                "x start a:b",
                "no command 'start'; to serve: lowmem-serve a:b",
            ),
            ("x --port 80 start a:b", "no command 'start'"),
            ("x a:b c:d", "'c:d' is one application too many"),
            ("x a:b status", "lowmem-serve status"),
        ] {
            assert!(told(words).unwrap().contains(said), "{words}");
        }
        for words in ["x a:b", "x a:b --port 80", "x run a:b", "x status a"] {
            assert_eq!(told(words), None, "{words}");
        }
    }

    #[test]
    fn a_slip_is_near_and_another_word_is_not() {
        for (a, b, far) in [
            ("prot", "port", 1),
            ("wokers", "workers", 1),
            ("", "ab", 2),
            ("ab", "", 2),
        ] {
            assert_eq!(distance(a, b), far, "{a} {b}");
        }
        assert!(distance("--listen", "--lifespan") > FARTHEST);
        assert!(distance("--ini", "--ws-ping-interval") > FARTHEST);
    }
}
