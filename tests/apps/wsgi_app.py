"""A WSGI application whose paths each do one thing, and which keeps a journal the tests can read.

``/journal/NAME`` answers what has been noted under a name, as JSON; ``/set/NAME`` lets go a request that waits for it.
"""

import contextvars
import json
import os
import signal
import sys
import threading
import time
from collections import defaultdict
from urllib.parse import parse_qs

journals = defaultdict(list)
signals = defaultdict(threading.Event)
computing = []
mark = contextvars.ContextVar("mark", default="unset")
MIB = 1024 * 1024
WAIT = 20


def on_usr1(number, frame):
    print("SIGUSR1 was handled", file=sys.stderr, flush=True)


signal.signal(signal.SIGUSR1, on_usr1)


def app(environ, start_response):
    _, name, *rest = environ["PATH_INFO"].split("/")
    query = {key: values[0] for key, values in parse_qs(environ["QUERY_STRING"]).items()}
    return PATHS[name](environ, start_response, *rest, **query)


def text(start_response, answer, *headers):
    start_response("200 OK", [("Content-Type", "text/plain"), *headers])
    return [answer if isinstance(answer, bytes) else json.dumps(answer).encode()]


def wait_for(name):
    assert signals[name].wait(WAIT), f"nobody set {name}"


class Noted:
    """An iterable that notes each piece it makes and that it was closed."""

    def __init__(self, name, pieces):
        self.name = name
        self.pieces = iter(pieces)

    def __iter__(self):
        return self

    def __next__(self):
        piece = next(self.pieces)
        journals[self.name].append(len(piece))
        return piece

    def close(self):
        journals[self.name].append("closed")


def journal(environ, start_response, name):
    return text(start_response, journals[name])


def set_signal(environ, start_response, name):
    signals[name].set()
    return text(start_response, name)


def root(environ, start_response):
    return text(start_response, b"Hello, world!")


def show_environ(environ, start_response, *rest, **query):
    kinds = (str, bool, tuple)
    return text(start_response, {k: v for k, v in environ.items() if isinstance(v, kinds)})


def read(environ, start_response, how, size=None):
    stream = environ["wsgi.input"]
    size = () if size is None else (int(size),)
    if how == "lines":
        answer = [line.decode() for line in stream]
    elif how == "into":
        buffer = bytearray(64)
        answer = []
        while count := stream.readinto(buffer):
            answer.append(buffer[:count].decode())
    else:
        answer = getattr(stream, how)(*size)
        answer = [each.decode() for each in answer] if how == "readlines" else answer.decode()
        answer = [answer, stream.read().decode()]
    return text(start_response, answer)


def read_some(environ, start_response, name):
    """Notes each part of the body as it arrives."""
    while data := environ["wsgi.input"].read1():
        journals[name].append(data.decode())
    return text(start_response, b"done")


def count(environ, start_response):
    size = 0
    while data := environ["wsgi.input"].read(8192):
        size += len(data)
    return text(start_response, size)


def echo(environ, start_response):
    start_response("200 OK", [])
    return iter(lambda: environ["wsgi.input"].read(8192), b"")


def stream(environ, start_response, name):
    def pieces():
        for number in range(3):
            yield f"piece {number}\n".encode()
            wait_for(f"{name}-{number}")

    start_response("200 OK", [("Content-Type", "text/plain")])
    return Noted(name, pieces())


def endless(environ, start_response, name):
    def pieces():
        while True:
            yield b"x" * 65536

    start_response("200 OK", [])
    return Noted(name, pieces())


def drip(environ, start_response, name):
    def pieces():
        while True:
            yield b"drop"
            time.sleep(0.02)

    start_response("200 OK", [])
    return Noted(name, pieces())


def write(environ, start_response):
    send = start_response("200 OK", [("Content-Type", "text/plain")])
    send(b"written, ")
    send(b"")
    send(b"then ")
    return [b"returned"]


def several(environ, start_response):
    start_response("200 OK", [])
    return [b"one ", b"", b"two"]


def nothing(environ, start_response):
    start_response("204 No Content", [])
    return []


