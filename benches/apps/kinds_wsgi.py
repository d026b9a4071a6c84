"""The same as kinds.py from a WSGI application."""


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/raises":
        raise RuntimeError("as asked")
    if path == "/echo":
        environ["wsgi.input"].read()
    start_response("404 Not Found" if path == "/missing" else "200 OK", [("content-type", "text/plain")])
    return iter([b"one", b"two", b"three"]) if path == "/stream" else [b"three"]
