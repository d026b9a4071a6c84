//! The map of ARCHITECTURE.md as a test: which room may name which, where Cargo does not say it.
//!
//! Every `use` and `mod`-relative path at its head is resolved to where it leads; what a rule
//! forbids is named with its file. Paths written out in the middle of code are seen where they are
//! absolute (`crate::…`, `tokio::…`).

#![allow(missing_docs)]
#![allow(
    clippy::unwrap_used,
    reason = "a test says what it expects; its panic is the message"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// Names that the files below a place may not use.
struct Rule {
    room: &'static str,
    but_not_below: &'static [&'static str],
    forbidden: &'static [&'static str],
    why: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        room: "src",
        but_not_below: &["src/lib.rs"],
        forbidden: &["lowmem_http"],
        why: "only workers know what a worker is made of",
    },
    Rule {
        room: "src",
        // The status server has a thread and a runtime of its own, so that no fault of a worker's server blinds it.
        but_not_below: &["src/monitor"],
        forbidden: &["tokio", "hyper", "hyper_util"],
        why: "the supervisor's loop polls",
    },
    Rule {
        room: "crates/base",
        but_not_below: &["crates/base/src/sys/watch.rs"],
        forbidden: &["tokio"],
        why: "only workers have a runtime",
    },
    Rule {
        room: "src/cli",
        but_not_below: &[],
        forbidden: &["crate::config", "crate::commands", "crate::supervisor"],
        why: "the settings as typed are read before their meaning is known",
    },
    Rule {
        room: "src/migration",
        but_not_below: &[],
        forbidden: &["crate::cli", "crate::config", "crate::commands", "clap"],
        why: "other servers' words are tables, which what is typed is read with",
    },
    Rule {
        room: "crates/http/src/asgi",
        but_not_below: &[],
        forbidden: &["tokio", "crate::server", "httparse"],
        why: "the protocols are values",
    },
    Rule {
        room: "src/jobs",
        but_not_below: &[],
        forbidden: &[
            "crate::cli",
            "crate::supervisor",
            "crate::commands",
            "tracing",
        ],
        why: "jobs are values; running them is the supervisor's",
    },
    Rule {
        room: "src/supervisor",
        // Tests of theirs begin with flags.
        but_not_below: &[
            "src/supervisor/warm.rs",
            "src/supervisor/jobs/policy/tests.rs",
        ],
        forbidden: &["crate::cli", "crate::commands", "crate::migration", "clap"],
        why: "the supervisor acts on what was meant",
    },
    Rule {
        room: "src/supervisor/jobs/policy",
        but_not_below: &[],
        forbidden: &["rustix", "libc", "std::process", "std::fs", "tracing"],
        why: "the policy is pure",
    },
    Rule {
        room: "src/supervisor/pool",
        but_not_below: &[],
        forbidden: &[
            "rustix",
            "libc",
            "std::process",
            "std::fs",
            "tracing",
            "crate::launch",
        ],
        why: "the policy is pure",
    },
];

/// The rooms in which `unsafe` is allowed.
const UNSAFE_ROOMS: &[&str] = &["crates/base/src/sys", "crates/bridge"];

