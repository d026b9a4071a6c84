"""What a WSGI application of the tests has noted, `tests/apps/wsgi_app.py`, and waiting for it."""

import time
from collections.abc import Callable
from typing import Any

from harness.server import Server


def until(condition: Callable[[], Any], timeout: float = 40) -> Any:
    """What the condition comes to, once that is true."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)
    return value


def journal(server: Server, name: str) -> list[Any]:
    """What was noted under a name."""
    return server.get(f"/journal/{name}").json()
