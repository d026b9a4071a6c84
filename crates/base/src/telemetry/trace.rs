//! The trace that a request belongs to, as its `traceparent` says (W3C Trace Context, level 1).

/// The lengths of the parts: version, trace, parent, flags.
const LENGTHS: [usize; 4] = [2, 32, 16, 2];

/// A version that there will never be.
const FORBIDDEN: &str = "ff";

/// The names by which tracing systems know a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace<'a> {
    /// 32 hexadecimal digits.
    pub trace_id: &'a str,
    /// The span of the caller, 16 hexadecimal digits.
    pub span_id: &'a str,
}

impl<'a> Trace<'a> {
    /// Reads the field; none if it is malformed. A later version may have more behind the flags.
    #[must_use]
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?.trim();
        let mut parts = text.split('-');
        let [version, trace_id, span_id, flags] =
            std::array::from_fn(|_| parts.next().unwrap_or(""));
        let is_more = parts.next().is_some();
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let all = [version, trace_id, span_id, flags];
        let is_formed = all
            .iter()
            .zip(LENGTHS)
            .all(|(part, length)| part.len() == length && part.bytes().all(is_digit));
        let is_zero = |part: &str| part.bytes().all(|byte| byte == b'0');
        let is_known = is_formed && version != FORBIDDEN && !(version == "00" && is_more);
        (is_known && !is_zero(trace_id) && !is_zero(span_id)).then_some(Self { trace_id, span_id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_well_formed_names_trace_and_span() {
        let value = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let trace = Trace::parse(value).unwrap();
        assert_eq!(trace.trace_id, "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(trace.span_id, "b7ad6b7169203331");
        assert!(
            Trace::parse(b"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more").is_some()
        );
    }

    #[test]
    fn any_other_names_none() {
        for value in [
            &b""[..],
            b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            b"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            b"00-00000000000000000000000000000000-b7ad6b7169203331-01",
            b"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            b"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            b"00-0af7651916cd43dd8448eb211c80319\xff-b7ad6b7169203331-01",
        ] {
            assert_eq!(Trace::parse(value), None, "{value:?}");
        }
    }
}
