//! The syntax of the host that a request is for.

use super::Refused;

/// RFC 3986 section 3.2.2, the characters of a reg-name: unreserved, pct-encoded, sub-delims without
/// the comma, which only a joined pair of fields would bring.
const REG_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'-' | b'.'
                    | b'_'
                    | b'~'
                    | b'%'
                    | b'!'
                    | b'$'
                    | b'&'
                    | b'\''
                    | b'('
                    | b')'
                    | b'*'
                    | b'+'
                    | b';'
                    | b'='
            );
        byte += 1;
    }
    table
};

/// RFC 9112 section 3.2: a host that is no `uri-host [":" port]` is answered 400. Empty is legal.
pub(in crate::server) fn check_host(value: &[u8]) -> Result<(), Refused> {
    const MALFORMED: Refused = Refused::Malformed("malformed host");
    let port = if let Some(literal) = value.strip_prefix(b"[") {
        let end = memchr::memchr(b']', literal).ok_or(MALFORMED)?;
        let address = &literal[..end];
        if !address
            .iter()
            .all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.' | b'%'))
        {
            return Err(MALFORMED);
        }
        match &literal[end + 1..] {
            [] => return Ok(()),
            [b':', port @ ..] => port,
            _ => return Err(MALFORMED),
        }
    } else {
        let (name, port) = match memchr::memchr(b':', value) {
            Some(colon) => (&value[..colon], &value[colon + 1..]),
            None => (value, &[][..]),
        };
        if !name.iter().all(|byte| REG_NAME[usize::from(*byte)]) {
            return Err(MALFORMED);
        }
        port
    };
    if port.len() <= 5 && port.iter().all(u8::is_ascii_digit) {
        Ok(())
    } else {
        Err(MALFORMED)
    }
}
