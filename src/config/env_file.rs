//! `--env-file`, in the syntax of python-dotenv, which is what Uvicorn reads it with.
//!
//! A parser of our own, because every crate has a dialect of its own: dotenvy refuses `NAME=two
//! words`, others expand `$NAME` or cut a value at any `#`. Here as there:
//!
//! - `export` may precede a name, and white space may surround `=`;
//! - a value without quotes ends with the line or before a ` #`;
//! - a value in quotes may have several lines; `\'` and `\\` are escapes in single quotes, C's
//!   single-letter ones in double quotes, and whatever follows a backslash does not end the value;
//! - a line ends with LF, CRLF or CR, which all are LF within quotes;
//! - `${NAME}` and `${NAME:-default}` are expanded in every value, from the environment first and
//!   then from the lines above; `$NAME` is not.

/// The variables of a file, without the names that have no `=`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct EnvFile {
    /// The last value of each name, in the order in which the names appear.
    pub variables: Vec<(String, String)>,
    /// The numbers of the lines that make no sense, from 1. They are skipped, as in python-dotenv.
    pub nonsense: Vec<usize>,
}

/// Reads a whole file; `outside` is the environment, which wins in expansions.
pub(super) fn parse(text: &str, outside: impl Fn(&str) -> Option<String>) -> EnvFile {
    let mut file = EnvFile::default();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut reader = Reader { rest: &text };
    loop {
        reader.skip(is_space);
        if reader.rest.is_empty() {
            return file;
        }
        let before = &text[..text.len() - reader.rest.len()];
        let line = 1 + before.matches('\n').count();
        match reader.binding() {
            Ok(Some((name, None))) => file.variables.retain(|(known, _)| *known != name),
            Ok(Some((name, Some(value)))) => {
                let known = |name: &str| outside(name).or_else(|| file.value(name));
                let value = expand(&value, known);
                file.set(name, value);
            }
            Ok(None) => {}
            Err(Nonsense) => {
                file.nonsense.push(line);
                reader.skip(|c| c != '\n');
            }
        }
    }
}

impl EnvFile {
    fn value(&self, name: &str) -> Option<String> {
        let mut variables = self.variables.iter();
        let (_, value) = variables.find(|(known, _)| known == name)?;
        Some(value.clone())
    }

    fn set(&mut self, name: String, value: String) {
        match self.variables.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.variables.push((name, value)),
        }
    }
}

/// A name, and its value; one without a value has none of the lines above either.
type Binding = (String, Option<String>);

/// A line that is neither empty nor a comment nor a binding.
struct Nonsense;

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// Reads `[export] NAME[=value] [# comment]` and what ends the line.
    fn binding(&mut self) -> Result<Option<Binding>, Nonsense> {
        if let Some(after) = self.rest.strip_prefix("export")
            && after.starts_with(is_blank)
        {
            self.rest = after;
            self.skip(is_blank);
        }
        let mut binding = None;
        if !self.rest.starts_with('#') {
            let name = self.name()?;
            self.skip(is_blank);
            let value = self.take('=').then(|| self.value()).transpose()?;
            binding = Some((name.to_owned(), value));
        }
        self.skip(is_blank);
        if self.rest.starts_with('#') {
            self.skip(|c| c != '\n');
        }
        if self.rest.is_empty() || self.rest.starts_with('\n') {
            Ok(binding)
        } else {
            Err(Nonsense)
        }
    }

    fn name(&mut self) -> Result<&'a str, Nonsense> {
        let name = if let Some(quoted) = self.rest.strip_prefix('\'') {
            let (name, after) = quoted.split_once('\'').ok_or(Nonsense)?;
            self.rest = after;
            name
        } else {
            self.skip(|c| !is_space(c) && !matches!(c, '=' | '#'))
        };
        if name.is_empty() {
            Err(Nonsense)
        } else {
            Ok(name)
        }
    }

    fn value(&mut self) -> Result<String, Nonsense> {
        let blank = self.skip(is_blank);
        if self.take('\'') {
            let raw = self.until_quote('\'')?;
            return Ok(unescape(raw, |c| matches!(c, '\\' | '\'').then_some(c)));
        }
        if self.take('"') {
            return Ok(unescape(self.until_quote('"')?, c_escape));
        }
        let line = self.skip(|c| c != '\n');
        if !blank.is_empty() && line.starts_with('#') {
            return Ok(String::new());
        }
        let comment = line
            .match_indices('#')
            .map(|(at, _)| at)
            .find(|at| line[..*at].ends_with(is_space));
        let value = &line[..comment.unwrap_or(line.len())];
        Ok(value.trim_end_matches(is_space).to_owned())
    }

    /// The text before the closing quote, which is passed. A character behind a backslash does not close.
    fn until_quote(&mut self, quote: char) -> Result<&'a str, Nonsense> {
        let mut chars = self.rest.char_indices();
        while let Some((at, c)) = chars.next() {
            if c == quote {
                let inside = &self.rest[..at];
                self.rest = chars.as_str();
                return Ok(inside);
            }
            if c == '\\' {
                chars.next();
            }
        }
        Err(Nonsense)
    }

    fn skip(&mut self, is_skipped: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !is_skipped(c));
        let (skipped, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        skipped
    }

    fn take(&mut self, wanted: char) -> bool {
        let after = self.rest.strip_prefix(wanted);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }
}

