//! Conditional requests (RFC 9110 section 13).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The validators that tell one version of a file from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Validators {
    /// With its quotes; strong: it changes with every byte.
    pub(super) etag: String,
    /// In whole seconds, as HTTP has them.
    pub(super) modified: SystemTime,
}

/// The conditions of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Conditions {
    pub(super) if_match: Option<String>,
    pub(super) if_none_match: Option<String>,
    pub(super) if_modified_since: Option<String>,
    pub(super) if_unmodified_since: Option<String>,
    pub(super) if_range: Option<String>,
}

/// The result of the conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Answer as if there were none.
    Serve,
    /// The client has it: 304.
    NotModified,
    /// It is not what the client believes: 412.
    Failed,
}

impl Validators {
    /// Of a file with this size and time of modification, in a coding or without.
    pub(super) fn new(size: u64, modified: Duration, coding: Option<&str>) -> Self {
        let nanos = modified.as_nanos();
        let mark = coding.map_or(String::new(), |coding| format!("-{coding}"));
        Self {
            etag: format!("\"{nanos:x}-{size:x}{mark}\""),
            modified: UNIX_EPOCH + Duration::from_secs(modified.as_secs()),
        }
    }

    fn matches_strongly(&self, list: &str) -> bool {
        tags(list).any(|(weak, tag)| !weak && tag == self.etag)
    }

    fn matches_weakly(&self, list: &str) -> bool {
        tags(list).any(|(_, tag)| tag == self.etag)
    }
}

impl Conditions {
    /// The order of RFC 9110 section 13.2.2, for GET and HEAD.
    pub(super) fn verdict(&self, now: &Validators) -> Verdict {
        let is_any = |list: &str| list.trim() == "*";
        if let Some(list) = &self.if_match {
            if !is_any(list) && !now.matches_strongly(list) {
                return Verdict::Failed;
            }
        } else if let Some(date) = self.if_unmodified_since.as_deref().and_then(date)
            && now.modified > date
        {
            return Verdict::Failed;
        }
        let is_known = match &self.if_none_match {
            Some(list) => is_any(list) || now.matches_weakly(list),
            None => {
                let since = self.if_modified_since.as_deref().and_then(date);
                since.is_some_and(|date| now.modified <= date)
            }
        };
        if is_known {
            Verdict::NotModified
        } else {
            Verdict::Serve
        }
    }

    /// Whether a range may be sent: section 13.1.5, strong comparison.
    pub(super) fn allow_range(&self, now: &Validators) -> bool {
        match self.if_range.as_deref().map(str::trim) {
            None => true,
            Some(tag) if tag.starts_with(['"', 'W']) && !is_day(tag) => tag == now.etag,
            Some(text) => date(text) == Some(now.modified),
        }
    }
}

/// A date may begin with `Wed`.
fn is_day(text: &str) -> bool {
    text.starts_with("We")
}

fn date(text: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(text.trim()).ok()
}

/// The entity tags of a list, with their quotes, and whether each is weak.
fn tags(list: &str) -> impl Iterator<Item = (bool, &str)> {
    let mut rest = list;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let weak = rest.starts_with("W/");
        let tag = rest.strip_prefix("W/").unwrap_or(rest);
        let inside = tag.strip_prefix('"')?;
        let end = inside.find('"')? + 2;
        rest = &tag[end..];
        Some((weak, &tag[..end]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn now() -> Validators {
        Validators {
            etag: "\"a\"".to_owned(),
            modified: date(THEN).unwrap(),
        }
    }

    fn verdict(set: impl FnOnce(&mut Conditions)) -> Verdict {
        let mut conditions = Conditions::default();
        set(&mut conditions);
        conditions.verdict(&now())
    }

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn without_conditions_it_is_served() {
        assert_eq!(verdict(|_| {}), Verdict::Serve);
    }

    #[test]
    fn what_the_client_has_is_not_sent_again() {
        for list in ["\"a\"", "W/\"a\"", "\"b\", \"a\"", "*", ", \"b\",W/\"a\""] {
            let verdict = verdict(|c| c.if_none_match = text(list));
            assert_eq!(verdict, Verdict::NotModified, "{list}");
        }
        for list in ["\"b\"", "a", "", "\"a", "\"b,\"a"] {
            let verdict = verdict(|c| c.if_none_match = text(list));
            assert_eq!(verdict, Verdict::Serve, "{list}");
        }
        let since = |date| verdict(|c| c.if_modified_since = text(date));
        assert_eq!(
            (since(BEFORE), since(THEN)),
            (Verdict::Serve, Verdict::NotModified)
        );
        assert_eq!(
            (since(AFTER), since("today")),
            (Verdict::NotModified, Verdict::Serve)
        );
    }

    #[test]
    fn a_tag_counts_more_than_a_date() {
        let verdict = verdict(|c| {
            c.if_none_match = text("\"b\"");
            c.if_modified_since = text(AFTER);
        });
        assert_eq!(verdict, Verdict::Serve);
    }

    #[test]
    fn what_has_changed_under_the_client_fails() {
        let matched = |list| verdict(|c| c.if_match = text(list));
        assert_eq!(
            (matched("\"a\""), matched("*")),
            (Verdict::Serve, Verdict::Serve)
        );
        assert_eq!(
            (matched("\"b\""), matched("W/\"a\"")),
            (Verdict::Failed, Verdict::Failed)
        );
        let since = |date| verdict(|c| c.if_unmodified_since = text(date));
        assert_eq!(
            (since(BEFORE), since(THEN), since("x")),
            (Verdict::Failed, Verdict::Serve, Verdict::Serve)
        );
    }

    #[test]
    fn a_failed_condition_comes_before_a_known_version() {
        let verdict = verdict(|c| {
            c.if_match = text("\"b\"");
            c.if_none_match = text("\"a\"");
        });
        assert_eq!(verdict, Verdict::Failed);
    }

    #[test]
    fn a_range_is_sent_of_exactly_the_version_that_the_client_has() {
        let allowed = |value: &str| {
            let if_range = text(value);
            let conditions = Conditions {
                if_range,
                ..Conditions::default()
            };
            conditions.allow_range(&now())
        };
        assert!(allowed("\"a\"") && allowed(THEN));
        for other in [
            "W/\"a\"",
            "\"b\"",
            BEFORE,
            AFTER,
            "Wed, 09 Nov 1994 08:49:37 GMT",
            "x",
            "",
        ] {
            assert!(!allowed(other), "{other}");
        }
    }

    #[test]
    fn codings_have_tags_of_their_own() {
        let tag = |coding| Validators::new(10, Duration::from_nanos(255), coding).etag;
        assert_eq!(
            (tag(None).as_str(), tag(Some("br")).as_str()),
            ("\"ff-a\"", "\"ff-a-br\"")
        );
    }
}
