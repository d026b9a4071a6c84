"""Field compression: what another implementation of HPACK encodes arrives as it was sent."""

import ast
import random

from hpack import HeaderTuple, NeverIndexedHeaderTuple

from harness.http2_client import Http2Client, head

NAMES = ["accept", "cookie-like", "user-agent", "x-one", "x-two", "te", "authorization", "x-" + "n" * 200]
LETTERS = [chr(code) for code in range(0x21, 0x7F)]


def fields(chance: random.Random) -> list[HeaderTuple]:
    """Fields that come again now and then, so that both tables are used."""
    sent: list[HeaderTuple] = []
    for _ in range(chance.randrange(12)):
        name = chance.choice(NAMES)
        length = chance.choice([0, 1, 5, 30, 300])
        value = (
            "trailers"
            if name == "te"
            else "".join(chance.choices(LETTERS[: chance.randrange(1, 95)], k=length))
        )
        kind = chance.choice([HeaderTuple, NeverIndexedHeaderTuple])
        sent.append(kind(name, value))
        if sent and chance.random() < 0.3:
            sent.append(chance.choice(sent))
    return sent


def test_what_python_hpack_encodes_arrives_as_it_was_sent(server):
    started = server("http_scope:app", "--no-access-log")
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    kept: list[HeaderTuple] = []
    with Http2Client(started.address) as client:
        for turn in range(200):
            if turn % 50 == 49:
                # A size update, the smallest and the largest table.
                client.encoder.header_table_size = chance.choice([0, 100, 4096])
            sent = [*fields(chance), *kept]
            kept = sent[:3]
            number = client.open([*head(), *sent], huffman=bool(turn % 2))
            seen = ast.literal_eval(client.response(number).body.decode())["scope"]["headers"]
            expected = [(b"host", b"test.example")]
            expected += [(name.encode(), value.encode()) for name, value in sent]
            assert seen == expected, f"seed {seed}, request {turn}"
