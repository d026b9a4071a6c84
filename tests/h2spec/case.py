"""The parts of a case: a name, the bytes that are sent, and the outcome."""

from collections.abc import Callable
from typing import Any

import pytest

from h2spec.outcomes import Outcome
from harness.http2_client import Http2Client, head
from harness.http2_frames import (
    END_HEADERS,
    INITIAL_WINDOW_SIZE,
    block,
    headers,
    settings,
)

Step = bytes | Callable[[Http2Client], None]

GET = block(head())
POST = block(head("POST", "/echo"))
X_TEST = block([("x-test", "ok")])

ASKED = headers(1, GET)
POSTING = headers(1, POST, END_HEADERS)
"""A request whose body follows."""

NO_WINDOW = settings((INITIAL_WINDOW_SIZE, 0))
"""Keeps a response from ending."""

HUFFMAN_TEST = b"\x85\xf2\xb2\x4a\x84\xff"
"""The name `x-test`."""

HUFFMAN_AGENT = b"\x87\xb5\x05\xb1\x61\xcc\x5a\x93"
"""The name `user-agent`."""

HUFFMAN_VALUE = b"\x84\x9c\x48\xac\xa4"


def with_block(fragment: bytes) -> bytes:
    """A request whose field block ends in this."""
    return headers(1, GET + fragment)


def post(*more: tuple[str, str]) -> bytes:
    return headers(1, block([*head("POST", "/echo"), *more]), END_HEADERS)


def trailers(fields: bytes, flags: int) -> bytes:
    return headers(1, fields, flags)


def case(name: str, *steps: Step, then: Outcome) -> Any:
    return pytest.param(steps, then, id=name)
