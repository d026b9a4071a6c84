//! Decoding a field block (RFC 7541 sections 3, 5 and 6).

use super::Undecodable;
use super::huffman;
use super::list::FieldList;
use super::table::{Dynamic, STATIC};

/// The receiving end of a connection's compression.
#[derive(Debug, Default)]
pub(in crate::server) struct Decoder {
    table: Dynamic,
}

impl Decoder {
    /// Appends the fields of a whole block to `fields`.
    ///
    /// # Errors
    /// The block is malformed; nothing that follows can be decoded any more.
    pub(in crate::server) fn decode(
        &mut self,
        mut block: &[u8],
        fields: &mut FieldList,
    ) -> Result<(), Undecodable> {
        // Section 4.2: the table's size changes before the first field only.
        let mut may_resize = true;
        while let Some(first) = block.first() {
            match first {
                0x80.. => {
                    let index = integer(&mut block, 7)?;
                    self.indexed(index, fields)?;
                }
                0x40.. => {
                    let name = self.literal(&mut block, 6, fields)?;
                    self.table.add(fields.written(), name as u32);
                    fields.push(name);
                }
                0x20.. => {
                    let size = integer(&mut block, 5)?;
                    if !may_resize || !self.table.resize(size) {
                        return Err(Undecodable);
                    }
                    continue;
                }
                // Without indexing, or never indexed: the same here, as fields are not forwarded.
                _ => {
                    let name = self.literal(&mut block, 4, fields)?;
                    fields.push(name);
                }
            }
            may_resize = false;
        }
        Ok(())
    }

    fn indexed(&self, index: usize, fields: &mut FieldList) -> Result<(), Undecodable> {
        let (name, value) = self.entry(index)?;
        let buffer = fields.buffer();
        buffer.extend_from_slice(name);
        buffer.extend_from_slice(value);
        fields.push(name.len());
        Ok(())
    }

    /// Writes a literal field, and says how long its name is.
    fn literal(
        &self,
        block: &mut &[u8],
        prefix: u8,
        fields: &mut FieldList,
    ) -> Result<usize, Undecodable> {
        let start = fields.start();
        let buffer = fields.buffer();
        match integer(block, prefix)? {
            0 => string(block, buffer)?,
            index => buffer.extend_from_slice(self.entry(index)?.0),
        }
        let name = buffer.len() - start;
        string(block, buffer)?;
        Ok(name)
    }

    fn entry(&self, index: usize) -> Result<(&[u8], &[u8]), Undecodable> {
        match index.checked_sub(1).ok_or(Undecodable)? {
            number if number < STATIC.len() => {
                let (name, value) = STATIC[number];
                Ok((name.as_bytes(), value.as_bytes()))
            }
            number => self.table.get(number - STATIC.len()).ok_or(Undecodable),
        }
    }
}

/// Section 5.1. Nothing that can be counted so in a block has more than 28 bits.
fn integer(block: &mut &[u8], prefix: u8) -> Result<usize, Undecodable> {
    let (first, mut rest) = block.split_first().ok_or(Undecodable)?;
    let most = (1_usize << prefix) - 1;
    let mut value = usize::from(*first) & most;
    if value == most {
        let mut shift = 0;
        loop {
            let (byte, after) = rest.split_first().ok_or(Undecodable)?;
            rest = after;
            value += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
            shift += 7;
            if shift > 21 {
                return Err(Undecodable);
            }
        }
    }
    *block = rest;
    Ok(value)
}

