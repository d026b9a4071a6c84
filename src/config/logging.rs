//! Log lines: their content, their look, and where they go.

use super::mistakes::Mistakes;
use super::{AccessFormat, AccessSettings, LogConfig, LogFormat, LogLevel, LogSettings};
use crate::cli::{FormatWord, LevelWord, Logging};
use crate::surroundings::Surroundings;

/// Log lines.
pub(super) fn lines(
    typed: &Logging,
    around: &Surroundings,
    mistakes: &mut Mistakes,
) -> LogSettings {
    LogSettings {
        python: log_config(typed, around, mistakes),
        application: None,
        level: typed.log_level.map_or(LogLevel::Info, level),
        format: match typed.log_format {
            FormatWord::Human => LogFormat::Human,
            FormatWord::Json => LogFormat::Json,
        },
        stderr_colors: colors(typed, around, around.stderr_is_terminal),
        journal: around.stderr_is_journal,
    }
}

/// Access lines. Without a format of their own they look like log lines.
pub(super) fn access(
    typed: &Logging,
    around: &Surroundings,
    mistakes: &mut Mistakes,
) -> AccessSettings {
    let format = match (&typed.access_log_format, typed.log_format) {
        (Some(text), _) => AccessFormat::parse(text).unwrap_or_else(|why| {
            mistakes.add("--access-log-format", why);
            AccessFormat::Uvicorn
        }),
        (None, FormatWord::Human) => AccessFormat::Uvicorn,
        (None, FormatWord::Json) => AccessFormat::Json,
    };
    let file = typed.access_log_file.as_ref();
    let file = file.map(|file| around.directory.join(file));
    if let Some(file) = &file {
        // Now, so that a wrong path is reported before anything starts.
        let opened = std::fs::File::options()
            .append(true)
            .create(true)
            .open(file);
        if let Err(error) = opened {
            mistakes.add("--access-log-file", format!("{}: {error}", file.display()));
        }
    }
    AccessSettings {
        enabled: super::is_on(typed.no_access_log, typed.access_log),
        format,
        colors: colors(typed, around, around.stdout_is_terminal),
        file,
    }
}

fn colors(typed: &Logging, around: &Surroundings, is_terminal: bool) -> bool {
    let asked = if typed.no_use_colors {
        Some(false)
    } else {
        typed.use_colors
    };
    let allowed = around.variable("NO_COLOR").is_none();
    let is_human = typed.log_format == FormatWord::Human;
    is_human && asked.unwrap_or(allowed && is_terminal)
}

fn level(word: LevelWord) -> LogLevel {
    match word {
        LevelWord::Critical => LogLevel::Critical,
        LevelWord::Error => LogLevel::Error,
        LevelWord::Warning => LogLevel::Warning,
        LevelWord::Info => LogLevel::Info,
        LevelWord::Debug => LogLevel::Debug,
        LevelWord::Trace => LogLevel::Trace,
    }
}

/// The file is read by the workers, but that it is there is known before one starts.
fn log_config(
    typed: &Logging,
    around: &Surroundings,
    mistakes: &mut Mistakes,
) -> Option<LogConfig> {
    let file = around.directory.join(typed.log_config.as_ref()?);
    if let Err(error) = std::fs::File::open(&file) {
        mistakes.add("--log-config", format!("{}: {error}", file.display()));
    }
    Some(LogConfig {
        file,
        level: typed.log_level.map(level),
    })
}