def reason(environ, start_response):
    start_response("404 Nobody Home", [("X-Name", "caf\xe9"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    return [b"gone"]


def length(environ, start_response, announced, sent):
    start_response("200 OK", [("Content-Length", announced)])
    return iter([b"x" * int(sent)])


def replaced(environ, start_response):
    start_response("200 OK", [("X-First", "1")])
    try:
        raise ValueError("found out in time")
    except ValueError:
        start_response("503 Later", [("X-Second", "2")], sys.exc_info())
    return [b"replaced"]


def too_late(environ, start_response):
    start_response("200 OK", [])
    yield b"begun"
    try:
        raise ValueError("found out too late")
    except ValueError:
        start_response("500 No", [], sys.exc_info())


def twice(environ, start_response):
    start_response("200 OK", [])
    start_response("200 OK", [])
    return []


def silent(environ, start_response):
    return []


def early(environ, start_response):
    return [b"before start_response"]


def raises(environ, start_response):
    raise RuntimeError("the view is broken")


def exits(environ, start_response):
    sys.exit(7)


def raises_after(environ, start_response, name, pieces="0"):
    def made():
        for _ in range(int(pieces)):
            yield b"piece"
        raise RuntimeError("the body is broken")

    start_response("200 OK", [])
    return Noted(name, made())


def a_str(environ, start_response):
    start_response("200 OK", [])
    return ["not bytes"]


def bad_header(environ, start_response):
    start_response("200 OK", [("X-Split", "a\r\nX-Injected: b")])
    return []


def bad_status(environ, start_response):
    start_response("abc", [])
    return []


def file(environ, start_response):
    class File:
        def __init__(self):
            self.left = 200_000

        def read(self, size):
            data = b"f" * min(size, self.left)
            self.left -= len(data)
            return data

        def close(self):
            journals["file"].append("closed")

    start_response("200 OK", [("Content-Length", "200000")])
    return environ["wsgi.file_wrapper"](File(), 4096)


def meet(environ, start_response, name):
    """Says how many requests were in here at once, once the test lets them go."""
    journals[name].append(threading.get_ident())
    wait_for(name)
    return text(start_response, b"met")


def computes(environ, start_response, name):
    """Notes how many views compute, this one included."""
    computing.append(name)
    journals[name].append(len(computing))
    for _ in range(60_000):
        pass
    computing.pop()
    return text(start_response, b"computed")


def spins(environ, start_response, name):
    """Computes until the test lets it go."""
    journals[name].append("in")
    while not signals[name].is_set():
        pass
    return text(start_response, b"spun")


def slow_close(environ, start_response, seconds):
    class Slow(Noted):
        def close(self):
            time.sleep(int(seconds))
            print(f"closed after {seconds} s", file=sys.stderr, flush=True)

    start_response("200 OK", [("Content-Length", "5")])
    return Slow("slow", [b"ready"])


def stuck(environ, start_response):
    journals["stuck"].append("in")
    while True:
        time.sleep(0.1)


def recurses(environ, start_response):
    """Goes through C for each level, up to Python's own limit."""

    def key(each):
        return sorted([1, 2], key=key)

    try:
        key(1)
    except RecursionError:
        return text(start_response, b"as deep as Python allows")


def leaks(environ, start_response):
    seen = mark.get()
    mark.set("set by a request")
    return text(start_response, seen)


def big(environ, start_response):
    return text(start_response, b"b" * 16 * MIB)


def modules(environ, start_response):
    return text(start_response, ["asyncio" in sys.modules, threading.active_count(), os.getpid()])


PATHS = {
    "": root,
    "environ": show_environ,
    "journal": journal,
    "set": set_signal,
    "raises-after": raises_after,
    "slow-close": slow_close,
    "read-some": read_some,
    **{
        each.__name__.replace("_", "-"): each
        for each in (
            read, count, echo, stream, endless, drip, write, several, nothing, reason, length, replaced,
            too_late, twice, silent, early, raises, exits, a_str, bad_header, bad_status, file, meet, computes,
            spins, stuck, leaks, big, modules, recurses,
        )
    },
}  # fmt: skip
