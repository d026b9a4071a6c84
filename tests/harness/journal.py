"""The notes of the WSGI application `tests/apps/wsgi_app.py`, and waiting for them."""

import time
from collections.abc import Callable
from typing import Any

from harness.server import Server


def until(condition: Callable[[], Any], timeout: float = 40) -> Any:
    """The value of the condition, once it is true."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)
    return value


def journal(server: Server, name: str) -> list[Any]:
    """The note under a name."""
    return server.get(f"/journal/{name}").json()
