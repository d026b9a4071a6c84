//! Framings as clients write them, whole and broken.

use super::*;

fn unlimited(length: BodyLength) -> BodyDecoder {
    BodyDecoder::new(length, u64::MAX).unwrap()
}

fn chunked(input: &[u8]) -> Result<(Vec<u8>, usize, bool), BodyRefused> {
    let mut decoder = unlimited(BodyLength::Chunked);
    let mut body = Vec::new();
    let consumed = decoder.decode(input, &mut body, usize::MAX)?;
    Ok((body, consumed, decoder.is_done()))
}

#[test]
fn a_sized_body_ends_at_its_length() {
    let mut decoder = unlimited(BodyLength::Sized(5));
    let mut body = Vec::new();
    assert_eq!(decoder.decode(b"abc", &mut body, 2), Ok(2));
    assert_eq!(decoder.decode(b"cdeGET", &mut body, 100), Ok(3));
    assert!(decoder.is_done());
    assert_eq!(body, b"abcde");
}

#[test]
fn extensions_are_as_the_rfc_writes_them() {
    let decoded = |extension: &str| {
        let input = format!("1{extension}\r\na\r\n0\r\n\r\n");
        let mut decoder = unlimited(BodyLength::Chunked);
        decoder.decode(input.as_bytes(), &mut Vec::new(), usize::MAX)
    };
    let right = [
        ";a",
        "; a",
        ";a;b=c ; d = e",
        ";a=\"\"",
        ";a=\"b;c\\\"\u{e9}\"",
        ";a=\"b\";c",
    ];
    for extension in right {
        assert!(decoded(extension).is_ok(), "{extension}");
    }
    let wrong = [
        ";",
        ";;a",
        ";=a",
        ";a=",
        ";a=\"b",
        ";a=\"b\\",
        ";a=\"b\"c",
        ";a\u{1}",
        ";a=\"\u{7f}\"",
        ";a b",
    ];
    for extension in wrong {
        let malformed = BodyRefused::Malformed("a chunk extension is malformed");
        assert_eq!(decoded(extension), Err(malformed), "{extension}");
    }
}

#[test]
fn chunks_extensions_and_trailers_are_decoded() {
    let input = b"3;x=\"y\"\r\nabc\r\nA\r\n0123456789\r\n0\r\nt: v\r\n\r\nGET";
    assert_eq!(
        chunked(input),
        Ok((b"abc0123456789".to_vec(), input.len() - 3, true))
    );
}

#[test]
fn the_split_of_the_input_does_not_matter() {
    let input = b"3\r\nabc\r\n2;e\r\nde\r\n0\r\nt: v\r\n\r\n";
    let mut decoder = unlimited(BodyLength::Chunked);
    let mut body = Vec::new();
    for byte in input {
        let consumed = decoder.decode(&[*byte], &mut body, usize::MAX);
        assert_eq!(consumed, Ok(1));
    }
    assert!(decoder.is_done());
    assert_eq!(body, b"abcde");
}

#[test]
fn data_waits_for_room() {
    let mut decoder = unlimited(BodyLength::Chunked);
    let mut body = Vec::new();
    assert_eq!(decoder.decode(b"5\r\nabcde\r\n", &mut body, 2), Ok(5));
    assert_eq!(decoder.decode(b"cde\r\n0\r\n\r\n", &mut body, 100), Ok(10));
    assert!(decoder.is_done());
}

#[test]
fn broken_framing_is_refused() {
    for input in [
        &b"\r\n"[..],
        b"x\r\n",
        b" 3\r\nabc\r\n",
        b"+3\r\nabc\r\n",
        b"0x3\r\nabc\r\n",
        b"3\nabc\r\n",
        b"3\r\nabcd\r\n",
        b"3\r\nabc\n",
        b"3;a\nabc\r\n",
        b"1234567890123456\r\n",
        b"0\r\n\n",
        b"0\r\nt: v\n\r\n",
        b"0\r\nt v\r\n\r\n",
        b"0\r\nt : v\r\n\r\n",
        b"0\r\n: v\r\n\r\n",
        b"0\r\n t: v\r\n\r\n",
        b"3 ;x\r\nabc\r\n",
        b"3\rxabc",
    ] {
        assert!(
            chunked(input).is_err(),
            "{:?}",
            String::from_utf8_lossy(input)
        );
    }
    let long = [b"3;".as_slice(), &[b'x'; MAX_OVERHEAD + 1]].concat();
    assert!(chunked(&long).is_err());
}

#[test]
fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    let sized = |length| BodyDecoder::new(BodyLength::Sized(length), 5).map(|_| ());
    assert_eq!(sized(5), Ok(()));
    assert_eq!(sized(6), Err(BodyRefused::TooLarge));
    let mut decoder = BodyDecoder::new(BodyLength::Chunked, 5).unwrap();
    let mut body = Vec::new();
    assert_eq!(
        decoder.decode(b"3\r\nabc\r\n2\r\nde\r\n", &mut body, 99),
        Ok(15)
    );
    let more = decoder.decode(b"1\r\n", &mut body, 99);
    assert_eq!(more, Err(BodyRefused::TooLarge));
    assert_eq!(body, b"abcde");
}
