//! Lines as they are read: by people, as JSON, by the journal.

use std::time::UNIX_EPOCH;

use super::*;

fn lines(format: LogFormat, stderr_colors: bool) -> Lines {
    Lines::new(&LogSettings {
        python: None,
        level: LogLevel::Info,
        format,
        stderr_colors,
        application: None,
        journal: false,
    })
}

fn said(message: &str) -> Said {
    Said {
        application: None,
        message: message.to_owned(),
        fields: vec![
            ("worker", Value::Bare("7".to_owned())),
            ("why", Value::Text("a \"b\"".to_owned())),
        ],
        critical: false,
    }
}

fn written(lines: &Lines, level: Level, said: &Said) -> String {
    String::from_utf8(lines.line(level, said, UNIX_EPOCH)).unwrap()
}

#[test]
fn a_human_line_is_uvicorns() {
    let plain = lines(LogFormat::Human, false);
    assert_eq!(
        written(&plain, Level::WARN, &said("Hm.")),
        "WARNING:  Hm. worker=7 why=a \"b\"\n"
    );
    let coloured = lines(LogFormat::Human, true);
    let line = written(&coloured, Level::INFO, &said("Hm."));
    assert!(line.starts_with("\x1b[32mINFO\x1b[0m:     Hm."));
}

#[test]
fn a_json_line_keeps_numbers_as_numbers() {
    let json = lines(LogFormat::Json, false);
    let line = written(&json, Level::ERROR, &said("two\nlines"));
    assert_eq!(
        line,
        format!(
            "{{\"time\": \"1970-01-01T00:00:00.000Z\", \"level\": \"error\", \"message\": \"two\\nlines\", \
             \"worker\": 7, \"why\": \"a \\\"b\\\"\", \"pid\": {}}}\n",
            std::process::id()
        )
    );
}

#[test]
fn an_event_has_its_fields_in_json_only() {
    let told = Said {
        fields: vec![
            ("event", Value::Text("died".to_owned())),
            ("worker_pid", Value::Bare("7".to_owned())),
        ],
        ..said("Worker (pid 7) died.")
    };
    let human = written(&lines(LogFormat::Human, false), Level::ERROR, &told);
    assert_eq!(human, "ERROR:    Worker (pid 7) died.\n");
    let json = written(&lines(LogFormat::Json, false), Level::ERROR, &told);
    assert!(
        json.contains("\"event\": \"died\", \"worker_pid\": 7"),
        "{json}"
    );
}

#[test]
fn the_journal_reads_a_priority_on_each_line() {
    let journal = Lines {
        journal: true,
        ..lines(LogFormat::Human, false)
    };
    let mut two = said("one\ntwo");
    two.fields.clear();
    let line = written(&journal, Level::ERROR, &two);
    assert_eq!(line, "<3>ERROR:    one\n<3>two\n");
    assert!(written(&journal, Level::WARN, &two).starts_with("<4>"));
}

#[test]
fn a_line_names_its_application() {
    let named = Said {
        application: Some("shop".into()),
        ..said("Hm.")
    };
    let human = written(&lines(LogFormat::Human, false), Level::INFO, &named);
    assert!(human.starts_with("INFO:     [shop] Hm."), "{human}");
    let json = written(&lines(LogFormat::Json, false), Level::INFO, &named);
    assert!(json.contains("\"app\": \"shop\", \"message\""), "{json}");
}

#[test]
fn critical_is_an_error_with_a_field() {
    let name = Name::of(Level::ERROR, true);
    assert_eq!(name.upper, "CRITICAL");
}
