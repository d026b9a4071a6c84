//! A job as it is typed: `reindex=myapp.search:reindex every 6h timeout 30m`.
//!
//! A name, `=`, what is run (a function, or a command as a JSON list), then settings, each a word and
//! its value. Values with spaces are quoted; the five or six fields of `cron` need not be. A table
//! `[jobs.NAME]` of the settings file becomes such a text, so that there is one grammar.

use std::time::Duration;

use super::values;
use crate::jobs::{DEFAULT_TIMEOUT, Job, Limits, Missed, Overlap, Schedule, Start, Target};

/// The settings of a job, as the command line and the file have them.
pub const SETTINGS: [&str; 10] = [
    "every",
    "cron",
    "timezone",
    "timeout",
    "max-memory",
    "overlap",
    "missed",
    "retries",
    "start",
    "nice",
];

/// More would delay the next time, not help.
const MOST_RETRIES: u32 = 100;

/// The settings of a job that have been read so far.
#[derive(Default)]
struct Typed {
    every: Option<Duration>,
    cron: Option<String>,
    timezone: Option<String>,
}

/// Reads a job.
///
/// # Errors
/// Says what is wrong with it.
pub fn parse(text: &str) -> Result<Job, String> {
    let (name, rest) = text
        .split_once('=')
        .ok_or("a job is NAME=MODULE:FUNCTION, then settings like every 6h")?;
    let name = name.trim();
    check_name(name)?;
    let words = words(rest)?;
    let mut words = words.iter().map(String::as_str).peekable();
    let target = target(words.next().unwrap_or_default())?;
    let mut job = Job {
        name: name.to_owned(),
        target,
        schedule: Schedule::OnDemand,
        limits: Limits {
            timeout: DEFAULT_TIMEOUT,
            ..Limits::default()
        },
        start: Start::Fresh,
        overlap: Overlap::Skip,
        missed: Missed::Once,
        retries: 0,
    };
    let mut typed = Typed::default();
    while let Some(setting) = words.next() {
        let value = words
            .next()
            .ok_or_else(|| format!("{setting}: its value is missing"))?;
        if setting == "cron" && !value.contains(char::is_whitespace) {
            let mut fields = vec![value];
            fields.extend(words.by_ref().take(4));
            // With seconds there is a sixth.
            fields.extend(words.next_if(|word| is_field(word)));
            typed.cron = Some(fields.join(" "));
        } else {
            set(&mut job, &mut typed, &setting.replace('_', "-"), value)
                .map_err(|why| format!("{setting}: {why}"))?;
        }
    }
    job.schedule = schedule(typed)?;
    if job.start == Start::Template && matches!(job.target, Target::Command(_)) {
        return Err("start: only a function is run by a fork of the template".to_owned());
    }
    Ok(job)
}

/// Whether this is a field of a pattern, like `*/2` or `MON-FRI`: the word of a setting is longer.
fn is_field(word: &str) -> bool {
    word.split(['-', ',', '/', '#']).all(|part| part.len() <= 3)
}

fn set(job: &mut Job, typed: &mut Typed, setting: &str, value: &str) -> Result<(), String> {
    match setting {
        "every" => typed.every = Some(values::lifetime(value)?),
        "cron" => typed.cron = Some(value.to_owned()),
        "timezone" => typed.timezone = Some(value.to_owned()),
        "timeout" => job.limits.timeout = values::lifetime(value)?,
        "max-memory" => job.limits.max_memory = Some(values::size(value)?),
        "retries" => job.retries = values::number(0..=MOST_RETRIES)(value)?,
        "nice" => job.limits.nice = values::number(-20..=19)(value)?,
        "start" => {
            job.start = match value {
                "fresh" => Start::Fresh,
                "template" => Start::Template,
                _ => return Err(choices(value, "fresh and template")),
            }
        }
        "overlap" => {
            job.overlap = match value {
                "skip" => Overlap::Skip,
                "queue" => Overlap::Queue,
                "replace" => Overlap::Replace,
                _ => return Err(choices(value, "skip, queue and replace")),
            }
        }
        "missed" => {
            job.missed = match value {
                "once" => Missed::Once,
                "none" => Missed::None,
                _ => return Err(choices(value, "once and none")),
            }
        }
        _ => {
            return Err(format!(
                "there is no such setting; there are {}",
                SETTINGS.join(", ")
            ));
        }
    }
    Ok(())
}

fn choices(value: &str, choices: &str) -> String {
    format!("there is no {value:?}; the choices are {choices}")
}

fn schedule(typed: Typed) -> Result<Schedule, String> {
    match (typed.every, typed.cron, typed.timezone) {
        (Some(_), Some(_), _) => Err("every and cron exclude each other".to_owned()),
        (Some(_), None, Some(_)) | (None, None, Some(_)) => {
            Err("timezone: only the times of cron are in a time zone".to_owned())
        }
        (Some(every), None, None) => Ok(Schedule::Every(every)),
        (None, Some(cron), zone) => Schedule::cron(&cron, zone.as_deref().unwrap_or("UTC")),
        (None, None, None) => Ok(Schedule::OnDemand),
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_plain) {
        return Err(format!(
            "{name:?} is no name for a job: up to 64 letters, digits, - and _"
        ));
    }
    Ok(())
}

