//! The Huffman code of HPACK (RFC 7541 section 5.2 and appendix B).
//!
//! The code is canonical: sorted by length and then by symbol, codes follow one another. So the
//! lengths define it, and 1.1 KB of tables made of them decode any symbol.

use super::Undecodable;

/// The lengths in bits of the 256 symbols' codes, and of that for the end of the string.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

const LONGEST: usize = 30;

/// Where the codes of one length are.
#[derive(Clone, Copy)]
struct Group {
    /// The first code behind them, in the highest bits of 32.
    end: u64,
    /// The first of them, as a number.
    first: u32,
    /// The place of its symbol among [`Tables::symbols`].
    symbol: u16,
}

struct Tables {
    /// Sorted by the lengths of their codes. The end of the string would be the last.
    symbols: [u8; 256],
    groups: [Group; LONGEST + 1],
    /// Symbol and length of the code that a byte begins with; 0 where it is longer.
    short: [(u8, u8); 256],
}

const TABLES: Tables = build();

const fn build() -> Tables {
    let mut tables = Tables {
        symbols: [0; 256],
        groups: [Group {
            end: 0,
            first: 0,
            symbol: 0,
        }; LONGEST + 1],
        short: [(0, 0); 256],
    };
    let (mut place, mut code, mut length) = (0, 0_u32, 1);
    while length <= LONGEST {
        code <<= 1;
        tables.groups[length].first = code;
        tables.groups[length].symbol = place as u16;
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == length {
                if symbol < 256 {
                    tables.symbols[place] = symbol as u8;
                }
                if length <= 8 {
                    let shift = 8 - length;
                    let mut rest = 0;
                    while rest < 1 << shift {
                        tables.short[((code as usize) << shift) + rest] =
                            (symbol as u8, length as u8);
                        rest += 1;
                    }
                }
                place += 1;
                code += 1;
            }
            symbol += 1;
        }
        tables.groups[length].end = (code as u64) << (32 - length);
        length += 1;
    }
    tables
}

/// Appends what `coded` stands for to `plain`.
pub(super) fn decode(coded: &[u8], plain: &mut Vec<u8>) -> Result<(), Undecodable> {
    static TABLES: Tables = self::TABLES;
    let mut input = coded.iter();
    // The bits taken from the input, in the highest `count` bits.
    let (mut bits, mut count) = (0_u64, 0_u32);
    loop {
        while count <= 56
            && let Some(byte) = input.next()
        {
            bits |= u64::from(*byte) << (56 - count);
            count += 8;
        }
        let (symbol, length) = match TABLES.short[(bits >> 56) as usize] {
            (_, 0) => long(&TABLES, bits >> 32),
            (symbol, length) => (usize::from(symbol), u32::from(length)),
        };
        if length > count {
            break;
        }
        // Section 5.2: the end of the string may not stand in it.
        plain.push(u8::try_from(symbol).map_err(|_| Undecodable)?);
        bits <<= length;
        count -= length;
    }
    // The rest is the beginning of the code for the end, which has only ones, and no whole byte.
    if count < 8 && bits.leading_ones() >= count {
        Ok(())
    } else {
        Err(Undecodable)
    }
}

/// The symbol whose code is longer than a byte, and the code's length.
fn long(tables: &Tables, window: u64) -> (usize, u32) {
    let mut length = 9;
    while length < LONGEST && window >= tables.groups[length].end {
        length += 1;
    }
    let group = tables.groups[length];
    let code = (window >> (32 - length)) as usize;
    let place = usize::from(group.symbol) + code - group.first as usize;
    let symbol = tables.symbols.get(place).map_or(256, |it| usize::from(*it));
    (symbol, length as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(coded: &[u8]) -> Result<Vec<u8>, Undecodable> {
        let mut plain = Vec::new();
        decode(coded, &mut plain).map(|()| plain)
    }

    /// All codes in binary, as their lengths give them.
    fn codes() -> Vec<String> {
        let mut sorted: Vec<usize> = (0..257).collect();
        sorted.sort_by_key(|symbol| (LENGTHS[*symbol], *symbol));
        let mut codes = vec![String::new(); 257];
        let (mut code, mut length) = (0_u64, 0);
        for symbol in sorted {
            code <<= LENGTHS[symbol] - length;
            length = LENGTHS[symbol];
            codes[symbol] = format!("{code:0width$b}", width = usize::from(length));
            code += 1;
        }
        codes
    }

    fn encode(plain: &[u8], codes: &[String]) -> Vec<u8> {
        let mut bits: String = plain.iter().map(|b| &*codes[usize::from(*b)]).collect();
        while !bits.len().is_multiple_of(8) {
            bits.push('1');
        }
        let byte = |bits: &[u8]| u8::from_str_radix(std::str::from_utf8(bits).unwrap(), 2).unwrap();
        bits.as_bytes().chunks(8).map(byte).collect()
    }

    #[test]
    fn the_examples_of_the_rfc_are_decoded() {
        let coded = [
            0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
        ];
        assert_eq!(decoded(&coded), Ok(b"www.example.com".to_vec()));
        assert_eq!(decoded(&[0x64, 0x02]), Ok(b"302".to_vec()));
        assert_eq!(decoded(&[]), Ok(Vec::new()));
    }

    #[test]
    fn every_symbol_is_decoded_in_every_place() {
        let codes = codes();
        for symbol in 0..=255 {
            for before in 0..8 {
                let plain = [&b"00000000"[..before], &[symbol, b'x', symbol]].concat();
                assert_eq!(decoded(&encode(&plain, &codes)), Ok(plain), "{symbol}");
            }
        }
    }

    #[test]
    fn padding_is_less_than_a_byte_of_ones() {
        for bad in [&[0xff][..], &[0x64, 0x02, 0xff], &[0x00], &[0x18]] {
            assert_eq!(decoded(bad), Err(Undecodable), "{bad:x?}");
        }
        assert_eq!(decoded(&[0x07]), Ok(b"0".to_vec()));
    }

    #[test]
    fn the_end_of_the_string_may_not_stand_in_it() {
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xff]), Err(Undecodable));
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xfd, 0xff]), Err(Undecodable));
    }
}