/// Section 5.2.
fn string(block: &mut &[u8], plain: &mut Vec<u8>) -> Result<(), Undecodable> {
    let is_coded = block.first().is_some_and(|first| first & 0x80 != 0);
    let length = integer(block, 7)?;
    let (string, rest) = block.split_at_checked(length).ok_or(Undecodable)?;
    *block = rest;
    if is_coded {
        return huffman::decode(string, plain);
    }
    plain.extend_from_slice(string);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Fields = Vec<(String, String)>;
    type Field = (&'static str, &'static str);

    fn unhex(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16);
        digits.chunks(2).map(|pair| byte(pair).unwrap()).collect()
    }

    fn decoded(decoder: &mut Decoder, hex: &str) -> Result<Fields, Undecodable> {
        let mut fields = FieldList::default();
        fields.reset(10_000);
        decoder.decode(&unhex(hex), &mut fields)?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let pairs = fields.iter();
        Ok(pairs
            .map(|(name, value)| (text(name), text(value)))
            .collect())
    }

    fn pairs(expected: &[(&str, &str)]) -> Fields {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        expected.iter().map(owned).collect()
    }

    /// Blocks of one connection, what they say, and the table's size after each.
    fn follow(blocks: &[(&str, &[Field], usize)]) {
        let mut decoder = Decoder::default();
        for (block, expected, size) in blocks {
            assert_eq!(decoded(&mut decoder, block), Ok(pairs(expected)), "{block}");
            assert_eq!(decoder.table.size(), *size, "{block}");
        }
    }

    const REQUESTS: [&[(&str, &str)]; 3] = [
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "www.example.com"),
        ],
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "www.example.com"),
            ("cache-control", "no-cache"),
        ],
        &[
            (":method", "GET"),
            (":scheme", "https"),
            (":path", "/index.html"),
            (":authority", "www.example.com"),
            ("custom-key", "custom-value"),
        ],
    ];

    #[test]
    fn single_representations_are_decoded() {
        // Appendix C.2
        follow(&[(
            "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
            &[("custom-key", "custom-header")],
            55,
        )]);
        follow(&[(
            "040c 2f73 616d 706c 652f 7061 7468",
            &[(":path", "/sample/path")],
            0,
        )]);
        let secret = "1008 7061 7373 776f 7264 0673 6563 7265 74";
        follow(&[(secret, &[("password", "secret")], 0)]);
        follow(&[("82", &[(":method", "GET")], 0)]);
    }

    #[test]
    fn requests_with_and_without_huffman_are_decoded() {
        // Appendices C.3 and C.4
        follow(&[
            (
                "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
                REQUESTS[0],
                57,
            ),
            ("8286 84be 5808 6e6f 2d63 6163 6865", REQUESTS[1], 110),
            (
                "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
                REQUESTS[2],
                164,
            ),
        ]);
        follow(&[
            (
                "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
                REQUESTS[0],
                57,
            ),
            ("8286 84be 5886 a8eb 1064 9cbf", REQUESTS[1], 110),
            (
                "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
                REQUESTS[2],
                164,
            ),
        ]);
    }

    #[test]
    fn entries_are_evicted() {
        // Appendix C.6: responses, with a table of 256 bytes.
        let mut decoder = Decoder::default();
        assert!(decoder.table.resize(256));
        let date = ("date", "Mon, 21 Oct 2013 20:13:21 GMT");
        let location = ("location", "https://www.example.com");
        let first = "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 \
                     82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3";
        let expected = [
            (":status", "302"),
            ("cache-control", "private"),
            date,
            location,
        ];
        assert_eq!(decoded(&mut decoder, first), Ok(pairs(&expected)));
        assert_eq!(decoder.table.size(), 222);
        let expected = [
            (":status", "307"),
            ("cache-control", "private"),
            date,
            location,
        ];
        assert_eq!(
            decoded(&mut decoder, "4883 640e ffc1 c0bf"),
            Ok(pairs(&expected))
        );
        assert_eq!(decoder.table.size(), 222);
        let third = "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b \
                     d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 \
                     0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07";
        let expected = [
            (":status", "200"),
            ("cache-control", "private"),
            ("date", "Mon, 21 Oct 2013 20:13:22 GMT"),
            location,
            ("content-encoding", "gzip"),
            (
                "set-cookie",
                "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
            ),
        ];
        assert_eq!(decoded(&mut decoder, third), Ok(pairs(&expected)));
        assert_eq!(decoder.table.size(), 215);
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for bad in [
            "80",                // index 0
            "be",                // an entry that is not there
            "ff ff ff ff ff ff", // an index without an end
            "00 05 61",          // a string longer than the block
            "00 81 ff 00",       // padding of a whole byte
            "82 20",             // a size update after a field
            "3f e2 1f",          // a table of 4097 bytes
            "40",                // nothing behind the first byte
        ] {
            assert_eq!(
                decoded(&mut Decoder::default(), bad),
                Err(Undecodable),
                "{bad}"
            );
        }
        let resized = decoded(&mut Decoder::default(), "20 3f e1 1f 82");
        assert_eq!(resized, Ok(pairs(&[(":method", "GET")])));
    }

    #[test]
    fn a_list_keeps_no_more_than_its_limit_and_the_table_goes_on() {
        let mut decoder = Decoder::default();
        let mut fields = FieldList::default();
        fields.reset(45);
        let block = unhex("82 400a 6375 7374 6f6d 2d6b 6579 0161");
        assert_eq!(decoder.decode(&block, &mut fields), Ok(()));
        assert!(fields.is_too_large());
        assert_eq!(fields.len(), 1);
        assert_eq!(
            decoded(&mut decoder, "be"),
            Ok(pairs(&[("custom-key", "a")]))
        );
    }
}
