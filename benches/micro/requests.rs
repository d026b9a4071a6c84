//! Requests as clients send them, for the benches.

/// A GET as a browser sends it behind a proxy.
pub const BROWSER: &[u8] = b"GET /books/42?page=2&sort=title HTTP/1.1\r\n\
    Host: www.example.org\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Cookie: session=9f2c1d0a7b6e4f5a8c3d2e1f0a9b8c7d; theme=dark\r\n\
    Connection: keep-alive\r\n\
    Sec-Fetch-Dest: document\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    X-Forwarded-For: 203.0.113.7\r\n\
    X-Forwarded-Proto: https\r\n\r\n";

/// A GET as a load generator sends it.
pub const BARE: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n";

/// `length` bytes in the chunked coding, in chunks of 4 KiB.
#[must_use]
pub fn chunked(length: usize) -> Vec<u8> {
    let chunk = [&b"1000\r\n"[..], &[b'x'; 4096], b"\r\n"].concat();
    let mut coded = chunk.repeat(length / 4096);
    coded.extend_from_slice(b"0\r\n\r\n");
    coded
}
