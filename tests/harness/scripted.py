"""Requests that bring their application along: what `tests/apps/http_script.py` shall do, step by step.

scripted = Scripted(server)
script = scripted.script(("receive",), start(200), body(b"hello"))
response = server.get("/", script.headers)
assert script.journal() == [{"type": "http.request", ...}, None, None]
"""

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any
from urllib.parse import quote

from harness.lines import Lines
from harness.raw_client import Headers, RawClient, Response, encode_request
from harness.server import Server

Message = dict[str, Any]
Step = Message | tuple[Any, ...]

DISCONNECT = {"type": "http.disconnect"}

identities = count(1)


def start(status: Any = 200, *headers: Any, **more: Any) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(headers), **more}


def body(data: Any = b"", more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


def request(data: bytes, more: bool = False) -> Message:
    return {"type": "http.request", "body": data, "more_body": more}


class Script:
    """One request's part: the headers that carry it, and the journal it leaves."""

    def __init__(self, server: Server, steps: tuple[Step, ...]) -> None:
        self._server = server
        self._id = f"script-{next(identities)}"
        self.headers = {"x-id": self._id, "x-script": quote(repr([self._step(step) for step in steps]))}

    def journal(self) -> list[Any]:
        """The result of every step, once the script has ended."""
        return self._ask(f"/journal/{self._id}")

    def reached(self, entries: int) -> list[Any]:
        """The same, once so many steps are done."""
        return self._ask(f"/reached/{self._id}/{entries}")

    def signal(self, name: str) -> None:
        """Let the script go on from where it waits for this name."""
        self._ask(f"/set/{self._id}-{name}")

    def encode(self, method: str = "GET", headers: Headers | None = None, data: bytes | None = None) -> bytes:
        """The request as bytes, for a test that sends them in its own way."""
        return encode_request(method, "/", [*self.headers.items(), *(headers or [])], data)

    def encode_chunked(self, *pieces: bytes) -> bytes:
        """The request with a chunked body, of which this has been encoded by the caller."""
        return self.encode("POST", [("transfer-encoding", "chunked")], b"".join(pieces))

    def _step(self, step: Step) -> tuple[Any, ...]:
        if isinstance(step, dict):
            return ("send", step)
        return ("wait", f"{self._id}-{step[1]}") if step[0] == "wait" else step

    def _ask(self, question: str) -> Any:
        answer = self._server.get(question)
        assert answer.status == 200, answer
        return ast.literal_eval(answer.text)


class Scripted:
    """A server that runs `http_script:app`."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def script(self, *steps: Step) -> Script:
        return Script(self.server, steps)

    def answer(self, *steps: Step, method: str = "GET") -> Response:
        """The response to a request whose application takes these steps."""
        return self.server.request(method, "/", self.script(*steps).headers)

    def assert_in_step_with(self, client: RawClient) -> None:
        """The connection carries the next request: nothing of the last response was left over."""
        assert client.get("/", self.script(start(), body(b"next")).headers).body == b"next"


@contextmanager
def writes(lines: Lines, pattern: str) -> Iterator[None]:
    """Whatever happens inside must lead to a new line with this pattern."""
    before = len(lines.matches(pattern))
    yield
    lines.wait_for_line(pattern, times=before + 1)
