"""h2spec's `hpack`: blocks of fields that cannot be decoded."""

from h2spec.case import GET, HUFFMAN_TEST, case, with_block
from h2spec.outcomes import connection_error
from harness.http2_frames import COMPRESSION_ERROR, headers

HPACK = [
    case(name, sent, then=connection_error(COMPRESSION_ERROR))
    for name, sent in (
        ("2.3.3 an index beyond both tables", with_block(b"\xfe")),
        ("2.3.3 a literal whose name is beyond both tables", with_block(b"\x7e\x00")),
        ("4.2 a change of the table's size behind a field", with_block(b"\x21")),
        ("5.2 more than 7 bits of padding", with_block(b"\x00" + HUFFMAN_TEST + b"\x84\x49\x50\x9f\xff")),
        ("5.2 padding of zeros", with_block(b"\x00" + HUFFMAN_TEST + b"\x83\x49\x50\x90")),
        (
            "5.2 the end-of-string symbol",
            with_block(b"\x00" + HUFFMAN_TEST + b"\x87\xff\xff\xff\xfd\x25\x42\x7f"),
        ),
        ("6.1 index 0", with_block(b"\x80")),
        # 4097, which is one more than SETTINGS_HEADER_TABLE_SIZE has been.
        ("6.3 a table larger than allowed", headers(1, b"\x3f\xe2\x1f" + GET)),
    )
]