fn target(text: &str) -> Result<Target, String> {
    if text.starts_with('[') {
        let words: Vec<String> = serde_json::from_str(text).map_err(|_| no_list(text))?;
        if words.first().is_none_or(String::is_empty) {
            return Err("the command is empty".to_owned());
        }
        return Ok(Target::Command(words));
    }
    match text.split_once(':') {
        Some((module, function)) if !module.is_empty() && !function.is_empty() => {
            Ok(Target::Function(text.to_owned()))
        }
        _ => Err(format!(
            "{text:?} is no function like myapp.search:reindex, nor a command like [\"python\", \"-m\", \"x\"]"
        )),
    }
}

/// Splits at spaces that are neither quoted nor in a list.
fn words(text: &str) -> Result<Vec<String>, String> {
    let (mut words, mut rest) = (Vec::new(), text.trim_start());
    while !rest.is_empty() {
        let (word, end) = if rest.starts_with('[') {
            let mut list = serde_json::Deserializer::from_str(rest).into_iter::<Vec<String>>();
            if !matches!(list.next(), Some(Ok(_))) {
                return Err(no_list(rest));
            }
            (rest[..list.byte_offset()].to_owned(), list.byte_offset())
        } else {
            word(rest)?
        };
        words.push(word);
        rest = rest[end..].trim_start();
    }
    Ok(words)
}

/// The word that the text begins with, without its quotation marks, and where it ends.
fn word(text: &str) -> Result<(String, usize), String> {
    let (mut word, mut quote) = (String::new(), None);
    for (at, c) in text.char_indices() {
        match quote {
            Some(mark) if mark == c => quote = None,
            Some(_) => word.push(c),
            None if c.is_whitespace() => return Ok((word, at)),
            None if c == '\'' || c == '"' => quote = Some(c),
            None => word.push(c),
        }
    }
    match quote {
        Some(_) => Err("a quotation mark is missing".to_owned()),
        None => Ok((word, text.len())),
    }
}

fn no_list(text: &str) -> String {
    format!("{text} is no list of strings like [\"python\", \"-m\", \"x\"]")
}

/// A value of the settings file as a word of this grammar.
#[must_use]
pub fn quoted(value: &str) -> String {
    let quote = if value.contains('"') { '\'' } else { '"' };
    format!("{quote}{value}{quote}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_has_a_name_a_target_and_settings() {
        let job = parse(
            "reindex=myapp.search:reindex cron 17 3 * * * timezone Europe/Berlin timeout 30m \
             max-memory 700M overlap queue missed none retries 2 start template nice 10",
        )
        .unwrap();
        assert_eq!(job.name, "reindex");
        assert_eq!(
            job.target,
            Target::Function("myapp.search:reindex".to_owned())
        );
        assert_eq!(
            job.schedule,
            Schedule::cron("17 3 * * *", "Europe/Berlin").unwrap()
        );
        assert_eq!(job.limits.max_memory, Some(700 << 20));
        assert_eq!((job.limits.timeout.as_secs(), job.limits.nice), (1_800, 10));
        assert_eq!(
            (job.overlap, job.missed, job.retries),
            (Overlap::Queue, Missed::None, 2)
        );
        assert_eq!(job.start, Start::Template);
        assert_eq!(parse("a=b:c").unwrap().schedule, Schedule::OnDemand);
    }

    #[test]
    fn a_command_is_a_list() {
        for text in [
            r#"x=["python", "-m", "a b"] every 1h"#,
            r#"x='["python", "-m", "a b"]' every "1h""#,
        ] {
            let job = parse(text).unwrap();
            assert_eq!(
                job.target,
                Target::Command(["python", "-m", "a b"].map(str::to_owned).to_vec()),
                "{text}"
            );
            assert_eq!(job.schedule, Schedule::Every(Duration::from_secs(3_600)));
        }
        assert_eq!(
            parse("x=a:b cron '* * * * *'"),
            parse("x=a:b cron * * * * *")
        );
        for more in ["", " nice 10", " every-minut 1"] {
            assert_eq!(
                parse(&format!("x=a:b cron */2 * * * * MON-FRI{more}")),
                parse(&format!("x=a:b cron '*/2 * * * * MON-FRI'{more}"))
            );
        }
    }

    #[test]
    fn mistakes_say_what_is_wrong() {
        for (text, part) in [
            ("reindex", "NAME=MODULE:FUNCTION"),
            ("a b=c:d", "no name for a job"),
            ("../x=c:d", "no name for a job"),
            ("x=c", "no function like"),
            ("x=[1]", "no list of strings"),
            ("x=[]", "the command is empty"),
            ("x=a:b evry 6h", "evry: there is no such setting"),
            ("x=a:b every", "every: its value is missing"),
            ("x=a:b every 6", "every: without a unit"),
            ("x=a:b every 6h cron * * * * *", "exclude each other"),
            ("x=a:b every 6h timezone UTC", "only the times of cron"),
            (
                "x=a:b overlap maybe",
                "the choices are skip, queue and replace",
            ),
            ("x=a:b cron '* * * * *", "quotation mark"),
            ("x=a:b start warm", "the choices are fresh and template"),
            (r#"x=["a"] start template"#, "only a function"),
        ] {
            let why = parse(text).unwrap_err();
            assert!(why.contains(part), "{text}: {why}");
        }
    }
}
