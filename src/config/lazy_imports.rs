//! `--lazy-imports`: which packages' imports wait for their first use.

/// The words of `auto,app,pandas,-app.models`; none for `off`.
///
/// # Errors
/// Why the text has no meaning.
pub(super) fn parse(text: &str) -> Result<Vec<String>, String> {
    let words: Vec<&str> = text.split(',').map(str::trim).collect();
    if words == ["off"] {
        return Ok(Vec::new());
    }
    for word in &words {
        match *word {
            "" => return Err("a name is missing between the commas".to_owned()),
            "off" => return Err("off goes with nothing else".to_owned()),
            word if !is_choice(word) => {
                return Err(format!(
                    "\"{word}\" is no package; write auto, off, package, package.* or -package"
                ));
            }
            _ => {}
        }
    }
    if words.iter().all(|word| word.starts_with('-')) {
        return Err("there is nothing to exclude from; begin with auto or a package".to_owned());
    }
    Ok(words.into_iter().map(str::to_owned).collect())
}

/// A dotted name, to be excluded or with all that is in it.
fn is_choice(word: &str) -> bool {
    let name = match word.strip_prefix('-') {
        Some(excluded) => excluded,
        None => word.strip_suffix(".*").unwrap_or(word),
    };
    is_dotted(name)
}

/// A module's name.
pub(super) fn is_dotted(name: &str) -> bool {
    name.split('.').all(is_identifier)
}

/// As Python has it, but for the finer points of Unicode.
fn is_identifier(part: &str) -> bool {
    let starts = part.chars().next();
    starts.is_some_and(|first| first.is_alphabetic() || first == '_')
        && part
            .chars()
            .all(|each| each.is_alphanumeric() || each == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_packages_of_three_kinds() {
        assert_eq!(parse("off"), Ok(Vec::new()));
        let words = ["auto", "app", "boto3.*", "-app.models"].map(str::to_owned);
        assert_eq!(parse("auto, app,boto3.*,-app.models"), Ok(words.to_vec()));
    }

    #[test]
    fn what_is_no_package_is_refused_with_the_reason() {
        for (wrong, why) in [
            ("", "missing"),
            ("auto,,app", "missing"),
            ("auto,off", "off goes"),
            ("-app", "nothing to exclude from"),
            ("app-name", "is no package"),
            ("app.", "is no package"),
            ("1app", "is no package"),
            ("-app.*", "is no package"),
            ("*", "is no package"),
        ] {
            let said = parse(wrong).unwrap_err();
            assert!(said.contains(why), "{wrong:?}: {said}");
        }
    }
}
