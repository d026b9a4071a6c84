//! `--header NAME:VALUE`.

/// Splits at the first colon; refuses what cannot be sent in a response.
pub(super) fn parse(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("it has no colon")?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(format!("\"{name}\" is not a header name"));
    }
    if value.chars().any(|c| c.is_control() && c != '\t') {
        return Err("the value has control characters".to_owned());
    }
    Ok((name.to_ascii_lowercase(), value.to_owned()))
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_header_is_split_at_its_first_colon_and_stripped() {
        assert_eq!(parse("X-A: b:c "), Ok(("x-a".to_owned(), "b:c".to_owned())));
        assert_eq!(parse("X-A:"), Ok(("x-a".to_owned(), String::new())));
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        for wrong in ["", "x", ":x", "a b:c", "a:b\r\nc:d"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