/// White space, as Python has it: Unicode's, and four separators of ASCII.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\x1c'..='\x1f')
}

fn is_blank(c: char) -> bool {
    c != '\n' && is_space(c)
}

/// Replaces a backslash and what follows it by what `meaning` says; others stay as they are.
fn unescape(raw: &str, meaning: impl Fn(char) -> Option<char>) -> String {
    let mut plain = String::with_capacity(raw.len());
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        let escaped = (c == '\\').then(|| chars.peek().copied().and_then(&meaning));
        match escaped.flatten() {
            Some(meant) => {
                chars.next();
                plain.push(meant);
            }
            None => plain.push(c),
        }
    }
    plain
}

fn c_escape(c: char) -> Option<char> {
    match c {
        '\\' | '\'' | '"' => Some(c),
        'a' => Some('\x07'),
        'b' => Some('\x08'),
        'f' => Some('\x0c'),
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        'v' => Some('\x0b'),
        _ => None,
    }
}

/// Puts values in place of `${NAME}` and `${NAME:-default}`; an unknown name without a default is
/// empty. Values are not expanded again.
fn expand(value: &str, known: impl Fn(&str) -> Option<String>) -> String {
    let mut expanded = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(start) = rest.find("${") {
        let inside = &rest[start + 2..];
        let reference = inside.find('}').map(|end| (&inside[..end], end));
        let parts = reference.and_then(|(reference, end)| {
            let (name, default) = reference.split_once(":-").unwrap_or((reference, ""));
            (!name.contains(':')).then_some((name, default, end))
        });
        let (before, after) = match parts {
            Some((_, _, end)) => (&rest[..start], &inside[end + 1..]),
            None => rest.split_at(start + 2),
        };
        expanded.push_str(before);
        if let Some((name, default, _)) = parts {
            expanded.push_str(&known(name).unwrap_or_else(|| default.to_owned()));
        }
        rest = after;
    }
    expanded.push_str(rest);
    expanded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> EnvFile {
        parse(text, |name| (name == "SET").then(|| "outside".to_owned()))
    }

    /// The value of A.
    fn value(text: &str) -> String {
        let file = read(text);
        assert_eq!(file.nonsense, [0; 0], "{text:?}");
        file.value("A")
            .unwrap_or_else(|| panic!("no A in {text:?}"))
    }

    #[test]
    fn a_value_without_quotes_ends_with_its_line_or_before_a_comment() {
        for (text, expected) in [
            ("A=by the file", "by the file"),
            ("A=b\r\nB=c", "b"),
            ("A = b \t", "b"),
            ("export A=b", "b"),
            ("export\tA=b", "b"),
            ("'A'=b", "b"),
            ("A=b # no c", "b"),
            ("A=b#c", "b#c"),
            ("A=#c", "#c"),
            ("A= # c", ""),
            ("A=", ""),
            ("A=it's", "it's"),
            (r"A=a\nb", r"a\nb"),
            ("A=b=c", "b=c"),
            ("\u{feff}A=b", "b"),
            ("A={\"a\": 1}", "{\"a\": 1}"),
            ("A\x1f=\x1cb\x1d#c", "b"),
        ] {
            assert_eq!(value(text), expected, "{text:?}");
        }
    }

    #[test]
    fn quotes_keep_spaces_lines_and_hashes() {
        for (text, expected) in [
            ("A=' b # c ' # d", " b # c "),
            ("A=\"b\nc\"", "b\nc"),
            (r#"A="b\nc\"d\\e\q""#, "b\nc\"d\\e\\q"),
            (r"A='b\nc\'d\\'", r"b\nc'd\"),
            (r"A='C:\\' # c's", r"C:\"),
            ("A='b\r\nc\rd'", "b\nc\nd"),
            ("A=''", ""),
        ] {
            assert_eq!(value(text), expected, "{text:?}");
        }
    }

    #[test]
    fn references_are_expanded_from_outside_and_from_above() {
        for (text, expected) in [
            ("A=${SET}", "outside"),
            ("SET=inside\nA=${SET}", "outside"),
            ("B=b\nA=<${B}>", "<b>"),
            ("A='${B:-x y}'", "x y"),
            ("A=a${B}c", "ac"),
            ("A=$SET", "$SET"),
            ("A=${SET", "${SET"),
            ("A=${B:c}", "${B:c}"),
        ] {
            assert_eq!(value(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_last_value_of_a_name_counts() {
        let expected = [("A", "3"), ("B", "2")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(read("A=1\nB=2\nA=3").variables, expected);
        assert_eq!(read("C=1\nA=3\nC\nB=2").variables, expected);
    }

    #[test]
    fn what_makes_no_sense_is_told_by_its_line_and_skipped() {
        let file = read("# fine\n\n=a\nB=c\nC='d' e\r\nNAME\rD=1\nE=\"f\nF='C:\\'\n");
        assert_eq!(file.nonsense, [3, 5, 8, 9]);
        let names: Vec<_> = file.variables.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["B", "D"]);
    }
}
