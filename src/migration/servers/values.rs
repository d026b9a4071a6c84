//! Values that several servers write alike, and this one otherwise.

use crate::migration::effect::{Effect, Effects, Weight, but, flag, missing, needless, switch};

/// The port of the servers that take an address without one.
const PORT: &str = "8000";

/// `host:port`, `host`, `unix:path`, `fd://3`, or several of them behind commas.
pub(super) fn bind(value: &str) -> Effects {
    let places = value.split(',').map(str::trim).filter(|p| !p.is_empty());
    places
        .flat_map(|place| flag("--bind", self::place(place)))
        .collect()
}

/// One of them, as `--bind` takes it.
pub(super) fn place(place: &str) -> String {
    let has_prefix = place.starts_with("unix:") || place.starts_with("fd:");
    let after_address = place.rsplit(']').next().unwrap_or(place);
    if place.starts_with('/') {
        format!("unix:{place}")
    } else if has_prefix || after_address.contains(':') || place.contains('$') {
        place.replace("*:", ":")
    } else {
        format!("{place}:{PORT}")
    }
}

/// A number of which 0 means none.
pub(super) fn unless_zero(name: &'static str, value: &str) -> Effects {
    match value {
        "0" => needless("0 turns it off, as it is here"),
        value => flag(name, value),
    }
}

/// Seconds with a unit.
pub(super) fn lifetime(name: &'static str, value: &str) -> Effects {
    match value.parse::<f64>() {
        Ok(0.0) => needless("0 turns it off, as it is here"),
        Ok(seconds) => flag(name, format!("{:.0}s", seconds.ceil())),
        Err(_) if value.contains('$') => flag(name, format!("{value}s")),
        // It has one.
        Err(_) => flag(name, value),
    }
}

/// A size in MiB, with a unit.
pub(super) fn mebibytes(name: &'static str, value: &str) -> Effects {
    flag(name, format!("{value}M"))
}

/// A level in any case.
pub(super) fn level(value: &str) -> Effects {
    let level = match value.to_ascii_lowercase().as_str() {
        "warn" => "warning".to_owned(),
        "notset" => "trace".to_owned(),
        other => other.to_owned(),
    };
    flag("--log-level", level)
}

/// A file for access lines, `-` for stdout.
pub(super) fn access_file(value: &str) -> Effects {
    match value {
        "-" | "/dev/stdout" => but(
            switch("--access-log"),
            "access lines go to stdout by default",
        ),
        file => flag("--access-log-file", file),
    }
}

/// A file for log lines, `-` for stderr.
pub(super) fn error_file(value: &str) -> Effects {
    match value {
        "-" | "/dev/stderr" => needless("log lines go to stderr"),
        file => missing(format!(
            "log lines go to stderr: redirect it (2>> {file}), or name a file with --log-config"
        )),
    }
}

/// The form of access lines.
pub(super) fn access_format(value: &str) -> Effects {
    match lowmem_base::config::AccessFormat::parse(value) {
        Ok(_) => flag("--access-log-format", value),
        Err(why) => missing(format!("--access-log-format does not take it: {why}")),
    }
}

/// `NAME=VALUE`
pub(super) fn variable(value: &str) -> Effects {
    vec![Effect::Variable(value.to_owned())]
}

/// Directories for `sys.path`, behind commas or colons.
pub(super) fn python_path(value: &str) -> Effects {
    vec![Effect::Variable(format!(
        "PYTHONPATH={}",
        value.replace(',', ":")
    ))]
}

/// Another directory.
pub(super) fn directory(value: &str) -> Effects {
    but(
        flag("--app-dir", value),
        "the application is looked for there; the working directory itself stays: cd to it before, where files are \
         opened by relative paths",
    )
}

/// A settings file of that server.
pub(super) fn settings_file(value: &str) -> Effects {
    vec![Effect::SettingsFile(value.to_owned())]
}

/// The mode that a umask leaves to a Unix socket's file.
pub(super) fn umask(value: &str) -> Effects {
    let digits = value.trim_start_matches("0o");
    let mask = if let Some(digits) = digits.strip_prefix("0x") {
        u32::from_str_radix(digits, 16)
    } else if digits.starts_with('0') || digits.len() == 3 {
        u32::from_str_radix(digits, 8)
    } else {
        digits.parse()
    };
    let Ok(mask) = mask else {
        return missing("--uds-mode sets the mode of Unix sockets' files: --uds-mode 660");
    };
    let mode = 0o666 & !mask;
    but(
        flag("--uds-mode", format!("{mode:o}")),
        "for the files of Unix sockets; for those that the application makes, set it before the server starts",
    )
}

/// The interface that a worker class implies.
pub(super) fn worker_class(value: &str) -> Effects {
    let class = value.rsplit('.').next().unwrap_or(value);
    match class {
        "UvicornH11Worker" | "UvicornWorker" | "asgi" | "ASGIWorker" | "sync" | "asyncio"
        | "SyncWorker" => needless("ASGI and WSGI are detected (--interface)"),
        "gthread" | "ThreadWorker" => {
            needless("WSGI applications are called on threads (--wsgi-threads)")
        }
        "uvloop" => flag("--loop", "uvloop"),
        "gevent" | "GeventWorker" | "geventwebsocket" => missing(
            "nothing is patched for you: call gevent.monkey.patch_all() at the top of the application's module, and its \
             views are greenlets",
        ),
        "trio" => missing("applications run on asyncio; anyio's code needs no change"),
        other => missing(format!("{other} is a program of that server's")),
    }
}

/// Access lines, which are on here and off there.
pub(super) fn access_lines(has: impl Fn(&str) -> bool) -> Effects {
    let is_said = ["--access-log", "--no-access-log", "--access-log-file"];
    if is_said.iter().any(|flag| has(flag)) {
        return Vec::new();
    }
    let why =
        "access lines are written here unless --no-access-log is given, which is also the fastest";
    vec![Effect::Note(Weight::Different, why.to_owned())]
}
