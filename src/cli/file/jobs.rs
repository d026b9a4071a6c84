//! The tables `[jobs.NAME]` and `[queue]`: the same settings as on the command line, one to a line.

use toml::de::{DeTable, DeValue};

use super::Entry;
use super::check::Whose;
use crate::cli::job as typed;

/// The settings of `[queue]`, each an option `--queue-…`.
const QUEUE: [&str; 5] = ["concurrent", "retries", "timeout", "max-memory", "start"];

/// Whether a table is one of these.
pub(super) fn is_ours(key: &str) -> bool {
    matches!(key, "jobs" | "queue")
}

/// The entries that a table comes to; or what is wrong, and where.
pub(super) fn entries(
    key: &str,
    table: &DeTable<'_>,
    at: usize,
    place: &dyn Fn(usize) -> String,
) -> Result<Vec<Entry>, Vec<(usize, String)>> {
    if key == "queue" {
        return queue(table, at, place);
    }
    let (mut jobs, mut wrong) = (Vec::new(), Vec::new());
    for (name, value) in table {
        let at = name.span().start;
        let job = match value.get_ref().as_table() {
            Some(settings) => job(name.get_ref(), settings),
            None => Err(format!("jobs.{} wants a table", name.get_ref())),
        };
        match job {
            Ok(job) => jobs.push(job),
            Err(why) => wrong.push((at, why)),
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    Ok(vec![Entry {
        id: "jobs".to_owned(),
        values: jobs,
        place: place(at),
    }])
}

/// A job as it would have been typed.
fn job(name: &str, settings: &DeTable<'_>) -> Result<String, String> {
    let (mut target, mut words) = (None, Vec::new());
    for (key, value) in settings {
        let (key, value) = (key.get_ref(), value.get_ref());
        let full = format!("jobs.{name}.{key}");
        match key.as_ref() {
            "run" | "command" if target.is_some() => {
                return Err(format!("jobs.{name}: run and command exclude each other"));
            }
            "run" => target = Some(text(&full, value)?),
            "command" => target = Some(command(&full, value)?),
            _ => {
                words.push(key.replace('_', "-"));
                words.push(typed::quoted(&text(&full, value)?));
            }
        }
    }
    let target = target.ok_or_else(|| {
        format!(
            "jobs.{name}: run or command is missing: run = \"module:function\", or command = [\"…\"]"
        )
    })?;
    let text = format!("{name}={target} {}", words.join(" "));
    let text = text.trim_end().to_owned();
    typed::parse(&text).map_err(|why| format!("jobs.{name}: {why}"))?;
    Ok(text)
}

fn queue(
    table: &DeTable<'_>,
    at: usize,
    place: &dyn Fn(usize) -> String,
) -> Result<Vec<Entry>, Vec<(usize, String)>> {
    let mut entries = vec![Entry {
        id: "queue".to_owned(),
        values: vec!["true".to_owned()],
        place: place(at),
    }];
    let mut wrong = Vec::new();
    for (key, value) in table {
        let name = key.get_ref().replace('_', "-");
        let at = key.span().start;
        let found = if QUEUE.contains(&name.as_str()) {
            super::check::entry(Whose::Alone, &format!("queue-{name}"), value.get_ref())
        } else {
            Err(format!(
                "there is no setting queue.{name}; there are {}",
                QUEUE.join(", ")
            ))
        };
        match found {
            Ok((id, values)) => entries.push(Entry {
                id,
                values,
                place: place(at),
            }),
            Err(why) => wrong.push((at, why)),
        }
    }
    if wrong.is_empty() {
        Ok(entries)
    } else {
        Err(wrong)
    }
}

/// A value as it would have been typed.
fn text(key: &str, value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.clone().into_owned()),
        DeValue::Integer(number) => Ok(number.as_str().to_owned()),
        _ => Err(format!(
            "{key} wants a string or a number, not {}",
            value.type_str()
        )),
    }
}

fn command(key: &str, value: &DeValue<'_>) -> Result<String, String> {
    let words = value.as_array().and_then(|values| {
        let words = values.iter().map(|value| value.get_ref().as_str());
        words.collect::<Option<Vec<&str>>>()
    });
    let words = words.ok_or_else(|| format!("{key} wants a list of strings"))?;
    // Texts always serialise.
    Ok(serde_json::to_string(&words).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{File, read};

    fn file(text: &str) -> Result<File, String> {
        read(Path::new("lowmem-serve.toml"), text).map(|file| file.unwrap())
    }

    fn values(text: &str, id: &str) -> Vec<String> {
        file(text).unwrap().entry(id).unwrap().values.clone()
    }

    #[test]
    fn a_table_is_a_job_as_it_would_be_typed() {
        let text = "[jobs.reindex]\nrun = 'a.b:c'\ncron = '17 3 * * *'\ntimezone = 'Europe/Berlin'\n\
            retries = 2\nmax_memory = '700M'\n[jobs.tidy]\ncommand = ['rm', '-r', \"it's\"]\n";
        let jobs = values(text, "jobs");
        assert_eq!(
            jobs,
            [
                "reindex=a.b:c cron \"17 3 * * *\" max-memory \"700M\" retries \"2\" timezone \"Europe/Berlin\"",
                "tidy=[\"rm\",\"-r\",\"it's\"]"
            ]
        );
    }

    #[test]
    fn a_queue_is_its_options() {
        let text = "[queue]\nconcurrent = 4\ntimeout = '5m'\n";
        assert_eq!(values(text, "queue"), ["true"]);
        assert_eq!(values(text, "queue_concurrent"), ["4"]);
        assert_eq!(values(text, "queue_timeout"), ["5m"]);
        assert_eq!(values("queue = true", "queue"), ["true"]);
    }

    #[test]
    fn mistakes_have_their_lines() {
        let wrong = file(
            "[jobs.a]\nrun = 'x'\n[jobs.b]\nevery = '1h'\n[jobs.c]\nrun = 'a:b'\nevry = '6h'\n\
             [queue]\nthreads = 3\nconcurrent = 0\n",
        )
        .unwrap_err();
        let lines: Vec<_> = wrong.lines().collect();
        assert_eq!(lines.len(), 5, "{wrong}");
        for (line, part) in lines.iter().zip([
            ":1: jobs.a: \"x\" is no function",
            ":3: jobs.b: run or command is missing",
            ":5: jobs.c: evry: there is no such setting",
            ":9: there is no setting queue.threads",
            ":10: queue-concurrent = \"0\"",
        ]) {
            assert!(line.contains(part), "{line}");
        }
    }
}
