//! Encoding a response's fields (RFC 7541 sections 5 and 6).
//!
//! Fields are written as literals without indexing, their names by the static table where it has
//! them. That leaves nothing to remember for a connection: a dynamic table would save some 80 bytes
//! of a usual response, and hold up to 4 KB for each connection that has ever had one. Huffman's
//! code would save a fifth of what is left, at more time than the rest of a head takes.

/// The first bytes of a connection's first block: the table has no room from here on (section 6.3).
/// A client that allows less than the 4,096 bytes which it began with waits for such an update.
pub(in crate::server) const NO_TABLE: &[u8] = &[0x20];

/// `:status`
pub(in crate::server) fn status(block: &mut Vec<u8>, status: u16) {
    let index = match status {
        200 => 8,
        204 => 9,
        206 => 10,
        304 => 11,
        400 => 12,
        404 => 13,
        500 => 14,
        _ => {
            block.push(8);
            return string(block, itoa::Buffer::new().format(status).as_bytes());
        }
    };
    block.push(0x80 | index);
}

/// A field. Its name goes out in lower case (RFC 9113 section 8.2.1).
pub(in crate::server) fn field(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    match index_of(name) {
        Some(index) => integer(block, 4, usize::from(index)),
        None => {
            block.push(0);
            integer(block, 7, name.len());
            block.extend(name.iter().map(u8::to_ascii_lowercase));
        }
    }
    string(block, value);
}

fn string(block: &mut Vec<u8>, string: &[u8]) {
    integer(block, 7, string.len());
    block.extend_from_slice(string);
}

/// Section 5.1, with a prefix of so many bits behind zeros.
fn integer(block: &mut Vec<u8>, prefix: u8, mut value: usize) {
    let most = (1 << prefix) - 1;
    if value < most {
        return block.push(value as u8);
    }
    block.push(most as u8);
    value -= most;
    while value >= 0x80 {
        block.push(value as u8 | 0x80);
        value >>= 7;
    }
    block.push(value as u8);
}

/// A name's number in the static table, if responses have it.
fn index_of(name: &[u8]) -> Option<u8> {
    let mut lower = [0; 32];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    Some(match &*lower {
        b"accept-ranges" => 18,
        b"access-control-allow-origin" => 20,
        b"age" => 21,
        b"allow" => 22,
        b"cache-control" => 24,
        b"content-disposition" => 25,
        b"content-encoding" => 26,
        b"content-language" => 27,
        b"content-length" => 28,
        b"content-location" => 29,
        b"content-range" => 30,
        b"content-type" => 31,
        b"date" => 33,
        b"etag" => 34,
        b"expires" => 36,
        b"last-modified" => 44,
        b"link" => 45,
        b"location" => 46,
        b"proxy-authenticate" => 48,
        b"refresh" => 52,
        b"retry-after" => 53,
        b"server" => 54,
        b"set-cookie" => 55,
        b"strict-transport-security" => 56,
        b"vary" => 59,
        b"via" => 60,
        b"www-authenticate" => 61,
        _ => return None,
    })
}

/// A field whose name goes out as it is.
#[cfg(test)]
pub(in crate::server) fn raw_field(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    block.push(0);
    string(block, name);
    string(block, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::hpack::table::STATIC;
    use crate::server::hpack::{Decoder, FieldList};

    #[test]
    fn names_have_the_numbers_of_the_table() {
        for (name, _) in STATIC {
            if let Some(index) = index_of(name.as_bytes()) {
                assert_eq!(STATIC[usize::from(index) - 1].0, name);
            }
        }
        assert_eq!(index_of(b"Content-TYPE"), Some(31));
    }

    #[test]
    fn a_block_says_what_was_put_into_it() {
        let mut block = NO_TABLE.to_vec();
        let long = "v".repeat(20_000);
        let sent = [
            ("X-One", "1"),
            ("Date", "today"),
            ("x-long", &long),
            ("x", ""),
        ];
        status(&mut block, 200);
        status(&mut block, 418);
        for (name, value) in sent {
            field(&mut block, name.as_bytes(), value.as_bytes());
        }
        let mut fields = FieldList::default();
        fields.reset(100_000);
        Decoder::default().decode(&block, &mut fields).unwrap();
        let expected = [
            (":status", "200"),
            (":status", "418"),
            ("x-one", "1"),
            ("date", "today"),
            ("x-long", &long),
            ("x", ""),
        ];
        let expected = expected.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        assert_eq!(fields.iter().collect::<Vec<_>>(), expected);
    }
}
