//! Log lines: a `tracing` subscriber that writes each event to stderr.
//!
//! Spans are accepted and ignored: nothing here measures, and a line carries its own fields.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::json::Object;
use super::name;
use super::paint::RESET;
use super::records;
use super::stderr;
use super::time::Rfc3339;
use crate::config::{LogFormat, LogLevel, LogSettings};

/// `CRITICAL: ` is the longest; every level is padded to it.
const PREFIX_WIDTH: usize = 10;

/// A line with this field reports an event: its fields repeat its text for programs.
const EVENT: &str = "event";

/// An error with this field is critical.
const CRITICAL: &str = "critical";

/// The targets of this server. What libraries say below INFO is of no use to its operator.
const OWN_TARGETS: [&str; 2] = ["lowmem_", "_core"];

pub(super) struct Lines {
    level: LevelFilter,
    only_critical: bool,
    format: LogFormat,
    colors: bool,
    journal: bool,
}

impl Lines {
    pub(super) fn new(settings: &LogSettings) -> Self {
        let level = match settings.level {
            LogLevel::Critical | LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warning => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Trace => LevelFilter::TRACE,
        };
        Self {
            level,
            only_critical: settings.level == LogLevel::Critical,
            format: settings.format,
            colors: settings.stderr_colors,
            journal: settings.journal,
        }
    }

    fn line(&self, level: Level, said: &Said, time: SystemTime) -> Vec<u8> {
        let mut line = Vec::with_capacity(128);
        let name = Name::of(level, said.critical);
        match self.format {
            LogFormat::Human => human(&mut line, name, self.colors, said),
            LogFormat::Json => json(&mut line, name, said, time),
        }
        if self.journal {
            line = prioritised(&line, name.priority);
        }
        line
    }

    fn put(&self, line: &[u8]) {
        stderr::write(line, |lost| {
            let message = format!("{lost} line(s) of the log were lost: its reader took none.");
            let said = Said {
                message,
                ..Said::default()
            };
            self.line(Level::WARN, &said, SystemTime::now())
        });
    }
}

impl Lines {
    /// Writes a line of this text.
    pub(super) fn write(&self, severity: LogLevel, text: &str) {
        let critical = severity == LogLevel::Critical;
        let level = match severity {
            LogLevel::Critical | LogLevel::Error => Level::ERROR,
            LogLevel::Warning => Level::WARN,
            LogLevel::Info => Level::INFO,
            LogLevel::Debug => Level::DEBUG,
            LogLevel::Trace => Level::TRACE,
        };
        let said = Said {
            message: text.to_owned(),
            critical,
            ..Said::default()
        };
        let line = self.line(level, &said, SystemTime::now());
        self.put(&line);
    }
}

