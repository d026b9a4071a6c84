//! Which characters may stand where (RFC 9110 section 5).

/// No character of a token (RFC 9110 section 5.6.2).
const NO_TOKEN: u8 = 1;

/// No character of a field's value or a reason phrase.
const NO_TEXT: u8 = 2;

/// The classes that each byte does not belong to.
const IS_NOT: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        let token = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        let text = b >= b' ' && b != 0x7f || b == b'\t';
        table[byte] = if token { 0 } else { NO_TOKEN } | if text { 0 } else { NO_TEXT };
        byte += 1;
    }
    table
};

/// The classes that some byte of these does not belong to. Leaving the loop early would cost more than it
/// saves.
fn is_not(bytes: &[u8]) -> u8 {
    bytes
        .iter()
        .fold(0, |found, byte| found | IS_NOT[usize::from(*byte)])
}

/// Whether bytes may stand in a field's value or a reason phrase.
pub(super) fn are_text(bytes: &[u8]) -> bool {
    is_not(bytes) & NO_TEXT == 0
}

/// Whether bytes are a token, such as a field's name.
pub(super) fn are_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && is_not(bytes) & NO_TOKEN == 0
}

/// Whether a byte may stand in a field's value or a reason phrase.
pub(in crate::server) fn is_text(byte: u8) -> bool {
    IS_NOT[usize::from(byte)] & NO_TEXT == 0
}

/// Whether a byte may stand in a token.
pub(in crate::server) fn is_token(byte: u8) -> bool {
    IS_NOT[usize::from(byte)] & NO_TOKEN == 0
}
