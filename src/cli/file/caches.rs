//! The tables `[cache.NAME]`: the same terms as `--cache`, one to a line.

use toml::de::{DeTable, DeValue};

use super::Entry;

/// Whether a table is this one.
pub(super) fn is_ours(key: &str) -> bool {
    key == "cache"
}

/// The entry that the table comes to; or what is wrong, and where.
pub(super) fn entries(
    table: &DeTable<'_>,
    at: usize,
    place: &dyn Fn(usize) -> String,
) -> Result<Vec<Entry>, Vec<(usize, String)>> {
    let (mut values, mut wrong) = (Vec::new(), Vec::new());
    for (name, value) in table {
        let full = format!("cache.{}", name.get_ref());
        let terms = match value.get_ref().as_table() {
            Some(settings) => terms(&full, settings),
            None => Err(format!("{full} wants a table")),
        };
        let entry = terms.and_then(|terms| {
            let typed = format!("{}={terms}", name.get_ref());
            let checked = crate::cli::cache::parse(&typed);
            checked
                .map(|_| typed)
                .map_err(|why| format!("{full}: {why}"))
        });
        match entry {
            Ok(typed) => values.push(typed),
            Err(why) => wrong.push((name.span().start, why)),
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    Ok(vec![Entry {
        id: "caches".to_owned(),
        values,
        place: place(at),
    }])
}

/// `256M,1h`, as it would have been typed.
fn terms(full: &str, settings: &DeTable<'_>) -> Result<String, String> {
    let (mut size, mut ttl) = (String::new(), None);
    for (key, value) in settings {
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => number.as_str().to_owned(),
            _ => return Err(format!("{full}.{} wants a string", key.get_ref())),
        };
        match key.get_ref().as_ref() {
            "size" => size = text,
            "ttl" => ttl = Some(text),
            other => {
                return Err(format!(
                    "there is no setting {full}.{other}; there are size and ttl"
                ));
            }
        }
    }
    Ok(match ttl {
        Some(ttl) => format!("{size},{ttl}"),
        None => size,
    })
}
