"""A WSGI application whose own code runs where the server calls Python, and comes back to the server."""

import logging
import sys

calls = []


class Headers:
    """Headers that call `start_response` again while they are read."""

    def __init__(self, start_response, exc_info=None):
        self.call = lambda: start_response("200 OK", [("X-Inner", "1")], exc_info)

    def __iter__(self):
        self.call()
        return iter([("X-Outer", "1")])


class Complaining(Exception):
    """An error that calls `start_response` again when it gets its traceback."""

    def __init__(self, start_response):
        self.call = lambda: start_response("200 OK", [("X-Inner", "1")])

    def with_traceback(self, traceback):
        try:
            self.call()
        except RuntimeError as error:
            calls.append(str(error))
        return super().with_traceback(traceback)


class Handler(logging.Handler):
    """A handler that writes more of the response that is complained of."""

    write = None

    def emit(self, record):
        if Handler.write and "Content-Length" in record.getMessage():
            write, Handler.write = Handler.write, None
            write(b"more")
            calls.append("written")


def headers(start_response):
    try:
        start_response("200 OK", Headers(start_response))
    except RuntimeError as error:
        return [str(error).encode()]
    return [b"started twice"]


def headers_with_exc_info(start_response):
    try:
        raise ValueError
    except ValueError:
        start_response("200 OK", Headers(start_response, sys.exc_info()), sys.exc_info())
    return [b"the outer one"]


def late(start_response):
    write = start_response("200 OK", [])
    write(b"begun, ")
    try:
        try:
            raise Complaining(start_response)
        except Complaining:
            start_response("500 No", [], sys.exc_info())
    except Complaining:
        return [b"and raised again"]
    return [b"and no error"]


def longer(start_response):
    Handler.write = start_response("200 OK", [("Content-Length", "4")])
    yield b"four and more"


def seen(start_response):
    start_response("200 OK", [])
    return [repr(calls).encode()]


PATHS = {
    "/headers": headers,
    "/headers-with-exc-info": headers_with_exc_info,
    "/late": late,
    "/longer": longer,
    "/seen": seen,
}


def app(environ, start_response):
    return PATHS[environ["PATH_INFO"]](start_response)
