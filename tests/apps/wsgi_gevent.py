"""A WSGI application that gevent has patched."""

from gevent import monkey

monkey.patch_all()

import subprocess  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
from collections.abc import Iterable  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
from gevent.event import Event  # noqa: E402

lock = threading.Lock()
met = Event()
# The main thread gets a hub of its own while the application is imported.
time.sleep(0.001)


def locked(_: Any) -> bytes:
    with lock:
        time.sleep(0.02)
    return b"locked"


def meet(_: Any) -> bytes:
    return b"met" if met.wait(30) else b"alone"


def meeting(_: Any) -> bytes:
    met.set()
    return b"set"


def runs(_: Any) -> bytes:
    return subprocess.run(["echo", "child"], stdout=subprocess.PIPE, check=True, timeout=30).stdout


def reads(environ: Any) -> bytes:
    return environ["wsgi.input"].read()


def hurries(environ: Any) -> bytes:
    try:
        with gevent.Timeout(0.05):
            return environ["wsgi.input"].read()
    except gevent.Timeout:
        return b"timed out"


def thread(_: Any) -> bytes:
    seen: list[bytes] = []
    other = threading.Thread(target=lambda: seen.append(b"thread"))
    other.start()
    other.join(30)
    return b"".join(seen)


def raises(_: Any) -> bytes:
    raise ValueError("of the view")


VIEWS = {
    "/lock": locked,
    "/meet": meet,
    "/meeting": meeting,
    "/subprocess": runs,
    "/read": reads,
    "/hurry": hurries,
    "/thread": thread,
    "/raise": raises,
}


def app(environ: Any, start_response: Any) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/large":
        start_response("200 OK", [])
        return (b"x" * 65536 for _ in range(64))
    view = VIEWS.get(path, lambda _: b"ok")
    body = view(environ)
    start_response("200 OK", [])
    return [body]