#[test]
fn every_room_names_only_what_it_may() {
    let mut wrong = Vec::new();
    for file in files() {
        let source = Source::read(&file);
        for rule in RULES {
            let is_below = |places: &[&str]| places.iter().any(|place| source.is_below(place));
            if !source.is_below(rule.room) || is_below(rule.but_not_below) {
                continue;
            }
            for named in source.names() {
                let is_in = |place: &&&str| {
                    let rest = named.strip_prefix(**place);
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
                };
                if rule.forbidden.iter().any(|place| is_in(&place)) {
                    wrong.push(format!("{}: {named} ({})", file.display(), rule.why));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_is_in_two_rooms() {
    for file in files() {
        let source = Source::read(&file);
        // A source of the Content-Security-Policy is no code.
        let code = source.code.replace("'unsafe-inline'", "");
        let is_unsafe = words(&code).any(|word| word == "unsafe");
        let may = UNSAFE_ROOMS.iter().any(|room| source.is_below(room));
        assert!(may || !is_unsafe, "unsafe in {}", file.display());
    }
}

#[test]
fn paths_are_resolved_as_the_compiler_does() {
    let source = |file: &str, code: &str| Source {
        file: PathBuf::from(file),
        code: code.to_owned(),
    };
    let names = |file: &str, code: &str| source(file, code).names();
    assert_eq!(
        names("src/a/b.rs", "use super::{c::d, e as f};"),
        ["crate::a::c::d", "crate::a::e"]
    );
    assert_eq!(
        names("crates/x/src/a/b.rs", "use super::c;"),
        ["crate::a::c"]
    );
    assert_eq!(
        names("src/a/mod.rs", "pub use self::{b::{self, C}};"),
        ["crate::a::b", "crate::a::b::C"]
    );
    assert_eq!(
        names("src/a/b.rs", "fn f() { crate::c::d(); tokio::spawn(x) }"),
        ["crate::c::d", "tokio::spawn"]
    );
}

/// One file, without its comments.
struct Source {
    file: PathBuf,
    code: String,
}

impl Source {
    fn read(file: &Path) -> Self {
        let text = fs::read_to_string(root().join(file)).unwrap();
        let lines = text
            .lines()
            .map(|line| line.split("//").next().unwrap_or_default());
        Self {
            file: file.to_owned(),
            code: lines.collect::<Vec<_>>().join("\n"),
        }
    }

    fn is_below(&self, place: &str) -> bool {
        self.file.starts_with(place) || self.file == Path::new(place).with_extension("rs")
    }

    /// Every path that the file names, from its crate's or its own crate's root.
    fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut code = String::new();
        for statement in self.code.split(';') {
            let at = statement
                .match_indices("use ")
                .map(|(at, _)| at)
                .find(|at| statement[..*at].ends_with([' ', '\n']) || *at == 0);
            match at {
                Some(at) => {
                    code.push_str(&statement[..at]);
                    expand("", statement[at + 4..].trim(), &mut names);
                }
                None => code.push_str(statement),
            }
        }
        for name in &mut names {
            *name = self.resolve(name);
        }
        // Words joined by colons, as in `crate::c::d()`.
        let written_out = code.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
        names.extend(
            written_out
                .filter(|word| word.contains("::") && word.starts_with(char::is_lowercase))
                .map(|word| self.resolve(word.trim_end_matches(':'))),
        );
        names
    }

    /// `self::` and `super::` from the file's own place.
    fn resolve(&self, name: &str) -> String {
        let mut place: Vec<String> = vec!["crate".to_owned()];
        let of_crate = if self.file.starts_with("crates") {
            3
        } else {
            1
        };
        let parts = self.file.iter().skip(of_crate);
        place.extend(parts.map(|part| part.to_string_lossy().trim_end_matches(".rs").to_owned()));
        if place.last().is_some_and(|last| last == "mod") {
            place.pop();
        }
        let mut rest = name;
        if !name.starts_with("self::") && !name.starts_with("super::") {
            return name.to_owned();
        }
        while let Some(after) = rest.strip_prefix("super::") {
            place.pop();
            rest = after;
        }
        let rest = rest.strip_prefix("self::").unwrap_or(rest);
        format!("{}::{rest}", place.join("::"))
    }
}

/// `a::{b, c::{self, d}}` is a::b, a::c and a::c::d.
fn expand(before: &str, tree: &str, names: &mut Vec<String>) {
    if let Some((path, group)) = tree.split_once('{') {
        let group = group.trim().strip_suffix('}').unwrap_or(group);
        let (mut depth, mut start) = (0, 0);
        for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    let one = group[start..at].trim();
                    if !one.is_empty() {
                        expand(&format!("{before}{}", path.trim()), one, names);
                    }
                    start = at + 1;
                }
                _ => {}
            }
        }
    } else {
        let name = tree.split(" as ").next().unwrap_or(tree);
        let whole = format!("{before}{}", name.trim());
        names.push(whole.strip_suffix("::self").unwrap_or(&whole).to_owned());
    }
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files of what is built, relative to the root.
fn files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut places = vec![root().join("src"), root().join("crates")];
    while let Some(place) = places.pop() {
        for entry in fs::read_dir(place).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                places.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    assert!(files.len() > 50, "{files:?}");
    files
}
