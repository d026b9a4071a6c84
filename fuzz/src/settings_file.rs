//! A settings file: every text has a meaning or an error that names a line of it.

use lowmem_serve::cli::fuzzing::settings_file;

pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let lines = 1 + text.matches('\n').count();
    for name in ["lowmem-serve.toml", "pyproject.toml"] {
        let Err(wrong) = settings_file(name, &text) else {
            continue;
        };
        assert!(!wrong.is_empty());
        let first = wrong
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix(':'));
        let number = first.and_then(|rest| rest.split(':').next()?.parse().ok());
        assert!(
            number.is_some_and(|line: usize| (1..=lines).contains(&line)),
            "{wrong}"
        );
    }
}
