//! `lowmem-serve growth`: what has grown in running workers.

use super::{refused, write};
use crate::cli::{Growth, SinceWord};
use crate::exit::Exit;
use crate::growth::report::{self, Style};
use crate::growth::{ask, find};
use crate::surroundings::Surroundings;
use lowmem_base::growth::{Question, Since};

/// Asks the workers and shows what they answer. A worker that has ended meanwhile is named on stderr.
pub(super) fn run(asked: &Growth, around: &Surroundings) -> Exit {
    let workers = match find::workers(asked.target.as_ref()) {
        Ok(workers) => workers,
        Err(reason) => return refused(&reason),
    };
    let since = match asked.since {
        SinceWord::Last => Since::Last,
        SinceWord::Start => Since::Start,
    };
    let question = Question { since };
    let mut answers = Vec::new();
    let mut unanswered = Exit::Stopped;
    for pid in workers {
        match ask::ask(pid, question) {
            Ok(answer) => answers.push(answer),
            Err(reason) => unanswered = refused(&reason),
        }
    }
    let text = if asked.json {
        for answer in &mut answers {
            answer.types.truncate(asked.top);
            if let Some(lines) = &mut answer.lines {
                lines.truncate(asked.top);
            }
        }
        // Numbers, texts and lists always serialise.
        serde_json::to_string_pretty(&answers).unwrap_or_default() + "\n"
    } else {
        let style = Style {
            top: asked.top,
            colors: around.stdout_is_terminal && around.variable("NO_COLOR").is_none(),
        };
        let pages = answers.iter().map(|answer| report::text(answer, style));
        pages.collect::<Vec<_>>().join("\n")
    };
    match write(text.as_bytes()) {
        Exit::Stopped => unanswered,
        failed => failed,
    }
}
