"""A WSGI application that looks for the socket of a WebSocket as simple-websocket does for Flask-SocketIO."""

from collections.abc import Iterable
from typing import Any


def app(environ: Any, start_response: Any) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/other":
        raise RuntimeError("something else")
    raise RuntimeError("Cannot obtain socket from WSGI environment.")
