"""Bare WSGI: 13 bytes of text."""

BODY = b"Hello, world!"
HEADERS = [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))]


def app(environ, start_response):
    """Answer every request."""
    start_response("200 OK", HEADERS)
    return [BODY]