impl Lines {
    /// Writes a line of a function's or a program's output, whatever the level is.
    pub(super) fn write_output(&self, text: &str, fields: &[(&'static str, &str)]) {
        let fields = fields
            .iter()
            .map(|(key, value)| (*key, Value::Text((*value).to_owned())));
        let said = Said {
            application: name::current(),
            message: text.to_owned(),
            fields: fields.collect(),
            critical: false,
        };
        if let Some(records) = records::current() {
            return records.event(LogLevel::Info, &said.text());
        }
        let line = self.line(Level::INFO, &said, SystemTime::now());
        self.put(&line);
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let level = *metadata.level();
        metadata.is_event()
            && level <= self.level
            && (level <= Level::INFO
                || OWN_TARGETS.iter().any(|t| metadata.target().starts_with(t)))
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn event(&self, event: &Event<'_>) {
        let mut said = Said {
            application: name::current(),
            ..Said::default()
        };
        event.record(&mut said);
        if self.only_critical && !said.critical {
            return;
        }
        if let Some(records) = records::current() {
            let level = severity(*event.metadata().level(), said.critical);
            records.event(level, &said.text());
            return;
        }
        let line = self.line(*event.metadata().level(), &said, SystemTime::now());
        self.put(&line);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// A level's name and colour, both Uvicorn's.
#[derive(Clone, Copy)]
struct Name {
    upper: &'static str,
    lower: &'static str,
    color: &'static str,
    /// syslog's severity.
    priority: u8,
}

impl Name {
    fn of(level: Level, critical: bool) -> Self {
        let (upper, lower, color, priority) = match level {
            Level::ERROR if critical => ("CRITICAL", "critical", "\x1b[91m", 2),
            Level::ERROR => ("ERROR", "error", "\x1b[31m", 3),
            Level::WARN => ("WARNING", "warning", "\x1b[33m", 4),
            Level::INFO => ("INFO", "info", "\x1b[32m", 6),
            Level::DEBUG => ("DEBUG", "debug", "\x1b[36m", 7),
            Level::TRACE => ("TRACE", "trace", "\x1b[34m", 7),
        };
        Self {
            upper,
            lower,
            color,
            priority,
        }
    }
}

fn severity(level: Level, critical: bool) -> LogLevel {
    match level {
        Level::ERROR if critical => LogLevel::Critical,
        Level::ERROR => LogLevel::Error,
        Level::WARN => LogLevel::Warning,
        Level::INFO => LogLevel::Info,
        Level::DEBUG => LogLevel::Debug,
        Level::TRACE => LogLevel::Trace,
    }
}

/// An event's message and fields.
#[derive(Default)]
struct Said {
    application: Option<Arc<str>>,
    message: String,
    fields: Vec<(&'static str, Value)>,
    critical: bool,
}

enum Value {
    Text(String),
    /// Its text is valid JSON.
    Bare(String),
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // Formatting into memory fails only if the value's own formatting does.
            let _ = write!(self.message, "{value:?}");
        } else {
            self.fields
                .push((field.name(), Value::Text(format!("{value:?}"))));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else {
            self.fields
                .push((field.name(), Value::Text(value.to_owned())));
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        if field.name() == CRITICAL {
            self.critical = value;
        } else {
            self.bare(field, value);
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.bare(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field, value);
    }
}

impl Said {
    /// The message and its fields as people read them.
    fn text(&self) -> String {
        let mut text = self.message.clone();
        if self.fields.iter().any(|(key, _)| *key == EVENT) {
            return text;
        }
        for (key, value) in &self.fields {
            let (Value::Text(value) | Value::Bare(value)) = value;
            // Writing into memory does not fail.
            let _ = write!(text, " {key}={value}");
        }
        text
    }

    fn bare(&mut self, field: &Field, value: impl fmt::Display) {
        self.fields
            .push((field.name(), Value::Bare(value.to_string())));
    }
}

/// Writes `LEVEL:` and its padding, the start of every human line on stderr and stdout.
pub(super) fn prefix(line: &mut Vec<u8>, upper: &str, color: Option<&str>) {
    let color_codes = color.map_or(("", ""), |color| (color, RESET));
    line.extend_from_slice(color_codes.0.as_bytes());
    line.extend_from_slice(upper.as_bytes());
    line.extend_from_slice(color_codes.1.as_bytes());
    line.push(b':');
    line.resize(line.len() + PREFIX_WIDTH - upper.len() - 1, b' ');
}

/// Writes `[name] `, where there are several applications.
pub(super) fn about(line: &mut Vec<u8>, application: Option<&str>) {
    if let Some(name) = application {
        line.push(b'[');
        line.extend_from_slice(name.as_bytes());
        line.extend_from_slice(b"] ");
    }
}

/// Puts `<3>` in front of each line of a message, which the journal takes off (sd-daemon(3)).
fn prioritised(message: &[u8], priority: u8) -> Vec<u8> {
    let lines = message.split_inclusive(|byte| *byte == b'\n');
    let prefix = [b'<', b'0' + priority, b'>'];
    lines
        .flat_map(|line| prefix.iter().chain(line))
        .copied()
        .collect()
}

fn human(line: &mut Vec<u8>, name: Name, colors: bool, said: &Said) {
    prefix(line, name.upper, colors.then_some(name.color));
    about(line, said.application.as_deref());
    line.extend_from_slice(said.text().as_bytes());
    line.push(b'\n');
}

fn json(line: &mut Vec<u8>, name: Name, said: &Said, time: SystemTime) {
    let mut object = Object::begin(line);
    object.text("time", &Rfc3339(time).to_string());
    object.text("level", name.lower);
    if let Some(application) = &said.application {
        object.text("app", application);
    }
    object.text("message", &said.message);
    for (key, value) in &said.fields {
        match value {
            Value::Text(value) => object.text(key, value),
            Value::Bare(value) => object.bare(key, value),
        }
    }
    object.bare("pid", std::process::id());
    object.end();
}

#[cfg(test)]
mod tests;
