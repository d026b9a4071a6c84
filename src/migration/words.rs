//! Command lines as words, and words as command lines.
//!
//! Text that a shell would expand is kept as it is, so that `$PORT` stays a variable.

/// A part of a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// Its text without quotes, and whether a shell expands something in it.
    Plain {
        /// The text.
        text: String,
        /// `$NAME` or `$(command)` in it is meant.
        expands: bool,
    },
    /// `&&`, `;`, `|`, or a redirection: the command ends before it.
    Operator(String),
}

impl Word {
    /// A word in which nothing is expanded.
    pub fn plain(text: impl Into<String>) -> Self {
        let (text, expands) = (text.into(), false);
        Self::Plain { text, expands }
    }

    /// The text of a word that is no operator.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Plain { text, .. } => Some(text),
            Self::Operator(_) => None,
        }
    }

    /// As it is written in a shell.
    pub fn written(&self) -> String {
        match self {
            Self::Plain { text, expands } => quoted(text, *expands),
            Self::Operator(text) => text.clone(),
        }
    }
}

/// Splits a line as a shell does.
///
/// # Errors
/// A quote is not closed.
pub fn split(line: &str) -> Result<Vec<Word>, String> {
    let mut splitter = Splitter::default();
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\'' => splitter.single(&mut rest)?,
            '"' => splitter.double(&mut rest)?,
            '\\' => match rest.next() {
                // The line goes on.
                Some('\n') | None => {}
                Some(c) => splitter.push(c),
            },
            '$' => splitter.expansion(&mut rest),
            '`' => {
                splitter.begin();
                splitter.expands = true;
                let inner: String = rest.by_ref().take_while(|c| *c != '`').collect();
                splitter.text.push_str(&format!("$({inner})"));
            }
            ';' | '|' | '&' | '<' | '>' => splitter.operator(c, &mut rest),
            c if c.is_whitespace() => splitter.end(),
            c => splitter.push(c),
        }
    }
    splitter.end();
    Ok(splitter.words)
}

type Rest<'a> = std::iter::Peekable<std::str::Chars<'a>>;

#[derive(Default)]
struct Splitter {
    words: Vec<Word>,
    text: String,
    expands: bool,
    is_begun: bool,
}

impl Splitter {
    fn begin(&mut self) {
        self.is_begun = true;
    }

    fn push(&mut self, c: char) {
        self.is_begun = true;
        self.text.push(c);
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.is_begun) {
            let text = std::mem::take(&mut self.text);
            let expands = std::mem::take(&mut self.expands);
            self.words.push(Word::Plain { text, expands });
        }
    }

    fn single(&mut self, rest: &mut Rest<'_>) -> Result<(), String> {
        self.begin();
        loop {
            match rest.next() {
                None => return Err("a ' is not closed".to_owned()),
                Some('\'') => return Ok(()),
                Some(c) => self.text.push(c),
            }
        }
    }

    fn double(&mut self, rest: &mut Rest<'_>) -> Result<(), String> {
        self.begin();
        loop {
            match rest.next() {
                None => return Err("a \" is not closed".to_owned()),
                Some('"') => return Ok(()),
                Some('\\') => match rest.next() {
                    Some(c @ ('"' | '\\' | '$' | '`')) => self.text.push(c),
                    Some(c) => self.text.extend(['\\', c]),
                    None => {}
                },
                Some('$') => self.expansion(rest),
                Some(c) => self.text.push(c),
            }
        }
    }

    /// `$NAME`, `${NAME:-else}` or `$(command)`, which may have spaces in it.
    fn expansion(&mut self, rest: &mut Rest<'_>) {
        self.push('$');
        let (open, close) = match rest.peek() {
            Some('{') => ('{', '}'),
            Some('(') => ('(', ')'),
            Some(c) if c.is_alphanumeric() || *c == '_' => {
                self.expands = true;
                return;
            }
            _ => return,
        };
        self.expands = true;
        let mut depth = 0;
        for c in rest.by_ref() {
            self.text.push(c);
            depth += i32::from(c == open) - i32::from(c == close);
            if depth == 0 {
                return;
            }
        }
    }

    fn operator(&mut self, first: char, rest: &mut Rest<'_>) {
        let mut text = String::new();
        // The number of a descriptor belongs to its redirection: `2>&1`.
        let is_redirection = matches!(first, '<' | '>');
        if is_redirection && self.text.bytes().all(|byte| byte.is_ascii_digit()) {
            text = std::mem::take(&mut self.text);
            self.is_begun = false;
        }
        self.end();
        text.push(first);
        let is_more = |c: char| match is_redirection {
            true => matches!(c, '<' | '>' | '&'),
            false => c == first,
        };
        while let Some(c) = rest.next_if(|c| is_more(*c)) {
            text.push(c);
        }
        if text.ends_with(">&")
            && let Some(c) = rest.next_if(char::is_ascii_digit)
        {
            text.push(c);
        }
        self.words.push(Word::Operator(text));
    }
}

/// A text as one word of a shell.
pub fn quoted(text: &str, expands: bool) -> String {
    let is_safe = |c: char| c.is_alphanumeric() || "-_./:=,@%+".contains(c);
    if expands {
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
        return format!("\"{escaped}\"");
    }
    if !text.is_empty() && text.chars().all(is_safe) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(line: &str) -> String {
        let words = split(line).unwrap();
        let written: Vec<_> = words.iter().map(Word::written).collect();
        written.join(" ")
    }

    #[test]
    fn a_line_is_split_as_a_shell_does() {
        for (line, same) in [
            ("gunicorn  -w 4\tapp:app", "gunicorn -w 4 app:app"),
            ("a 'b c' \"d e\"", "a 'b c' 'd e'"),
            ("a b\\ c \\\n d", "a 'b c' d"),
            ("--bind 0.0.0.0:$PORT", "--bind \"0.0.0.0:$PORT\""),
            ("-w ${N:-4}", "-w \"${N:-4}\""),
            ("-w $(nproc --all)", "-w \"$(nproc --all)\""),
            ("-w `nproc`", "-w \"$(nproc)\""),
            ("'%(h)s $x'", "'%(h)s $x'"),
            ("a && b; c | d", "a && b ; c | d"),
            ("a >log 2>&1", "a > log 2>&1"),
            ("a ''", "a ''"),
        ] {
            assert_eq!(again(line), same, "{line}");
        }
    }

    #[test]
    fn an_open_quote_is_an_error() {
        for line in ["a 'b", "a \"b"] {
            assert!(split(line).unwrap_err().contains("is not closed"), "{line}");
        }
    }

    #[test]
    fn what_is_written_is_split_into_the_same() {
        for text in ["a", "", "a b", "it's", "a\"b", "$HOME", "x\\y", "*"] {
            assert_eq!(split(&quoted(text, false)), Ok(vec![Word::plain(text)]));
        }
    }
}
