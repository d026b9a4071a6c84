"""An application that keeps what it should not: /session an object each, /cache 10,000 bytes each."""

import sys


class Session:
    def __init__(self, number):
        self.number = number


sessions = []
cache = {}


def remember(number):
    cache[number] = b"x" * (10_000 + number % 2)


async def app(scope, receive, send):
    assert scope["type"] == "http"
    _, kind, *count = scope["path"].split("/")
    body = b"asyncio" if "asyncio" in sys.modules else b""
    for _ in range(int(count[0]) if count else 0):
        if kind == "session":
            sessions.append(Session(len(sessions)))
        elif kind == "cache":
            remember(len(cache))
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]}
    )
    await send({"type": "http.response.body", "body": body})
